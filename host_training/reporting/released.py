"""How a new model compares with the released ones, and why it may differ from one of the same recipe."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from edge.bundle import bundle as bundles
from edge.classifier.features import CROP_INPUT
from edge.errors import EdgeError
from host_training.data.inputs import inputs_of_split
from host_training.data.keypoints import TEST
from host_training.evaluation.evaluate import evaluate
from host_training.reporting import report as reports
from host_training.reporting.side_by_side import DIGITS, Figures, SideBySide, all_rows, same_rows
from host_training.words import joined

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from edge.bundle.bundle import Bundle
    from edge.bundle.manifest import Provenance
    from host_training.data.crops import CropStore
    from host_training.data.keypoints import Table
    from host_training.evaluation.scores import Scores
    from host_training.reporting.report import Report

UNKNOWN = "not recorded"


@dataclasses.dataclass(frozen=True, slots=True)
class Released:
    """A released bundle with its report."""

    bundle: Bundle
    report: Report


def read(folders: Iterable[Path]) -> list[Released]:
    """The released bundles in these folders; one that cannot be read is left out, because nothing depends on it."""
    found = []
    for folder in folders:
        try:
            found.append(Released(bundles.load(folder), reports.read(folder)))
        except EdgeError:
            continue
    return found


def beside(
    released: Iterable[Released], bundle: Bundle, scores: Scores, table: Table, store: CropStore | None
) -> tuple[SideBySide, ...]:
    """A new model beside released ones, each on the same test rows.

    Args:
        released: from `read`.
        bundle: the new one.
        scores: its scores on the test rows of the table.
        table: the one that it was trained on.
        store: the crop store of the table; None: it has none.

    Returns:
        One for each released model for which there are rows that both can be judged on: the test rows of the table,
        else those of them that the released model was judged on when it was trained.
    """
    found = []
    for each in released:
        if each.bundle.id == bundle.id:
            continue
        try:
            pair = _on_all_rows(each, bundle, scores, table, store) or _on_their_rows(each, bundle, scores.truth, table)
        except EdgeError:  # no reason to lose the training that has just ended
            continue
        if pair is not None:
            found.append(pair)
    return tuple(found)


def _on_all_rows(
    each: Released, bundle: Bundle, scores: Scores, table: Table, store: CropStore | None
) -> SideBySide | None:
    mine, theirs = scores.as_dict(), each.report.evaluation.test.as_dict()
    if not same_rows(mine, theirs):
        if not set(bundle.labels) <= set(each.bundle.labels) or (CROP_INPUT in each.bundle.inputs and store is None):
            return None
        inputs = inputs_of_split(each.bundle.features, table, TEST, store)
        theirs = evaluate(each.bundle, table, labels=bundle.labels, truth=scores.truth, inputs=inputs).as_dict()
    return SideBySide(each.bundle.id, all_rows(mine), Figures.of(mine), Figures.of(theirs))


def _on_their_rows(each: Released, bundle: Bundle, truth: str, table: Table) -> SideBySide | None:
    theirs = each.report.evaluation.test.as_dict()
    if CROP_INPUT in bundle.inputs or theirs["truth"] != truth or set(bundle.labels) != set(each.bundle.labels):
        return None
    member = np.isin(table.data_set, each.report.data_sets)
    if not (member & (table.split == TEST)).any():
        return None
    part = dataclasses.replace(table, split=np.where(member, table.split, ""))
    mine = evaluate(bundle, part, truth=truth).as_dict()
    if not same_rows(theirs, mine):
        return None
    rows = f"the {mine['rows']:,} of its test rows that are {joined(each.report.data_sets)}'s"
    return SideBySide(each.bundle.id, rows, Figures.of(mine), Figures.of(theirs))


def not_compared(released: Iterable[Released], bundle: Bundle, found: Iterable[SideBySide]) -> list[str]:
    """A line for each released model with which the new one shares no test rows."""
    compared = {pair.released for pair in found}
    return [
        f"not compared with the released {each.bundle.id}: "
        + (
            "it reads crops, and the table has other test rows than it was judged on"
            if CROP_INPUT in each.bundle.inputs
            else "it reads other expressions"
        )
        for each in released
        if each.bundle.id not in {*compared, bundle.id}
    ]


def explanation(
    released: Iterable[Released], report: Report, provenance: Provenance, beside_released: Iterable[SideBySide]
) -> str:
    """Why a model has other weights than the released one of the same recipe and rows; empty: there is none."""
    for each in released:
        theirs, then = each.report, each.bundle.manifest.provenance
        recipe = dataclasses.replace(report.recipe, name=theirs.recipe.name)
        if (theirs.recipe, theirs.rows, theirs.counts) != (recipe, report.rows, report.counts):
            continue
        if report.id.rpartition("-")[2] == theirs.id.rpartition("-")[2]:
            return f"It is the same network as the released {theirs.id}, to the last bit."
        others = [
            f"{name} {provenance.libraries.get(name, UNKNOWN)}, not {version}"
            for name, version in then.libraries.items()
            if provenance.libraries.get(name) != version
        ]
        if others:
            reason = f"Other versions are the expected reason: {joined(others)}"
        elif provenance.processor != then.processor:
            reason = (
                "Another processor is the expected reason, because each rounds in its own way and training amplifies "
                f"that. Here: {provenance.processor or UNKNOWN}; there: {then.processor or UNKNOWN}"
            )
        else:
            reason = (
                f"The processor is the same, too ({provenance.processor}), so nothing explains it: please report it"
            )
        pair = next((pair for pair in beside_released if pair.released == theirs.id), None)
        return f"It has the recipe and the rows of the released {theirs.id}, but other weights. {reason}." + (
            f" {_difference(pair)}" if pair else ""
        )
    return ""


def _difference(pair: SideBySide) -> str:
    mine, theirs = pair.mine, pair.theirs
    accuracy, macro_f1 = mine.accuracy - theirs.accuracy, mine.macro_f1 - theirs.macro_f1
    # Rounded first, and a zero added, because minus nothing would look odd.
    differences = [f"{round(each, DIGITS) + 0.0:+.{DIGITS}f}" for each in (accuracy, macro_f1)]
    return "Its accuracy differs by {}, its macro-F1 by {}.".format(*differences)
