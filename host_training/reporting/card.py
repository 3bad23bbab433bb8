"""MODEL_CARD.md: what a model reads, how good it is, where it fails, and what it must not be used for."""

from __future__ import annotations

import json
import re
import textwrap
from typing import TYPE_CHECKING

from edge.classifier.features import CROP_INPUT
from host_training.data.keypoints import TEST
from host_training.data.votes import VOTES
from host_training.reporting import about, range_text
from host_training.reporting.findings import Findings
from host_training.words import joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edge.bundle.manifest import Provenance
    from host_training.evaluation.metrics import Interval
    from host_training.evaluation.robustness import Robustness
    from host_training.evaluation.scores import Scores
    from host_training.reporting.report import Report
    from host_training.training.folds import CrossValidation

WIDTH = 110
"""Columns that paragraphs are filled to."""

_FIGURES = {
    "accuracy": "accuracy, missed faces are errors",
    "majority_baseline": "accuracy of always predicting the most frequent label",
    "macro_f1": "macro-F1",
    "ece": "expected calibration error, faces found",
    "accuracy_found": "accuracy on faces found",
}
_SLICES = {"pose": "pose", "size": "distance between the irises", "brightness": "brightness"}


def text(report: Report, provenance: Provenance, findings: Findings | None = None) -> str:
    """The card as Markdown.

    Args:
        report: of the bundle.
        provenance: from its manifest.
        findings: of other commands; None: none yet.
    """
    blocks = [
        *_head(report),
        *_quality(report, provenance, findings or Findings()),
        *_training(report, provenance),
        "## Limits",
        _list(about.limits(report)),
        "## Intended use",
        about.USE,
        about.FORBIDDEN,
    ]
    return "\n\n".join(map(_wrapped, blocks)) + "\n"


def _head(report: Report) -> list[str]:
    labels = f"one of {joined(report.evaluation.test.labels, 'or')}. {about.READS}"
    size = f"{report.parameters:,} parameters, {report.kind} from end to end, {report.bytes / 1000:.0f} kB"
    return [
        f"# Model card: {report.id}",
        f"Reads a facial *expression* from {about.reads(report)}: {labels}",
        f"{about.architecture(report)}: {size}. {about.parity(report)}",
    ]


def _quality(report: Report, provenance: Provenance, findings: Findings) -> list[str]:
    test, validation = report.evaluation.test, report.evaluation.validation
    protocol = (
        f"Measured on {test.rows:,} test pictures. Neither they nor {_copies(report)} were used to train the model or "
        f"to choose its recipe. {test.protocol} A device's interpreter ran the {report.kind} file. In brackets: 95 % "
        "intervals, by bootstrap over people or pictures."
    )
    rows = [[words, *(_with_interval(each, name) for each in (test, validation))] for name, words in _FIGURES.items()]
    rows.append(["share of faces found", *(f"{each.found / each.rows:.4f}" for each in (test, validation))])
    return [
        "## How good it is",
        protocol,
        _table(("figure", "test", "validation"), rows),
        f"    {provenance.command}\n    {report.evaluate_command}",
        f"The first command makes the model and these figures, the second the test column again. {about.OPTIMISTIC}",
        *_cross_validation(findings.cross_validation),
        *_by_label(test),
        *_coverage(test),
        *_slices(test),
        *_robustness(findings.robustness, report.id),
        *range_text.markdown(findings.range, report.id, bars=True),
    ]


def _copies(report: Report) -> str:
    """The copies of the test pictures that were kept out of training."""
    found = any("same photo" in note for note in report.notes)
    return "the other copies of the same photos, as far as they were found," if found else "byte-equal copies of them"


def _by_label(test: Scores) -> list[str]:
    rows = []
    for name, count in test.support.items():
        shares = ((test.recall[name], count), (test.precision[name], count and test.predictions[name]))
        rows.append((name, str(count), *(f"{share:.3f}" if whole else about.NONE for share, whole in shares)))
    confusion = zip(test.labels, test.confusion, strict=True)
    return [
        _table(("label", "test rows", "recall", "precision"), rows),
        "Confusion matrix of the test rows. Down: true label. Across: predicted label.",
        _table(("", *test.labels, "no face"), ((f"**{name}**", *map(str, counts)) for name, counts in confusion)),
    ]


def _coverage(test: Scores) -> list[str]:
    rows = [(f"{at.threshold:g}", f"{at.coverage:.3f}", f"{at.accuracy:.3f}") for at in about.marks(test)]
    columns = ("readings from a confidence of", "share of the pictures", "accuracy on these")
    return [_table(columns, rows)] if rows else []


def _slices(test: Scores) -> list[str]:
    tables = []
    for dimension, words in _SLICES.items():
        rows = [
            (each.name, str(each.rows), f"{each.accuracy:.3f} ({_range(each.interval)})")
            for each in test.slices.get(dimension, ())
        ]
        tables += [_table((words, "test rows", "accuracy"), rows)] if rows else []
    return tables


def _robustness(found: Robustness | None, mine: str) -> list[str]:
    if found is None:
        return []
    ids, distortions = about.by_distortion(found, mine)
    pictures = "of these pictures" if found.split == TEST else f"{found.split} pictures"
    rows = []
    for summary, figures in distortions:
        accuracies = [f"{each.accuracy:.3f} ({_range(each.accuracy_interval)})" for each in figures]
        rows.append((summary, *accuracies, f"{figures[0].found:.3f}"))
    return [
        f"{found.rows:,} {pictures}, distorted, and read as a device reads pictures. A missed face is an error.",
        _table(("accuracy on pictures", *ids, "share of faces found"), rows),
        about.RESOLUTION,
        f"    {found.command}",
    ]


def _cross_validation(found: CrossValidation | None) -> list[str]:
    if found is None:
        return []
    figures = ", ".join(
        f"{words} {found.mean[name]:.4f} ± {found.deviation[name]:.4f}"
        for name, words in _FIGURES.items()
        if name in found.mean
    )
    rows = "the training and validation rows, mean and standard deviation"
    return [f"{len(found.folds)}-fold cross-validation on {rows}: {figures}."]


def _training(report: Report, provenance: Provenance) -> list[str]:
    rows = " ".join(
        f"{split.capitalize()}: {row.rows:,} rows, a face found in {row.found:,}." for split, row in report.rows.items()
    )
    by_votes = report.evaluation.test.truth == VOTES
    targets = "each row's votes as a distribution, or its label if nobody voted" if by_votes else "the rows' labels"
    golden = (
        "The pictures are not part of this bundle. `golden.npz` holds the landmarks of a few faces, coordinates that "
        "don't give the picture back"
    ) + (", and crops that are each the mean of many faces." if CROP_INPUT in report.inputs else ".")
    mesh = provenance.landmarker_sha256[:12]
    processor = f", on {provenance.processor}" if provenance.processor else ""
    facts = [
        *(f"Pictures: {origin}" for origin in about.origins(report)),
        golden,
        f"Landmarks: MediaPipe's face mesh (Apache-2.0), sha256 {mesh}…, run as a device runs it on a single picture.",
        f"Made with {', '.join(f'{name} {version}' for name, version in provenance.libraries.items())}{processor}.",
        *report.notes,
    ]
    knobs = "\n".join(f"    {key} = {json.dumps(value)}" for key, value in about.knobs(report).items())
    return [
        "## Training",
        f"{rows} The targets were {targets}.",
        _list(facts),
        "The recipe; a file with these lines can be given to `emotion-train train --recipe`:",
        knobs,
    ]


def _with_interval(scores: Scores, name: str) -> str:
    interval = getattr(scores, f"{name}_interval", None)
    return f"{getattr(scores, name):.4f}" + (f" ({_range(interval)})" if interval else "")


def _range(interval: Interval) -> str:
    return "{:.3f} to {:.3f}".format(*interval)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"* {item}" for item in items)


def _wrapped(block: str) -> str:
    """A paragraph or list of Markdown, filled to `WIDTH`; tables, code and headings stay as they are."""
    if block.startswith(("|", "    ", "#")):
        return block
    return "\n".join(
        textwrap.fill(item, WIDTH, subsequent_indent="  " * item.startswith("* "), break_on_hyphens=False)
        for item in re.split(r"\n(?=\* )", block)
    )
