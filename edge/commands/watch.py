"""`emotion-edge watch`: what devices publish, in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.cli import add_settings_arguments, load_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = "example: emotion-edge watch --mqtt mqtt://homeassistant.local livingroom"
    add_settings_arguments(parser, mqtt=True)
    parser.add_argument("device", nargs="?", default="+", help="name of a device (default: all)")
    parser.add_argument("--json", action="store_true", help="print topic and payload as they are, a line each")


def run(args: argparse.Namespace) -> int:
    """Watch until Ctrl-C."""
    from edge.watch import watch

    mqtt = load_settings(args).mqtt
    watch(
        mqtt.url,
        mqtt.base,
        args.device,
        raw_lines=args.json,
        username=mqtt.username,
        password_file=mqtt.password_file,
    )
    return 0
