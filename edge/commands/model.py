"""`emotion-edge model`: fetches the face mesh models; lists, verifies, installs, rolls back and removes bundles."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.bundle import bundle as bundles
from edge.bundle.folder import roles
from edge.bundle.locate import DEVICE, Installation
from edge.bundle.removal import uninstall
from edge.bundle.store import BundleStore
from edge.bundle.trial import TRIAL_S
from edge.cli import absolute_path, add_settings_arguments, load_settings
from edge.face_mesh import models

if TYPE_CHECKING:
    from edge.bundle.bundle import Bundle
    from edge.errors import ConfigError
    from edge.settings import Settings

MAX_TRIAL_S = 3600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.epilog = (
        "example: emotion-edge model fetch\n"
        "         emotion-edge model verify model/fused\n"
        "         emotion-edge model list\n"
        "         sudo emotion-edge model install build/models/mine && sudo systemctl reload emotion-edge\n"
        "         sudo emotion-edge model install --shadow build/models/mine && sudo systemctl reload emotion-edge\n"
        "         sudo emotion-edge model rollback && sudo systemctl reload emotion-edge\n"
        "         sudo emotion-edge model uninstall && sudo systemctl reload emotion-edge"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="download MediaPipe's face mesh models, once, and check their hash")
    fetch.add_argument(
        "--from", dest="source", type=absolute_path, metavar="FILE", help="a face_landmarker.task you have"
    )
    fetch.add_argument("--to", type=absolute_path, metavar="DIR", help=f"default: {models.cache_folder()}")
    fetch.add_argument("--force", action="store_true", help="download them even if they exist")
    verify = actions.add_parser("verify", help="check a model bundle: signature, hashes, contract, golden faces")
    add_settings_arguments(verify)
    verify.add_argument("bundle", metavar="DIR", nargs="?", type=Path, help="default: the one in use")
    listing = actions.add_parser("list", help="show the model bundles here: what each reads, and how good it is")
    add_settings_arguments(listing)
    listing.add_argument("--json", action="store_true", help="print one JSON object per line and bundle")
    install = actions.add_parser(
        "install", help=f"copy a model bundle to {DEVICE}, for all users of this machine, test it, and use it"
    )
    add_settings_arguments(install)
    install.add_argument("bundle", metavar="DIR", type=Path, help="the folder of the bundle")
    install.add_argument(
        "--trial",
        type=_seconds,
        default=TRIAL_S,
        metavar="SECONDS",
        help="how long to run it in turn with the bundle in use, of whose speed it must reach 80 %%; "
        "0: no trial (default: %(default)g)",
    )
    what = install.add_mutually_exclusive_group()
    what.add_argument(
        "--shadow", action="store_true", help="run it beside the one in use, without acting on its readings"
    )
    what.add_argument(
        "--release",
        action="store_true",
        help="DIR holds the bundles of a release, fused and landmarks: install both; a bundle in use that was chosen "
        "on this device stays in use. deploy/install.sh does this",
    )
    install.add_argument("--check", action="store_true", help="only test it, and print what would be done")
    shadow_off = actions.add_parser("shadow-off", help="stop the shadow")
    add_settings_arguments(shadow_off)
    rollback = actions.add_parser("rollback", help="switch to a model bundle that was installed before")
    add_settings_arguments(rollback)
    rollback.add_argument("id", metavar="ID", nargs="?", default="", help="default: the previous one")
    removal = actions.add_parser("uninstall", help="undo an install: remove the bundle, and use the one before")
    add_settings_arguments(removal)
    removal.add_argument("id", metavar="ID", nargs="?", default="", help="default: the one in use")


def run(args: argparse.Namespace) -> int:
    """Run the action. Exit status 1 if a listed bundle is damaged."""
    if args.action == "fetch":
        models.fetch(args.to or models.cache_folder(), source=args.source, say=print, force=args.force)
        return 0
    settings = load_settings(args)
    installation = Installation.of(settings)
    if args.action == "list":
        found = installation.at_hand()
        for i, (folder, loaded_or_error) in enumerate(found):
            result = _described(folder, loaded_or_error, in_use=i == 0)
            print(json.dumps(result) if args.json else _text(result), flush=True)
        return int(not all(isinstance(each, bundles.Bundle) for _, each in found))
    if args.action == "verify":
        loaded = bundles.load(args.bundle or installation.bundle, installation.keys())
        print(f"{loaded.folder}: {loaded.id} is complete and gives the expected results on this machine")
    else:
        print(_change(args, settings, installation))
    return 0


def _change(args: argparse.Namespace, settings: Settings, installation: Installation) -> str:
    """Change the bundles of this device, or with --check print what would be done."""
    device, _ = installation.homes
    trial_s = args.trial if args.action == "install" else TRIAL_S
    store = BundleStore(device, installation.keys(), trial_s=trial_s, mesh=settings.mesh.models)
    if args.action == "rollback":
        return store.rollback(args.id)
    if args.action == "uninstall":
        return uninstall(device, installation.keys(), args.id)
    if args.action == "shadow-off":
        return store.shadow_off()
    source: Path = args.bundle
    if args.release:
        return (store.check_release if args.check else store.install_release)(source)
    if args.check:
        return store.check(source, shadow=args.shadow)
    done = store.install(source, shadow=args.shadow)
    undo = "shadow-off" if args.shadow else "uninstall"
    print(
        f"In {device}, for all users of this machine. Its service uses the bundle after `sudo systemctl reload "
        f"emotion-edge`; `sudo emotion-edge model {undo}` undoes this.",
        file=sys.stderr,
    )
    return done


def _seconds(text: str) -> float:
    """The length of a trial; infinity and NaN are refused, too."""
    seconds = float(text)
    if not 0 <= seconds <= MAX_TRIAL_S:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0 to {MAX_TRIAL_S}")
    return seconds


def _described(folder: Path, found: Bundle | ConfigError, *, in_use: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"folder": str(folder), "in_use": in_use}
    if links := roles(folder):
        result["roles"] = links
    if not isinstance(found, bundles.Bundle):
        return {**result, "error": str(found)}
    return {
        **result,
        "id": found.id,
        "inputs": found.inputs,
        "labels": found.labels,
        "metrics": found.metrics,
        "network_bytes": found.network_bytes,
    }


def _text(result: dict[str, Any]) -> str:
    marks = ", ".join(["in use"] * result["in_use"] + result.get("roles", []))
    head = f"{result['folder']}{f' ({marks})' if marks else ''}: "
    if "error" in result:
        return f"{head}{result['error']}"
    metrics = result["metrics"]
    measured = {"accuracy": metrics.get("accuracy"), "macro-F1": metrics.get("macro_f1")}
    figures = [f"{name} {value:.3f}" for name, value in measured.items() if value is not None]
    return (
        f"{head}{result['id']}\n"
        f"    reads {' and '.join(result['inputs'])}; its network has {result['network_bytes'] / 1000:.0f} kB\n"
        f"    labels: {', '.join(result['labels'])}\n"
        f"    {', '.join(figures) or 'nothing measured'} on test pictures"
    )
