"""Keypoint table -> model bundle: training, quantisation, evaluation, packing."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edge.interpreter import runtime_name
from host_training.data import counts
from host_training.data.keypoints import SPLITS, TEST, TRAIN, VALIDATION
from host_training.data.votes import targets_of
from host_training.errors import TableError
from host_training.evaluation.evaluate import evaluate
from host_training.reporting import about, card, released, side_by_side
from host_training.reporting.report import Evaluation, Losses, Report
from host_training.training import bundle, few_rows, fit, packing
from host_training.training.versions import processor, versions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from host_training.data.crops import CropStore
    from host_training.data.inputs import Inputs
    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets
    from host_training.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the table came from, for the report."""

    table: Path
    command: str
    """Makes this bundle again."""
    notes: tuple[str, ...] = ()
    """Changes made to the table before."""
    crops: Path | None = None
    """The crop store; None: the network reads no crops."""


def run(
    table: Table,
    recipe: Recipe,
    out: Path,
    origin: Origin,
    store: CropStore | None = None,
    *,
    beside: Iterable[Path] = (),
) -> str:
    """Train, evaluate and pack a classifier.

    Args:
        table: the rows; training doesn't use its test rows.
        recipe: the knobs.
        out: the folder of the bundle; replaced once the new bundle has passed every check. The float network goes to
            `engines.float_path`.
        origin: for the report.
        store: the crop store of the table, if the network reads crops.
        beside: folders of released bundles to compare the new one with.

    Returns:
        What to tell the user.

    Raises:
        TableError: a split has no usable row.
        UsageError: the network reads crops, and there is no store.
        BundleWriteError: the bundle cannot be written.
    """
    targets = targets_of(table, recipe.labels, recipe.truth)
    _check_splits(table, targets)
    # Before the training, which would be lost if the bundle could not be written.
    with bundle.staging(out) as folder:
        for line in few_rows.warnings(table, targets):
            print(line, file=sys.stderr)
        began = time.monotonic()
        features, inputs = fit.prepare(table, targets, recipe, store, SPLITS)
        fitted = fit.fit(table, targets, recipe, features, inputs, store=store)
        seconds = time.monotonic() - began
        labelled = (_labelled(table, targets, inputs[split]) for split in (TRAIN, VALIDATION))
        packed, quantised = packing.pack(fitted, *labelled, recipe=recipe, folder=folder)
        validation, test = (
            evaluate(packed, table, split, truth=recipe.truth, inputs=inputs[split], engines=True)
            for split in (VALIDATION, TEST)
        )
        others = released.read(folder for folder in beside if folder.resolve() != out.resolve())
        report = Report(
            id=packed.id,
            evaluate_command=_evaluate_command(out, origin),
            recipe=recipe,
            notes=origin.notes,
            data_sets=tuple(np.unique(table.data_set).tolist()),
            rows=counts.by_split(table, targets),
            counts=_counts(table, targets),
            kind=quantised.kind,
            parity=quantised.parity,
            inputs=fitted.features.inputs,
            parameters=fitted.network.parameters,
            crop_share=fitted.crop_share,
            bytes=len(quantised.network),
            temperature=packed.manifest.temperature,
            losses={name: Losses(tuple(each["loss"]), tuple(each["val_loss"])) for name, each in fitted.losses.items()},
            evaluation=Evaluation(validation, test),
            beside_released=released.beside(others, packed, test, table, store),
        )
        provenance = replace(
            packed.manifest.provenance,
            data=bundle.shown(origin.table),
            rows={split: asdict(each) for split, each in report.rows.items()},
            protocol=test.protocol,
            metrics=test.headline(),
            command=origin.command,
            seed=recipe.seed,
            landmarker_sha256=packed.manifest.landmarker_sha256,
            libraries=versions() | {"interpreter": runtime_name()},
            processor=processor(),
        )
        bundle.finish(folder, packed.manifest, provenance, report.to_json(), card.text(report, provenance))
        installed = bundle.install(folder, out)
    epochs = " and ".join(str(len(each.loss)) for each in report.losses.values())
    paragraphs = [
        f"trained in {seconds:.0f} s over {epochs} epochs\n{about.parity(report)}",
        test.text(),
        side_by_side.text(report.id, report.beside_released),
        "\n".join(released.not_compared(others, installed, report.beside_released)),
        released.explanation(others, report, provenance, report.beside_released),
        f"wrote {installed.id} to {out}",
    ]
    return "\n\n".join(filter(None, paragraphs))


def _check_splits(table: Table, targets: Targets) -> None:
    for split in SPLITS:
        if not (targets.judged & table.found & (table.split == split)).any():
            raise TableError(f"the table has no usable row in its {split} split; import a whole data set")


def _labelled(table: Table, targets: Targets, inputs: Inputs) -> packing.Labelled:
    clear = inputs[targets.judged[inputs.rows]]
    return packing.Labelled(table.landmarks[clear.rows], clear, targets.hard[clear.rows])


def _evaluate_command(out: Path, origin: Origin) -> str:
    crops = f" --crops {bundle.shown(origin.crops)}" if origin.crops else ""
    return f"emotion-train evaluate --bundle {bundle.shown(out)} --data {bundle.shown(origin.table)}{crops}"


def _counts(table: Table, targets: Targets) -> dict[str, dict[str, int]]:
    """Judged rows by split and label."""
    rows = {split: targets.judged & (table.split == split) for split in SPLITS}
    found = {split: np.bincount(targets.hard[rows[split]], minlength=len(targets.labels)) for split in SPLITS}
    return {split: dict(zip(targets.labels, found[split].tolist(), strict=True)) for split in SPLITS}
