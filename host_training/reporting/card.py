"""MODEL_CARD.md: what the classifier reads, how well, and what it must not be used for; words for the report too."""

from __future__ import annotations

import json
import re
import textwrap
from typing import TYPE_CHECKING, Any

from edge.classifier.features import CROP_INPUT, LANDMARKS_INPUT
from host_training.data.votes import VOTES
from host_training.training.parity import MAX_LOSS, MIN_AGREEMENT
from host_training.training.recipe import EARLY
from host_training.words import joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from edge.bundle.manifest import Provenance

WIDTH = 110
"""Columns that its paragraphs are filled to."""
THRESHOLDS = (0.5, 0.7, 0.9)
"""Confidences at which coverage is told; a device shows an expression from the first on, unless set otherwise."""
FEW = 100
"""Test rows of a label; with fewer, one face more or less moves its recall by more than a point."""

READS = "An expression is what a face shows; it is not what a person feels."
FITS = (
    "For installations, robots, games, home automation and study that respond to a face in view, where a wrong "
    "reading does no harm and the people in view know about it."
)
FORBIDDEN = (
    "Not for judging people. Not for inferring emotions at work or in schools: the European Union forbids it (AI "
    "Act, Article 5(1)(f)), and wants people to be told wherever else such a system looks at them (Article 50(3)). "
    "Not for medicine, hiring, policing, border control, lie detection or driver safety."
)
FLATTERS = (
    "The recipe was chosen on the validation column, which also stopped training and set the temperature: it flatters."
)

RESOLUTION = (
    "Low resolution is not distance: the picture is scaled down, and the face still fills it. These rows "
    "don't tell how far away a face may be."
)

_ORIGINS = {
    "fer2013": (
        "FER2013 (Goodfellow et al., 2013), faces of 48x48 px collected by web search for a challenge and meant for "
        "research; its votes are FER+'s (Barsoum et al., 2016), ten people for each picture, MIT licence."
    )
}
_BLIND = (
    "The pictures come from the web: who is in them by age, skin and culture is not known, so neither is how evenly "
    "the errors fall."
)
_POSED = "The pictures were found by searching for words of emotion. Everyday faces are subtler."
_GEOMETRY = "Geometry leaves out what is no shape: wrinkles, colour, tears. A network on pixels does better there."
_SMALL = "It sees small grey pictures: what shows in colour, or in finer detail, is lost on it."
_APPEARANCE = (
    "A network that sees skin, hair and glasses can be wrong because of them; one that sees landmarks alone can't. "
    "Whether this one is could not be measured: nothing is known of the people in the pictures."
)
_FIGURES = (
    ("accuracy, missed faces are errors", "accuracy"),
    ("accuracy of always the most frequent label", "majority_baseline"),
    ("macro-F1", "macro_f1"),
    ("expected calibration error, faces found", "ece"),
    ("accuracy on faces found", "accuracy_found"),
)


def text(report: Mapping[str, Any], provenance: Provenance) -> str:
    """The card as Markdown.

    Args:
        report: as in `report.json`; its `evaluation` has `test` and `validation`.
        provenance: as in the manifest.
    """
    blocks = [*_head(report), *_quality(report, provenance), *_data(report, provenance)]
    blocks += ["## Where it fails", _listed(limits(report)), "## What it is for, and what not", FITS, FORBIDDEN]
    return "\n\n".join(map(_wrapped, blocks)) + "\n"


def limits(report: Mapping[str, Any]) -> list[str]:
    """Where the model fails, a sentence or two each."""
    test = report.get("evaluation", {}).get("test", {})
    rare = [f"{name} ({count})" for name, count in support(test).items() if count < FEW] if test else []
    told = ["Rare expressions are read worst: see the table."]
    if rare:
        told[0] += f" There are few test rows of {joined(rare)}, and a figure from so few is itself uncertain."
    told += [_SMALL, _APPEARANCE] if CROP_INPUT in inputs(report) else [_GEOMETRY]
    if test.get("truth", VOTES) == VOTES:
        told.append("The votes are opinions of people who saw a picture without its story; even they often disagree.")
    if "fer2013" in data_sets(report):
        told += [_BLIND, _POSED]
    told.append("The confidence is calibrated on such pictures too. Elsewhere it may promise too much.")
    return told


def inputs(report: Mapping[str, Any]) -> list[str]:
    """What the model sees, as manifests have it."""
    seen: list[str] = report.get("inputs", [LANDMARKS_INPUT])
    return seen


def reads(report: Mapping[str, Any]) -> str:
    """What the model sees, in words."""
    mesh, crop = "the 478 landmarks of MediaPipe's face mesh", "a small grey crop of the picture, cut out along"
    if CROP_INPUT not in inputs(report):
        return mesh
    return f"{mesh} and {crop} them" if LANDMARKS_INPUT in inputs(report) else f"{crop} {mesh}"


def kind(report: Mapping[str, Any]) -> str:
    """What kind of network it is."""
    parts = {
        LANDMARKS_INPUT: "a multi-layer perceptron on the landmarks",
        CROP_INPUT: "a convolutional network on the crop",
    }
    named = [parts[name] for name in inputs(report)]
    if len(named) == 1:
        text = named[0]
    elif report.get("recipe", {}).get("fusion") == EARLY:
        text = "one convolutional network on the crop, which a layer on the landmarks runs into at its end"
    else:
        text = f"the sum of {named[0]} and {named[1]}"
    return text[0].upper() + text[1:]


def data_sets(report: Mapping[str, Any]) -> list[str]:
    """Names of the data sets that the rows came from."""
    scores = report.get("evaluation", {}).values()
    named = {each["name"] for part in scores for each in part.get("slices", {}).get("data_set", ())}
    return sorted(named | set(report.get("data_sets", ())))


def origins(report: Mapping[str, Any]) -> list[str]:
    """What is known of these data sets."""
    return [_ORIGINS.get(name, f"{name}, on the terms under which it was got.") for name in data_sets(report)]


def support(scores: Mapping[str, Any]) -> dict[str, int]:
    """Rows by label."""
    return {name: sum(row) for name, row in zip(scores["labels"], scores["confusion"], strict=True)}


def marks(scores: Mapping[str, Any]) -> list[dict[str, float]]:
    """The points of the coverage curve at `THRESHOLDS`, as far as it goes."""
    by_threshold = {round(point["threshold"], 2): point for point in scores.get("coverage", ())}
    return [by_threshold[threshold] for threshold in THRESHOLDS if threshold in by_threshold]


def fold_count(found: Mapping[str, Any]) -> int:
    """K, of a cross-validation that counts its folds or lists them."""
    folds: int | list[Any] = found["folds"]
    return folds if isinstance(folds, int) else len(folds)


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key."""
    keys: dict[str, Any] = {}
    for name, value in settings.items():
        keys |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return keys


def recipe(report: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that took part in making the model, by dotted key."""
    keys = flat(report.get("recipe", {}))
    return {
        key: value
        for key, value in keys.items()
        if CROP_INPUT in inputs(report) or not key.startswith(f"{CROP_INPUT}.")
    }


def parity_line(report: Mapping[str, Any]) -> str:
    """How the int8 and the float network compare, in one sentence or two."""
    parity = report["parity"]
    figures = (
        f"on the validation faces int8 names the same label as float on {parity['agreement']:.2%}, "
        f"accuracy {parity['int8_accuracy']:.4f} against {parity['float_accuracy']:.4f}; probabilities differ by "
        f"{parity['mean_difference']:.4f} on average, {parity['max_difference']:.3f} at most"
    )
    if parity["holds"]:
        return f"Quantised: {figures}."
    return (
        f"Not quantised: {figures}. That is less than {MIN_AGREEMENT:.0%} agreement or more than {MAX_LOSS:.1%} of "
        "accuracy lost, so the float model is packed."
    )


def _head(report: Mapping[str, Any]) -> list[str]:
    what = f"one of {joined(report['evaluation']['test']['labels'], 'or')}. {READS}"
    size = f"{report['parameters']:,} parameters, {report['kind']} from end to end, {report['bytes'] / 1000:.0f} kB"
    return [
        f"# Model card: {report['id']}",
        f"Reads a facial *expression* from {reads(report)}: {what}",
        f"{kind(report)}: {size}. {parity_line(report)}",
    ]


def _quality(report: Mapping[str, Any], provenance: Provenance) -> list[str]:
    test, validation = (report["evaluation"][split] for split in ("test", "validation"))
    about = (
        f"{test['rows']:,} test pictures that neither training nor any choice has seen, nor {_copies(report)}. "
        f"{report['protocol']} The {report['kind']} file was run by the interpreter that runs it on a device. In "
        "brackets: 95 % intervals, by bootstrap over persons or pictures."
    )
    rows = [[words, *(_with_interval(each, name) for each in (test, validation))] for words, name in _FIGURES]
    rows.append(["share of faces found", *(f"{each['found'] / each['rows']:.4f}" for each in (test, validation))])
    return [
        "## How good it is",
        about,
        _table(("figure", "test", "validation"), rows),
        f"    {provenance.command}\n    {report['evaluate_command']}",
        "The first command makes the model and these figures; the second measures the test column again. " + FLATTERS,
        *_folds(report),
        *_by_label(test),
        *_coverage(test),
        *_slices(test),
        *_distortions(report),
    ]


def _copies(report: Mapping[str, Any]) -> str:
    """Which copies of the test pictures were kept out of training."""
    found = any("same photo" in note for note in report.get("notes", ()))
    return "another copy of the same photo, as far as one was found" if found else "a byte-equal copy of them"


def _by_label(test: Mapping[str, Any]) -> list[str]:
    rows = (
        (name, str(count), f"{test['recall'][name]:.3f}", f"{test['precision'][name]:.3f}")
        for name, count in support(test).items()
    )
    confusion = zip(test["labels"], test["confusion"], strict=True)
    return [
        _table(("label", "test rows", "recall", "precision"), rows),
        "Confusion, test rows. Down: the truth. Across: what the model said.",
        _table(("", *test["labels"], "no face"), ((f"**{name}**", *map(str, counts)) for name, counts in confusion)),
    ]


def _coverage(test: Mapping[str, Any]) -> list[str]:
    rows = [(f"{at['threshold']:g}", f"{at['coverage']:.3f}", f"{at['accuracy']:.3f}") for at in marks(test)]
    columns = ("answers from a confidence of", "share of faces answered", "share right among these")
    return [_table(columns, rows)] if rows else []


def _slices(test: Mapping[str, Any]) -> list[str]:
    tables = []
    for words, dimension in (("pose", "pose"), ("distance between the irises", "size"), ("brightness", "brightness")):
        rows = [
            (each["name"], str(each["rows"]), f"{each['accuracy']:.3f} ({_range(each['interval'])})")
            for each in test.get("slices", {}).get(dimension, ())
        ]
        tables += [_table((words, "test rows", "accuracy"), rows)] if rows else []
    return tables


def distortions(found: Mapping[str, Any], mine: str) -> dict[str, Any]:
    """What `emotion-train robustness` found, by kind of distortion, with bundle `mine` first where it took part.

    Returns:
        `rows`, how many pictures; `bundles`, ids; `kinds`, for each its summary and the figures of every bundle.
    """
    ids = sorted(found["bundles"], key=lambda each: each != mine)
    kinds = [(words, [found["bundles"][each][name] for each in ids]) for name, words in found["distortions"].items()]
    return {"command": found["command"], "rows": found["rows"], "bundles": ids, "kinds": kinds}


def _distortions(report: Mapping[str, Any]) -> list[str]:
    """What bad pictures cost, beside the other bundles that were judged on the same ones."""
    found = report.get("distortions")
    if not found:
        return []
    view = distortions(found, report["id"])
    rows = []
    for words, each in view["kinds"]:
        accuracies = [f"{of['accuracy']:.3f} ({_range(of['accuracy_interval'])})" for of in each]
        rows.append((words, *accuracies, f"{each[0]['found']:.3f}"))
    about = (
        f"{view['rows']:,} of these pictures, distorted, and read the way a device reads pictures. A missed face is an "
        "error."
    )
    table = _table(("accuracy on pictures", *view["bundles"], "share of faces found"), rows)
    return [about, table, RESOLUTION, f"    {view['command']}"]


def _folds(report: Mapping[str, Any]) -> list[str]:
    """One paragraph, if the recipe was cross-validated."""
    found = report.get("cross_validation")
    if not found:
        return []
    mean, deviation = found["mean"], found["deviation"]
    figures = ", ".join(f"{words} {mean[name]:.4f} ± {deviation[name]:.4f}" for words, name in _FIGURES if name in mean)
    return [
        f"{fold_count(found)}-fold cross-validation on the training and validation rows, mean and deviation: {figures}."
    ]


def _data(report: Mapping[str, Any], provenance: Provenance) -> list[str]:
    rows = " ".join(
        f"{split.capitalize()}: {row['rows']:,} rows, a face found in {row['found']:,}."
        for split, row in report["rows"].items()
    )
    truth = report["evaluation"]["test"].get("truth", VOTES)
    learnt = "each row's votes as a distribution, or its label where nobody voted" if truth == VOTES else "its label"
    golden = (
        "The pictures are not part of this bundle. `golden.npz` holds the landmarks of a few of them: coordinates, "
        "from which the picture cannot be had back"
    ) + ("; and crops that are the mean of many faces." if CROP_INPUT in inputs(report) else ".")
    mesh = provenance.landmarker_sha256[:12]
    facts = [
        *(f"Pictures: {origin}" for origin in origins(report)),
        golden,
        f"Landmarks: MediaPipe's face mesh (Apache-2.0), sha256 {mesh}…, run as the device runs it on a still picture.",
        f"Made with {', '.join(f'{name} {version}' for name, version in provenance.libraries.items())}.",
        *report.get("notes", ()),
    ]
    knobs = "\n".join(f"    {key} = {json.dumps(value)}" for key, value in recipe(report).items())
    return [
        "## What it learned from",
        f"{rows} The network's targets were {learnt}.",
        _listed(facts),
        "The recipe; in a file, these lines are what `emotion-train train --recipe` takes:",
        knobs,
    ]


def _with_interval(scores: Mapping[str, Any], name: str) -> str:
    interval = scores.get(f"{name}_interval")
    return f"{scores[name]:.4f}" + (f" ({_range(interval)})" if interval else "")


def _range(interval: Sequence[float]) -> str:
    return "{:.3f} to {:.3f}".format(*interval)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _listed(items: Iterable[str]) -> str:
    return "\n".join(f"* {item}" for item in items)


def _wrapped(block: str) -> str:
    """A paragraph or list of Markdown at its width; tables, code and headings as they are."""
    if block.startswith(("|", "    ", "#")):
        return block
    return "\n".join(
        textwrap.fill(item, WIDTH, subsequent_indent="  " * item.startswith("* "), break_on_hyphens=False)
        for item in re.split(r"\n(?=\* )", block)
    )
