"""`emotion-train`: finds the command, and turns whatever goes wrong into one line and an exit status."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import TYPE_CHECKING, Any

import edge
from edge.cli import Parser, guarded

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "import": "measure the faces of a data set and write a keypoint table",
    "combine": "make one keypoint table of several",
    "describe": "count what is in a keypoint table",
    "export": "write a keypoint table with plain columns, for other programs",
    "clean": "look for wrong labels and near-duplicates, and record what to do about them",
    "settings": "print the recipe of the classifier, every knob with its reason",
    "train": "train, quantise and evaluate a classifier and pack it as a bundle",
    "validate": "cross-validate a recipe, in folds disjoint by person and picture",
    "search": "try recipes on the validation split",
    "evaluate": "judge a bundle on a keypoint table or a folder of pictures",
    "compare": "train other kinds of classifier on the same rows, side by side",
    "report": "write the report of a bundle as one HTML page",
}
"""Each is a module of `host_training.commands` with `add_arguments(parser)` and `run(args) -> exit status`."""


def _parser(command: str | None) -> argparse.ArgumentParser:
    parser = Parser(
        prog="emotion-train",
        description="Builds and judges the classifier of emotion-edge on a workstation.",
        epilog="example: emotion-train train --table model/keypoints/ferplus.parquet --out model/emotion",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {edge.__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == command:  # the others need not be imported
            _module(name).add_arguments(subparser)
    return parser


def _module(command: str) -> Any:
    """`import` is a word of the language, so its module has an underscore more."""
    return importlib.import_module(f"host_training.commands.{'import_' if command == 'import' else command}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status and never raises but for SystemExit from --help."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = next((argument for argument in arguments if argument in COMMANDS), None)

    def work() -> int:
        args = _parser(command).parse_args(arguments)
        status: int = _module(args.command).run(args)
        return status

    return guarded("emotion-train", work)
