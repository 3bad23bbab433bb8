"""The report of a model: one self-contained HTML page for a person who must decide whether to trust it."""

from __future__ import annotations

import json
from dataclasses import asdict
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from host_training.evaluation import face_range
from host_training.evaluation.lenses import LENSES
from host_training.evaluation.metrics import wilson
from host_training.reporting import about, findings, mesh_drawing, page, plots, range_text
from host_training.training.recipe import flat
from host_training.words import joined

if TYPE_CHECKING:
    from edge.bundle.bundle import Bundle
    from host_training.compare.results import Comparison
    from host_training.data.keypoints import Table
    from host_training.evaluation.face_range import Range
    from host_training.evaluation.metrics import Interval
    from host_training.evaluation.robustness import Robustness
    from host_training.evaluation.scores import Scores
    from host_training.reporting.findings import Findings
    from host_training.reporting.report import Report
    from host_training.training.folds import CrossValidation
    from host_training.training.search import Trials

    View = dict[str, Any]
    """Values for the template."""

TEMPLATE = "reporting/templates/model.html"
MOST_CHANGES = 2
"""Maximum number of knobs in which a trial is described by its changes alone."""
FACE = 132
"""Side of a drawn face in px."""
SLICES = {
    "pose": "Pose: angle between face and line of sight",
    "size": "Size: distance between the irises",
    "brightness": "Brightness of the face, 0 to 1",
    "sharpness": "Sharpness of the face (variance of the Laplacian)",
    "data_set": "Data set",
}
FIGURES = {
    "accuracy": "accuracy",
    "majority_baseline": "accuracy of always predicting the most frequent label",
    "accuracy_found": "accuracy, faces found",
    "macro_f1": "macro-F1",
    "ece": "calibration error",
    "negative_log_likelihood": "negative log-likelihood",
}
SHARES = {"accuracy", "majority_baseline", "accuracy_found"}
"""Those of the figures that are shown in per cent."""


def text(bundle: Bundle, report: Report, found: Findings, table: Table | None) -> str:
    """The page.

    Args:
        bundle: loaded, so that the page is about files that belong together.
        report: of the bundle.
        found: by other commands.
        table: the rows that it was evaluated on, to draw its worst mistakes; None: no drawings.
    """
    scores = {"test": report.evaluation.test, "validation": report.evaluation.validation}
    test = report.evaluation.test
    by_label = _by_label(test)
    occurring = [each for each in by_label if each["rows"]]
    files = findings.files_of(bundle.folder)
    view = {
        "manifest": bundle.manifest,
        "provenance": bundle.manifest.provenance,
        "report": report,
        "scores": scores,
        "test": test,
        "about": about,
        "range_text": range_text,
        "reads": about.reads(report),
        "limits": about.limits(report),
        "origins": about.origins(report),
        "parity": about.parity(report),
        "knobs": about.knobs(report),
        "marks": about.marks(test),
        "headlines": _headlines(scores),
        "by_label": by_label,
        "most": max(occurring, key=itemgetter("rows")),
        "best": max(occurring, key=itemgetter("recall")),
        "worst_label": min(occurring, key=itemgetter("recall")),
        "confusions": {split: _confusion(each) for split, each in scores.items()},
        "figures": _figures(report, scores),
        "slices": [
            (SLICES.get(name, name), rows)
            for name, rows in test.slices.items()
            if name != "data_set" or len(rows) > 1  # a single data set repeats the headline
        ],
        "mistakes": _mistakes(test, table),
        "has_table": table is not None,
        "files": {name: f"{findings.EVALUATION}/{path.name}" for name, path in files.items()},
        "cross_validation": found.cross_validation and _cross_validation(found.cross_validation),
        "trials": found.trials and _trials(found.trials),
        "comparison": found.comparison and _comparison(found.comparison),
        "robustness": found.robustness and _robustness(found.robustness, bundle.id),
        "range": _range_of(found.range, bundle.id),
    }
    rendered: str = _template().render(view)
    return rendered


def _template() -> Any:
    environment = page.environment()
    environment.globals["joined"] = joined
    environment.filters |= {
        "share": _share,
        "share0": lambda value: f"{value:.0%}",
        "figure": _figure,
        "count": lambda value: f"{value:,}",
        "seconds": lambda value: f"{value:,.0f}",
        "range": _range,
        "metres": lambda value: f"{value:.1f}",
        "shown": lambda value: json.dumps(value, ensure_ascii=False),
    }
    return environment.get_template(TEMPLATE)


def _share(value: float) -> str:
    return f"{value:.1%}"


def _figure(value: float) -> str:
    return f"{value:.3f}"


def _formatted(name: str, value: float) -> str:
    """The value of one of `FIGURES`."""
    return _share(value) if name in SHARES else _figure(value)


def _range(interval: Interval, *, shares: bool = True) -> str:
    low, high = interval
    return f"{100 * low:.1f} to {high:.1%}" if shares else f"{low:.3f} to {high:.3f}"


def _headlines(scores: dict[str, Scores]) -> list[tuple[str, list[tuple[str, str]]]]:
    """For every figure its value and interval in each split."""
    rows = []
    for name, words in FIGURES.items():
        values = []
        for each in scores.values():
            interval = getattr(each, f"{name}_interval", None)
            limits = _range(interval, shares=name in SHARES) if interval else ""
            values.append((_formatted(name, getattr(each, name)), limits))
        rows.append((words, values))
    return rows


def _by_label(scores: Scores) -> list[View]:
    """For each label its rows and figures, recall with Wilson's interval."""
    return [
        {
            "name": name,
            "rows": rows,
            "recall": scores.recall[name],
            "interval": wilson(scores.confusion[index][index], rows),
            "predicted": scores.predictions[name],
            "precision": scores.precision[name],
            "f1": scores.f1[name],
        }
        for index, (name, rows) in enumerate(scores.support.items())
    ]


def _confusion(scores: Scores) -> View:
    """Rows of cells with their counts and shares of the row."""
    predicted = (*scores.labels, "no face")
    rows = [
        {
            "label": label,
            "cells": [
                {"predicted": name, "rows": count, "share": count / max(1, sum(counts)), "correct": name == label}
                for name, count in zip(predicted, counts, strict=True)
            ],
        }
        for label, counts in zip(scores.labels, scores.confusion, strict=True)
    ]
    return {"predicted": predicted, "rows": rows}


def _figures(report: Report, scores: dict[str, Scores]) -> View:
    """The plots, as SVG."""
    test, marks = scores["test"], [asdict(each) for each in about.marks(scores["test"])]
    drawn: View = {"losses": [plots.learning_curves(asdict(each), name) for name, each in report.losses.items()]}
    if test.coverage:  # without a face found there is nothing to draw
        drawn["reliability"] = plots.reliability([asdict(each) for each in test.reliability])
        curves = {split: [asdict(point) for point in each.coverage] for split, each in scores.items() if each.coverage}
        drawn["coverage"] = plots.coverage(curves, marks)
    return drawn


def _mistakes(scores: Scores, table: Table | None) -> list[View]:
    """The mistakes with the highest confidence, each with a drawing if its row is in the table."""
    row_of = dict(zip(table.ids.tolist(), range(len(table)), strict=True)) if table else {}
    mistakes = []
    for mistake in scores.worst:
        row = row_of.get(mistake.id)
        drawing = None
        if table is not None and row is not None and table.found[row]:
            title = f"{mistake.label}, read as {mistake.predicted}"
            drawing = mesh_drawing.svg(table.landmarks[row], size=FACE, title=title)
        mistakes.append({**asdict(mistake), "drawing": drawing})
    return mistakes


def _cross_validation(found: CrossValidation) -> View:
    """Mean and standard deviation of every figure over the folds."""
    return {
        "command": found.command,
        "folds": len(found.folds),
        "figures": [
            (words, _formatted(name, found.mean[name]), _formatted(name, found.deviation[name]))
            for name, words in FIGURES.items()
            if name in found.mean
        ],
    }


def _trials(found: Trials) -> View:
    """The knobs that were changed, and the figures of each trial."""
    knobs = [flat(trial.knobs) for trial in found.trials]
    names = list(dict.fromkeys(name for each in knobs for name in each))
    changed = [name for name in names if len({json.dumps(each.get(name)) for each in knobs}) > 1]
    measured = [name for name in FIGURES if all(name in trial.validation for trial in found.trials)]
    by_knob = {name: [each.get(name) for each in knobs] for name in changed}
    usual = {name: max(values, key=values.count) for name, values in by_knob.items()}
    changes = [{name: each.get(name) for name in changed if each.get(name) != usual[name]} for each in knobs]
    one_by_one = {} in changes and max(map(len, changes)) <= MOST_CHANGES < len(changed)
    return {
        "command": found.command,
        "usual": usual if one_by_one else None,
        "knobs": changed,
        "figures": [FIGURES[name] for name in measured],
        "rows": [
            (
                [each.get(name) for name in changed],
                change,
                [_formatted(name, trial.validation[name]) for name in measured],
            )
            for each, change, trial in zip(knobs, changes, found.trials, strict=True)
        ],
    }


def _comparison(found: Comparison) -> View:
    """Those that ran, and those that did not."""
    return {
        "command": found.command,
        "ran": [each for each in found.contenders if each.why_not is None],
        "others": [each for each in found.contenders if each.why_not is not None],
    }


def _robustness(found: Robustness, mine: str) -> View:
    ids, distortions = about.by_distortion(found, mine)
    return {
        "command": found.command,
        "rows": found.rows,
        "split": found.split,
        "bundles": ids,
        "distortions": distortions,
    }


def _range_of(found: Range | None, mine: str) -> View | None:
    """The range of the bundle `mine` with its plot; None: not measured."""
    pictures = range_text.by_picture(found, mine)
    if found is None or not pictures:
        return None
    return {
        "command": found.command,
        "introduction": range_text.introduction(found).replace("*", "").replace("`", ""),
        "lenses": [lens.name for lens in LENSES],
        "soon": face_range.SOON_S,
        "limit": face_range.LIMIT_S,
        "pictures": [
            (f"{width}x{height}", [(*row, {way: each.read[mine] for way, each in row[2].items()}) for row in rows])
            for (width, height), rows in pictures.items()
        ],
        "plot": plots.face_range(pictures, mine),
    }
