"""`emotion-edge model`: the files that the daemon needs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.bundle import bundle
from edge.bundle import store as bundle_store
from edge.bundle.locate import Installation
from edge.bundle.trial import TRIAL_S
from edge.cli import add_settings_arguments, load_settings
from edge.face_mesh import models

if TYPE_CHECKING:
    from edge.bundle.bundle import Bundle
    from edge.errors import ConfigError
    from edge.settings import Settings

LONGEST_TRIAL_S = 3600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.epilog = (
        "example: emotion-edge model fetch\n"
        "         emotion-edge model verify model/fused\n"
        "         emotion-edge model list\n"
        "         sudo emotion-edge model install model/fused && sudo systemctl reload emotion-edge\n"
        "         sudo emotion-edge model install --shadow model/mine && sudo systemctl reload emotion-edge\n"
        "         sudo emotion-edge model rollback && sudo systemctl reload emotion-edge"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="download MediaPipe's face mesh models, once, and check their hash")
    fetch.add_argument("--from", dest="source", metavar="FILE", help="a face_landmarker.task that you have")
    fetch.add_argument("--to", metavar="DIR", help=f"default: {models.cache_folder()}")
    fetch.add_argument("--force", action="store_true", help="fetch again even if they are there")
    verify = actions.add_parser("verify", help="check a model bundle: signature, hashes, contract, golden faces")
    add_settings_arguments(verify)
    verify.add_argument("bundle", metavar="DIR", nargs="?", default="", help="default: the one in use")
    listing = actions.add_parser("list", help="show the model bundles at hand: what each reads, and how good it is")
    add_settings_arguments(listing)
    listing.add_argument("--json", action="store_true", help="one JSON object a bundle and line")
    install = actions.add_parser(
        "install", help="copy a model bundle to its place on this device, test it, switch to it"
    )
    add_settings_arguments(install)
    install.add_argument("bundle", metavar="DIR", help="the folder of the bundle")
    install.add_argument(
        "--trial",
        type=_seconds,
        default=TRIAL_S,
        metavar="SECONDS",
        help="how long it works on trial beside the one in use, whose speed it has to reach but for a fifth; "
        "0: not at all (default: %(default)g)",
    )
    install.add_argument(
        "--shadow", action="store_true", help="let it run beside the one in use, without acting on what it says"
    )
    install.add_argument("--check", action="store_true", help="test it, say what would be done, and change nothing")
    shadow_off = actions.add_parser("shadow-off", help="let no model bundle run beside the one in use")
    add_settings_arguments(shadow_off)
    rollback = actions.add_parser("rollback", help="switch to a model bundle that was installed before")
    add_settings_arguments(rollback)
    rollback.add_argument("id", metavar="ID", nargs="?", default="", help="default: the one before the one in use")


def run(args: argparse.Namespace) -> int:
    """Do what is asked for; 1 if a listed bundle is damaged."""
    if args.action == "fetch":
        models.fetch(
            Path(args.to) if args.to else models.cache_folder(),
            source=Path(args.source) if args.source else None,
            say=print,
            force=args.force,
        )
        return 0
    settings = load_settings(args)
    installation = Installation.of(settings)
    if args.action == "list":
        found = installation.at_hand()
        for i, (folder, loaded_or_error) in enumerate(found):
            result = _described(folder, loaded_or_error, in_use=i == 0)
            print(json.dumps(result) if args.json else _text(result), flush=True)
        return int(not all(isinstance(each, bundle.Bundle) for _, each in found))
    if args.action == "verify":
        loaded = bundle.load(Path(args.bundle) if args.bundle else installation.bundle, installation.keys())
        print(f"{loaded.folder}: {loaded.id} is whole and gives the right answers on this machine")
    else:
        print(_changed(args, settings, installation))
    return 0


def _changed(args: argparse.Namespace, settings: Settings, installation: Installation) -> str:
    """What was done to the bundles of this device, or with --check would be."""
    trial_s = args.trial if args.action == "install" else TRIAL_S
    device, _ = installation.homes
    store = bundle_store.BundleStore(device, installation.keys(), trial_s=trial_s, mesh=settings.mesh.models)
    if args.action == "rollback":
        return store.rollback(args.id)
    if args.action == "shadow-off":
        return store.shadow_off()
    return (store.check if args.check else store.install)(Path(args.bundle), shadow=args.shadow)


def _seconds(text: str) -> float:
    """Of a trial; a number of seconds that does not end is none."""
    seconds = float(text)
    if not 0 <= seconds <= LONGEST_TRIAL_S:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0 to {LONGEST_TRIAL_S}")
    return seconds


def _described(folder: Path, found: Bundle | ConfigError, *, in_use: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"folder": str(folder), "in_use": in_use}
    if roles := bundle_store.roles(folder):
        result["roles"] = roles
    if not isinstance(found, bundle.Bundle):
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
        f"    says {', '.join(result['labels'])}\n"
        f"    {', '.join(figures) or 'nothing measured'} on test pictures"
    )
