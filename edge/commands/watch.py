"""`emotion-edge watch`: what devices publish, in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.cli import add_settings_arguments, load_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.epilog = (
        "example: emotion-edge watch --mqtt mqtt://homeassistant.local livingroom\n"
        "         emotion-edge watch --shadow    # until Ctrl-C: how far shadows agree with the bundles in use"
    )
    add_settings_arguments(parser, mqtt=True)
    parser.add_argument("device", nargs="?", default="+", help="name of a device (default: all)")
    parser.add_argument("--json", action="store_true", help="print topic and payload as they are, a line each")
    parser.add_argument(
        "--shadow",
        action="store_true",
        help="compare bundles that run as shadows with those in use; with --json, the counts after each state",
    )


def run(args: argparse.Namespace) -> int:
    """Watch until Ctrl-C."""
    from edge.fleet.watch import watch

    watch(load_settings(args).mqtt, args.device, raw_lines=args.json, shadow=args.shadow)
    return 0
