"""`emotion-edge model`: the files that the daemon needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import bundle, mesh_models
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
        "         emotion-edge model list"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="download MediaPipe's face mesh models, once, and check their hash")
    fetch.add_argument("--from", dest="source", metavar="FILE", help="a face_landmarker.task that you have")
    fetch.add_argument("--to", metavar="DIR", help=f"default: {mesh_models.cache_folder()}")
    fetch.add_argument("--force", action="store_true", help="fetch again even if they are there")
    verify = actions.add_parser("verify", help="check a model bundle: hashes, feature contract, golden vectors")
    verify.add_argument("bundle", metavar="DIR", nargs="?", default="", help="default: the one in use")
    listing = actions.add_parser("list", help="show the model bundles at hand: what each reads, and how good it is")
    add_settings_arguments(listing)
    listing.add_argument("--json", action="store_true", help="one JSON object a bundle and line")


def run(args: argparse.Namespace) -> int:
    """Fetch, list or verify; 1 if a listed bundle is damaged."""
    if args.action == "fetch":
        mesh_models.fetch(
            Path(args.to) if args.to else mesh_models.cache_folder(),
            source=Path(args.source) if args.source else None,
            say=print,
            force=args.force,
        )
    elif args.action == "list":
        found = bundle.at_hand(load_settings(args))
        for i, (folder, loaded_or_error) in enumerate(found):
            result = _described(folder, loaded_or_error, in_use=i == 0)
            print(json.dumps(result) if args.json else _text(result), flush=True)
        return int(not all(isinstance(each, bundle.Bundle) for _, each in found))
    else:
        loaded = bundle.load(bundle.locate(args.bundle))
        print(f"{loaded.folder}: {loaded.id} is whole and gives the right answers on this machine")
    return 0


def _described(folder: Path, found: Bundle | ConfigError, *, in_use: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"folder": str(folder), "in_use": in_use}
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
    head = f"{result['folder']}{' (in use)' if result['in_use'] else ''}: "
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
