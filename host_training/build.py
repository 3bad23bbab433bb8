"""Keypoint table -> model bundle: the recipe, calibration, quantisation with its gate, evaluation, packing."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edge.interpreter import runtime_name
from host_training.data.keypoints import SPLITS, TEST, TRAIN, VALIDATION
from host_training.data.votes import targets_of
from host_training.errors import TableError
from host_training.evaluation.evaluate import evaluate
from host_training.evaluation.scores import PROTOCOLS
from host_training.reporting import card
from host_training.training import bundle, fit, packing
from host_training.training.recipe import as_dict

if TYPE_CHECKING:
    from pathlib import Path

    from host_training.data.crops import CropStore
    from host_training.data.inputs import Inputs
    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets
    from host_training.training.recipe import Recipe

LIBRARIES = ("tensorflow", "keras", "numpy")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where table and recipe came from, for the report."""

    table: Path
    command: str
    """What makes this bundle again."""
    notes: tuple[str, ...] = ()
    """What was done to the table before."""
    crops: Path | None = None
    """The crop store; None: the network reads no crops."""


def run(table: Table, recipe: Recipe, out: Path, origin: Origin, store: CropStore | None = None) -> str:
    """Train, judge and pack a classifier.

    Args:
        table: the rows; training never sees its test rows.
        recipe: the knobs.
        out: the folder of the bundle; replaced once the new bundle has passed every check. The float network is
            written beside it.
        origin: for the report.
        store: the crop store of the table, if the network reads crops.

    Returns:
        What to tell the user.

    Raises:
        TableError: a split is empty.
        UsageError: the network reads crops, and there is no store.
        BundleWriteError: the bundle cannot be written.
    """
    targets = targets_of(table, recipe.labels, recipe.truth)
    _check_splits(table, targets)
    # The place for the result comes first: nobody should wait for a training that can't be kept.
    with bundle.staging(out) as folder:
        began = time.monotonic()
        features, inputs = fit.prepare(table, targets, recipe, store, SPLITS)
        fitted = fit.fit(table, targets, recipe, features, inputs, store=store)
        seconds = time.monotonic() - began
        known = (_labelled(table, targets, inputs[split]) for split in (TRAIN, VALIDATION))
        packed, quantised = packing.pack(fitted, *known, recipe=recipe, folder=folder)
        scores = {
            split: evaluate(packed, table, split, truth=recipe.truth, inputs=inputs[split], engines=True)
            for split in (VALIDATION, TEST)
        }
        report = {
            "id": packed.id,
            "protocol": PROTOCOLS[recipe.truth],
            "evaluate_command": f"emotion-train evaluate --bundle {bundle.shown(out)} "
            f"--data {bundle.shown(origin.table)}" + (f" --crops {bundle.shown(origin.crops)}" if origin.crops else ""),
            "recipe": as_dict(recipe),
            "notes": list(origin.notes),
            "data_sets": np.unique(table.data_set).tolist(),
            "rows": _rows(table, targets),
            "counts": _counts(table, targets),
            "kind": quantised.kind,
            "parity": {**asdict(quantised.parity), "holds": quantised.parity.holds},
            "inputs": list(fitted.features.inputs),
            "parameters": fitted.network.parameters,
            "crop_share": fitted.crop_share,
            "bytes": len(quantised.network),
            "temperature": packed.manifest.temperature,
            "losses": fitted.losses,
            "evaluation": {split: found.as_dict() for split, found in scores.items()},
        }
        provenance = replace(
            packed.manifest.provenance,
            data=bundle.shown(origin.table),
            rows=report["rows"],
            protocol=PROTOCOLS[recipe.truth],
            metrics=scores[TEST].headline(),
            command=origin.command,
            seed=recipe.seed,
            landmarker_sha256=packed.manifest.landmarker_sha256,
            libraries=_libraries(),
        )
        text = card.text(report, provenance)
        bundle.finish(folder, packed.manifest, provenance, json.dumps(report, indent=1) + "\n", text)
        installed = bundle.install(folder, out)
    return (
        f"trained in {seconds:.0f} s over {' and '.join(str(len(each['loss'])) for each in fitted.losses.values())}"
        " epochs\n"
        f"{card.parity_line(report)}\n\n{scores[TEST].text()}\n\nwrote {installed.id} to {out}"
    )


def _check_splits(table: Table, targets: Targets) -> None:
    for split in SPLITS:
        if not (targets.judged & table.found & (table.split == split)).any():
            raise TableError(f"the table has no usable row in its {split} split: import a whole data set")


def _labelled(table: Table, targets: Targets, inputs: Inputs) -> packing.Labelled:
    clear = inputs[targets.judged[inputs.rows]]
    return packing.Labelled(table.landmarks[clear.rows], clear, targets.hard[clear.rows])


def _rows(table: Table, targets: Targets) -> dict[str, dict[str, int]]:
    return {
        split: {
            "rows": int((table.split == split).sum()),
            "found": int((table.found & (table.split == split)).sum()),
            "judged": int((targets.judged & (table.split == split)).sum()),
        }
        for split in SPLITS
    }


def _counts(table: Table, targets: Targets) -> dict[str, dict[str, int]]:
    """Judged rows by split and label."""
    rows = {split: targets.judged & (table.split == split) for split in SPLITS}
    counts = {split: np.bincount(targets.hard[rows[split]], minlength=len(targets.labels)) for split in SPLITS}
    return {split: dict(zip(targets.labels, counts[split].tolist(), strict=True)) for split in SPLITS}


def _libraries() -> dict[str, str]:
    """Versions of what decides the weights."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), "interpreter": runtime_name(), **versions}
