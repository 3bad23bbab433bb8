"""`emotion-train`: its commands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from edge.cli import run_command

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "import": "measure the faces of a data set and write a keypoint table",
    "collect": "record faces with their expressions for a keypoint table of your own",
    "merge": "make one keypoint table of several",
    "describe": "count what is in a keypoint table",
    "export": "write a keypoint table with plain columns, for other programs",
    "clean": "look for wrong labels and near-duplicates, and record what to do about them",
    "crop": "cut the faces of a keypoint table out of their pictures, for networks that see them",
    "recipe": "print the recipe of the classifier, every knob with its reason",
    "train": "train, quantise and evaluate a classifier and pack it as a bundle",
    "cross-validate": "cross-validate a recipe, in folds disjoint by person and picture",
    "search": "try recipes on the validation split",
    "evaluate": "judge a bundle on a keypoint table or a folder of pictures",
    "robustness": "judge bundles on dark, blurred, small and half-covered test pictures",
    "compare": "train other kinds of classifier on the same rows, side by side",
    "report": "write the report of a bundle as one HTML page",
    "sign": "sign a bundle, so that devices can tell whose it is",
}
"""Each is a module of `host_training.commands` with `add_arguments(parser)` and `run(args) -> exit status`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status and never raises but for SystemExit from --help."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run_command(
        arguments,
        program="emotion-train",
        description="Builds and judges the classifier of emotion-edge on a workstation.",
        epilog="example: emotion-train train --table model/keypoints/ferplus.parquet --out model/fused",
        commands=COMMANDS,
        package="host_training.commands",
        # On a Raspberry Pi faces are collected without what trains on them.
        extra="collect" if arguments[:1] == ["collect"] else "train",
    )
