"""Chooses the model bundle that a deployment takes to devices, and says how good it is beside the released one.

    choose.py MODELS [BUNDLE]     MODELS: folder of the bundles that were trained here; BUNDLE: the one asked for

Without BUNDLE it is the one that was trained last, or the released one where nothing was trained. The playbooks read
one JSON object from stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.bundle import bundle
from edge.bundle.locate import FUSED, LANDMARKS
from edge.errors import EdgeError, NoInputError
from host_training.reporting import side_by_side
from host_training.training.trained import TrainedBundles

if TYPE_CHECKING:
    from edge.bundle.manifest import Manifest

REPOSITORY = Path(__file__).resolve().parents[2]
RELEASED = REPOSITORY / "model" / FUSED


def main() -> int:
    """Print the choice; print one line and return a status of sysexits.h if there is none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("bundle", nargs="?", default="")
    args = parser.parse_args()
    try:
        print(json.dumps(choice(REPOSITORY / args.models, args.bundle)))
    except EdgeError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


def choice(models: Path, asked: str) -> dict[str, Any]:
    """The bundle: folder, id, whether it is the released one, whether devices give up their own for it, lines about it.

    Raises:
        NoInputError: there is no such folder, or what was trained last is gone.
        ConfigError: it is not a bundle.
        DataError: its report is damaged.
    """
    if asked:
        folder, why = Path(asked).expanduser(), "as asked for with BUNDLE"
    elif (latest := TrainedBundles(models).latest()) is not None:
        folder, why = latest, "trained last; BUNDLE=model/fused takes the released one instead"
    else:
        folder, why = RELEASED, "released; nothing was trained here, and devices with a bundle of their own keep that"
    if not folder.is_dir():
        raise NoInputError(f"{folder}: no such folder; pass BUNDLE=DIR, the folder of a model bundle")
    mine, released = bundle.verified(folder), bundle.verified(RELEASED)
    shown = folder.relative_to(REPOSITORY) if folder.is_relative_to(REPOSITORY) else folder
    lines = [f"model bundle {mine.id} in {shown} ({why})"]
    if mine.id == released.id:
        lines.append(f"on its test rows: {_figures(mine)}")
    elif (pair := side_by_side.beside_released(folder, RELEASED)) is not None:
        lines += side_by_side.text(mine.id, [pair]).splitlines()
    else:
        lines += [
            f"not compared with {released.id}, because they were judged on different test rows; each on its own:",
            *(f"  {each.id}  {_figures(each)}" for each in (mine, released)),
        ]
        if (pair := side_by_side.beside_released(folder, RELEASED.with_name(LANDMARKS))) is not None:
            lines += side_by_side.text(mine.id, [pair]).splitlines()
    lines = [f"  {line}" for line in lines]
    return {
        "folder": str(folder),
        "id": mine.id,
        "released": mine.id == released.id,
        "switch": folder != RELEASED or bool(asked),
        "lines": lines,
    }


def _figures(manifest: Manifest) -> str:
    names, metrics = {"accuracy": "accuracy", "macro_f1": "macro-F1"}, manifest.provenance.metrics
    return "  ".join(f"{words} {metrics[name]:.3f}" for name, words in names.items() if name in metrics) or "no figures"


if __name__ == "__main__":
    sys.exit(main())
