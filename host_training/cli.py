"""The command line of `emotion-train`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from edge.cli import run_command
from host_training.progress import say

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "import": "measure the faces of a data set and write a keypoint table",
    "collect": "collect faces with their expressions for a keypoint table of your own",
    "merge": "join several keypoint tables",
    "describe": "count the content of a keypoint table",
    "export": "write a keypoint table with plain columns, for other programs",
    "clean": "find wrong labels and near-duplicates, and record what to do about them",
    "crop": "cut the faces of a keypoint table out of their pictures, for networks that read crops",
    "recipe": "print the default recipe, every knob with its reason",
    "train": "train, quantise and evaluate a classifier, and pack it as a model bundle",
    "cross-validate": "cross-validate a recipe, in folds disjoint by person and picture",
    "search": "try recipes, and judge them on the validation split",
    "evaluate": "judge a bundle on a keypoint table or a folder of pictures",
    "robustness": "judge bundles on dark, blurred, low-resolution, half-covered and far-away faces",
    "compare": "train other kinds of classifier on the same rows, side by side",
    "report": "write the report of a bundle, as one HTML page",
    "sign": "sign a bundle, so that devices can verify who made it",
}
"""Commands and what they do. Each is a module of `host_training.commands`, see `edge.cli.run_command`."""


AT_ONCE = {"recipe", "sign"}
"""Commands that need no time to start."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit status; only `--help` and `--version` raise SystemExit."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run_command(
        arguments,
        program="emotion-train",
        description="Builds and judges the classifier of emotion-edge on a workstation.",
        epilog="example: emotion-train train --table model/keypoints/ferplus.parquet --name mine",
        commands=COMMANDS,
        package="host_training.commands",
        # A Raspberry Pi that collects faces needs no libraries for training.
        # The libraries take seconds to load.
        begin=lambda command: None if command in AT_ONCE else say(f"{command}: starting"),
        extra="collect" if arguments[:1] == ["collect"] else "train",
    )
