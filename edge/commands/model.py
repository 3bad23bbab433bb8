"""`emotion-edge model`: the files that the daemon needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import bundle, bundle_store, mesh_models, signature
from edge.cli import add_settings_arguments, load_settings

if TYPE_CHECKING:
    import argparse

    from edge.bundle import Bundle
    from edge.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = (
        "example: emotion-edge model fetch\n"
        "         emotion-edge model verify model/emotion\n"
        "         emotion-edge model list\n"
        "         sudo emotion-edge model install model/emotion && sudo systemctl reload emotion-edge\n"
        "         sudo emotion-edge model rollback && sudo systemctl reload emotion-edge"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="download MediaPipe's face mesh models, once, and check their hash")
    fetch.add_argument("--from", dest="source", metavar="FILE", help="a face_landmarker.task that you have")
    fetch.add_argument("--to", metavar="DIR", help=f"default: {mesh_models.cache_folder()}")
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
    rollback = actions.add_parser("rollback", help="switch to a model bundle that was installed before")
    add_settings_arguments(rollback)
    rollback.add_argument("id", metavar="ID", nargs="?", default="", help="default: the one before the one in use")


def run(args: argparse.Namespace) -> int:
    """Do what is asked for; 1 if a listed bundle is damaged."""
    if args.action == "fetch":
        mesh_models.fetch(
            Path(args.to) if args.to else mesh_models.cache_folder(),
            source=Path(args.source) if args.source else None,
            say=print,
            force=args.force,
        )
        return 0
    settings = load_settings(args)
    if args.action == "list":
        found = bundle.at_hand(settings)
        for i, (folder, loaded_or_error) in enumerate(found):
            result = _described(folder, loaded_or_error, in_use=i == 0)
            print(json.dumps(result) if args.json else _text(result), flush=True)
        return int(not all(isinstance(each, bundle.Bundle) for _, each in found))
    keys = signature.trusted_keys(settings.model.trusted_keys)
    if args.action == "verify":
        loaded = bundle.load(bundle.locate(args.bundle), keys)
        print(f"{loaded.folder}: {loaded.id} is whole and gives the right answers on this machine")
    else:
        store = bundle_store.BundleStore(bundle.INSTALLED.parent, keys)
        print(store.install(Path(args.bundle)) if args.action == "install" else store.rollback(args.id))
    return 0


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
