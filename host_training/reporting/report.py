"""One self-contained HTML page from which a person can decide whether to trust a model."""

from __future__ import annotations

import contextlib
import json
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from edge.bundle import bundle as edge_bundle
from edge.errors import DataError, NoInputError
from host_training.output import write_text
from host_training.reporting import card, mesh_drawing, page, plots
from host_training.training.bundle import REPORT
from host_training.words import joined

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from host_training.data.keypoints import Table

Json = dict[str, Any]

MOST_CHANGES = 2
"""Knobs in which a recipe may differ from the usual one to be told by them alone."""
FOLDS, TRIALS = "cross-validation.json", "trials.json"
"""What `emotion-train cross-validate` and `search` found for a bundle's recipe, in `EVALUATION` under names that begin
with the bundle's folder, as in `fused.trials.json`."""
COMPARISON, ROBUSTNESS = "comparison.json", "robustness.json"
"""What `emotion-train compare` and `robustness` found for all of them, in `EVALUATION`."""
EVALUATION = "evaluation"
"""Folder beside the bundle's."""
FACE = 132
"""px, the side of a drawn face."""
SPLITS = ("test", "validation")
"""That a model is judged on."""
SLICES = {
    "pose": "Pose: angle between face and line of sight",
    "size": "Size: distance between the irises",
    "brightness": "Brightness of the face, 0 to 1",
    "sharpness": "Sharpness of the face (variance of the Laplacian)",
    "data_set": "Data set",
}
FIGURES = {
    "accuracy": "accuracy",
    "majority_baseline": "accuracy of always the most frequent label",
    "accuracy_found": "accuracy, faces found",
    "macro_f1": "macro-F1",
    "ece": "calibration error",
    "negative_log_likelihood": "negative log-likelihood",
}
SHARES = {"accuracy", "majority_baseline", "accuracy_found"}
"""Of these, those told in per cent."""


def write(
    bundle_folder: Path,
    table: Table | None,
    out: Path,
    *,
    comparison: Path | None = None,
    model_card: Path | None = None,
) -> None:
    """Write the page, and the model card with what was found since; each appears whole or not at all.

    `FOLDS`, `TRIALS`, `COMPARISON` and `ROBUSTNESS` are on it if they lie where they are looked for.

    Args:
        bundle_folder: a bundle made by `emotion-train train`.
        table: the rows it was judged on, for drawings of its worst mistakes; None: without them.
        out: the HTML file.
        comparison: made by `emotion-train compare`, where it is not beside the bundle's folder.
        model_card: the Markdown file; None: without it.

    Raises:
        ConfigError: the folder holds no whole bundle.
        NoInputError: the bundle has no report, or there is no such comparison.
        DataError: one of these files is in no form that this version knows.
        OutputError: the page cannot be written.
    """
    # A report is worth something only if it is about the files beside it.
    bundle = edge_bundle.load(bundle_folder)
    path, beside = bundle_folder / REPORT, bundle_folder.absolute().parent / EVALUATION
    report = _read(path)
    if report is None:
        raise NoInputError(f"{path}: is not there; bundles with a report are made by `emotion-train train`")
    if comparison and not comparison.exists():
        raise NoInputError(f"{comparison}: is not there; it is made by `emotion-train compare`")
    folds, trials = (f"{bundle_folder.absolute().name}.{name}" for name in (FOLDS, TRIALS))
    values: Json = {
        "manifest": bundle.manifest,
        "provenance": bundle.manifest.provenance,
        "files": (folds, trials, COMPARISON, ROBUSTNESS),
    }
    for name, view, source in (
        ("cross_validation", _cross_validation, beside / folds),
        ("trials", _trials, beside / trials),
        ("comparison", _comparison, comparison or beside / COMPARISON),
        ("distortions", lambda found: card.distortions(found, bundle.id), beside / ROBUSTNESS),
    ):
        lies_beside = _read(source)
        with _form_of(path if lies_beside is None else source):
            if lies_beside is not None:
                report[name] = lies_beside
            values[name] = view(report[name]) if report.get(name) else None
    with _form_of(path):
        text = _template().render(values | _views(report, table))
        words = card.text(report, bundle.manifest.provenance) if model_card else ""
    write_text(out, text)
    if model_card:
        write_text(model_card, words)


def _read(path: Path) -> Json | None:
    """The object in a JSON file; None where there is no file."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NoInputError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: not a JSON file ({error}); make it again") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: holds no JSON object; make it again")
    return value


@contextlib.contextmanager
def _form_of(path: Path) -> Iterator[None]:
    """What does not fit while a file's content is put on the page is that file's fault."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, TemplateError) as error:
        raise DataError(
            f"{path}: not in the form that this version knows ({type(error).__name__}: {error}); make it again"
        ) from error


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
        "shown": lambda value: json.dumps(value, ensure_ascii=False),
    }
    return environment.get_template("reporting/templates/report.html")


def _share(value: float) -> str:
    return f"{value:.1%}"


def _figure(value: float) -> str:
    return f"{value:.3f}"


def _told(name: str, value: float) -> str:
    """The value of one of `FIGURES`."""
    return _share(value) if name in SHARES else _figure(value)


def _range(interval: Sequence[float], *, shares: bool = True) -> str:
    low, high = interval
    return f"{100 * low:.1f} to {high:.1%}" if shares else f"{low:.3f} to {high:.3f}"


def _views(report: Json, table: Table | None) -> Json:
    """What the template shows, in the order of the page."""
    evaluation = report.get("evaluation", {})
    scores = {split: evaluation[split] for split in SPLITS if split in evaluation}
    test = scores.get("test")
    classes = _classes(test) if test else []
    seen = [each for each in classes if each["rows"]]
    return {
        "report": report,
        "scores": scores,
        "test": test,
        "reads": card.READS,
        "from": card.reads(report),
        "fits": card.FITS,
        "forbidden": card.FORBIDDEN,
        "flatters": card.FLATTERS,
        "resolution": card.RESOLUTION,
        "limits": card.limits(report),
        "origins": card.origins(report),
        "parity": card.parity_line(report) if "parity" in report else None,
        "recipe": card.recipe(report),
        "headlines": _headlines(scores),
        "classes": classes,
        "most": max(seen, key=itemgetter("rows"), default=None),
        "best": max(seen, key=itemgetter("recall"), default=None),
        "poorest": min(seen, key=itemgetter("recall"), default=None),
        "confusions": {split: _confusion(each) for split, each in scores.items()},
        "marks": card.marks(test) if test else [],
        "figures": _figures(report, scores),
        "slices": [
            (SLICES.get(name, name), rows)
            for name, rows in (test or {}).get("slices", {}).items()
            if name != "data_set" or len(rows) > 1  # one data set is all there is
        ],
        "worst": _worst(test, table) if test else [],
        "has_table": table is not None,
    }


def _headlines(scores: Json) -> list[tuple[str, list[tuple[str, str]]]]:
    """For every figure its values with their intervals, in the order of the splits."""
    rows = []
    for name, words in FIGURES.items():
        between = f"{name}_interval"
        values = [
            (
                _told(name, each[name]) if name in each else "-",
                _range(each[between], shares=name in SHARES) if between in each else "",
            )
            for each in scores.values()
        ]
        rows.append((words, values))
    return rows


def _classes(scores: Json) -> list[Json]:
    """By label: its rows, how they are read, and how sure that is."""
    rows = []
    for index, (name, count) in enumerate(card.support(scores).items()):
        low, high = plots.wilson(scores["confusion"][index][index], count)
        recall, precision = scores["recall"][name], scores["precision"][name]
        f1 = 2 * recall * precision / ((recall + precision) or 1)
        rows.append(
            {"name": name, "rows": count, "recall": recall, "interval": (low, high), "precision": precision, "f1": f1}
        )
    return rows


def _confusion(scores: Json) -> Json:
    """Rows of cells with their counts and shares of the row."""
    said = (*scores["labels"], "no face")
    rows = [
        {
            "label": label,
            "rows": sum(counts),
            "cells": [
                {"said": word, "rows": count, "share": count / max(1, sum(counts)), "right": word == label}
                for word, count in zip(said, counts, strict=True)
            ],
        }
        for label, counts in zip(scores["labels"], scores["confusion"], strict=True)
    ]
    return {"said": said, "rows": rows}


def _figures(report: Json, scores: Json) -> Json:
    """The drawn ones, as SVG."""
    drawn: Json = {"losses": [plots.learning_curves(each, name) for name, each in report.get("losses", {}).items()]}
    test = scores.get("test", {})
    if test.get("reliability"):
        drawn["reliability"] = plots.reliability(test["reliability"])
    if test.get("coverage"):
        curves = {split: each["coverage"] for split, each in scores.items() if each.get("coverage")}
        drawn["coverage"] = plots.coverage(curves, card.marks(test))
    return drawn


def _worst(scores: Json, table: Table | None) -> list[Json]:
    """The mistakes made with most confidence, each with a drawing where its row is in the table."""
    row_of = dict(zip(table.ids.tolist(), range(len(table)), strict=True)) if table else {}
    faces = []
    for mistake in scores.get("worst", ()):
        row = row_of.get(mistake["id"])
        words = f"{mistake['label']}, read as {mistake['predicted']}"
        drawing = None
        if table is not None and row is not None and table.found[row]:
            drawing = mesh_drawing.svg(table.landmarks[row], size=FACE, title=words)
        faces.append({**mistake, "drawing": drawing})
    return faces


def _cross_validation(found: Json) -> Json:
    """Mean and deviation of every figure over the folds."""
    return {
        "command": found.get("command"),
        "folds": card.fold_count(found),
        "figures": [
            (words, _told(name, found["mean"][name]), _told(name, found["deviation"][name]))
            for name, words in FIGURES.items()
            if name in found["mean"]
        ],
    }


def _trials(found: Json | list[Json]) -> Json:
    """What was tried: the knobs that were turned, and what came of it."""
    command, trials = (None, found) if isinstance(found, list) else (found["command"], found["trials"])
    knobs = [card.flat(trial["knobs"]) for trial in trials]
    names = list(dict.fromkeys(name for each in knobs for name in each))
    turned = [name for name in names if len({json.dumps(each.get(name)) for each in knobs}) > 1]
    measured = [name for name in FIGURES if all(name in trial["validation"] for trial in trials)]
    by_knob = {name: [each.get(name) for each in knobs] for name in turned}
    usual = {name: max(values, key=values.count) for name, values in by_knob.items()}
    changes = [{name: each.get(name) for name in turned if each.get(name) != usual[name]} for each in knobs]
    return {
        "command": command,
        # Where a knob was turned at a time, only what was turned is worth the room.
        "usual": usual if {} in changes and max(map(len, changes)) <= MOST_CHANGES < len(turned) else None,
        "knobs": turned,
        "figures": [FIGURES[name] for name in measured],
        "rows": [
            ([each.get(name) for name in turned], change, [_told(name, trial["validation"][name]) for name in measured])
            for each, change, trial in zip(knobs, changes, trials, strict=True)
        ],
    }


def _comparison(found: Json) -> Json:
    """Other kinds of classifier on the same rows; `ran` tells which have figures."""
    return {
        "command": found["command"],
        "rows": found["rows"],
        "ran": [each for each in found["contenders"] if each["ran"]],
        "others": [each for each in found["contenders"] if not each["ran"]],
    }
