"""`emotion-edge model`: the files that the daemon needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge import bundle, mesh_models

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = "example: emotion-edge model fetch\n         emotion-edge model verify model/emotion"
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="download MediaPipe's face mesh models, once, and check their hash")
    fetch.add_argument("--from", dest="source", metavar="FILE", help="a face_landmarker.task that you have")
    fetch.add_argument("--to", metavar="DIR", help=f"default: {mesh_models.cache_folder()}")
    fetch.add_argument("--force", action="store_true", help="fetch again even if they are there")
    verify = actions.add_parser("verify", help="check a model bundle: hashes, feature contract, golden vectors")
    verify.add_argument("bundle", metavar="DIR", nargs="?", default="", help="default: the one in use")


def run(args: argparse.Namespace) -> int:
    """Fetch or verify."""
    if args.action == "fetch":
        mesh_models.fetch(
            Path(args.to) if args.to else mesh_models.cache_folder(),
            source=Path(args.source) if args.source else None,
            say=print,
            force=args.force,
        )
    else:
        loaded = bundle.load(bundle.locate(args.bundle))
        print(f"{loaded.folder}: {loaded.id} is whole and gives the right answers on this machine")
    return 0
