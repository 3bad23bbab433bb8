"""What report and model card both say about a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.classifier.features import CROP_INPUT, LANDMARKS_INPUT
from host_training.data.votes import VOTES
from host_training.training.parity import MAX_LOSS, MIN_AGREEMENT
from host_training.training.recipe import EARLY, as_dict, flat
from host_training.words import joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from host_training.evaluation.metrics import Point
    from host_training.evaluation.robustness import Figures, Robustness
    from host_training.evaluation.scores import Scores
    from host_training.reporting.report import Report

THRESHOLDS = (0.5, 0.7, 0.9)
"""Confidences at which coverage is given; a device shows an expression from the first on by default."""
FEW = 100
"""Test rows of a label below which one face changes its recall by more than a point."""

NONE = "-"
"""Text in place of a share of nothing, as the recall of a label without test rows."""

READS = "An expression is what a face shows, not what a person feels."
USE = (
    "For installations, robots, games, home automation and research that respond to a visible face, where a wrong "
    "reading does no harm and the people in view know about it."
)
FORBIDDEN = (
    "Not for judging people. Not for inferring emotions at work or in schools: the European Union forbids it (AI Act, "
    "Article 5(1)(f)), and requires that people are told wherever else such a system is used on them (Article 50(3)). "
    "Not for medicine, hiring, policing, border control, lie detection or driver safety."
)
OPTIMISTIC = (
    "The validation split chose the recipe, stopped the training and set the temperature, so its column is optimistic."
)
RESOLUTION = (
    "Low resolution is not distance: the picture is scaled down, and the face still fills it. These rows don't tell "
    "how far away a face may be."
)

_ORIGINS = {
    "fer2013": (
        "FER2013 (Goodfellow et al. 2013), faces of 48x48 px, collected by web search for a challenge and meant for "
        "research; its votes are FER+'s (Barsoum et al. 2016), ten people for each picture, MIT licence."
    )
}
_WEB = (
    "The pictures come from the web. Age, skin colour and culture of the people are unknown, and so is whether some of "
    "them are read worse than others."
)
_SEARCHED = "The pictures were found by searching for words of emotion. Everyday expressions are subtler."
_SHAPE = "Landmarks carry shape only: no wrinkles, colour or tears. A network on pixels does better there."
_SMALL = "It reads small grey crops: colour and fine detail are lost."
_PIXELS = (
    "A network on pixels can be wrong because of skin, hair or glasses; one on landmarks alone can't. Whether this one "
    "is could not be measured: nothing is known about the people in the pictures."
)
_VOTES = "The votes are opinions of people who saw a picture without its context; even they often disagree."
_CONFIDENCE = "The confidence is calibrated on such pictures. Elsewhere it may be too high."


def limits(report: Report) -> list[str]:
    """Where the model fails, a sentence or two each."""
    test = report.evaluation.test
    rare = [f"{name} ({count})" for name, count in test.support.items() if count < FEW]
    limits = ["Rare expressions are recognised worst, see the table."]
    if rare:
        limits[0] += f" There are few test rows of {joined(rare)}, so their figures are uncertain."
    limits += [_SMALL, _PIXELS] if CROP_INPUT in report.inputs else [_SHAPE]
    if test.truth == VOTES:
        limits.append(_VOTES)
    if "fer2013" in report.data_sets:
        limits += [_WEB, _SEARCHED]
    return [*limits, _CONFIDENCE]


def reads(report: Report) -> str:
    """What the model reads, in words."""
    mesh, crop = "the 478 landmarks of MediaPipe's face mesh", "a small grey crop of the face, cut out along"
    if CROP_INPUT not in report.inputs:
        return mesh
    return f"{mesh} and {crop} them" if LANDMARKS_INPUT in report.inputs else f"{crop} {mesh}"


def architecture(report: Report) -> str:
    """What kind of network it is, in words."""
    parts = {
        LANDMARKS_INPUT: "a multi-layer perceptron on the landmarks",
        CROP_INPUT: "a convolutional network on the crop",
    }
    networks = [parts[name] for name in report.inputs]
    if len(networks) == 1:
        text = networks[0]
    elif report.recipe.fusion == EARLY:
        text = "one convolutional network on the crop, joined by a dense layer on the landmarks before its last layer"
    else:
        text = f"the sum of {joined(networks)}"
    return text[0].upper() + text[1:]


def origins(report: Report) -> list[str]:
    """What is known about the data sets."""
    return [_ORIGINS.get(name, f"{name}, under the terms it came with.") for name in report.data_sets]


def marks(scores: Scores) -> list[Point]:
    """The points of the coverage curve at `THRESHOLDS`, as far as it goes."""
    by_threshold = {round(point.threshold, 2): point for point in scores.coverage}
    return [by_threshold[threshold] for threshold in THRESHOLDS if threshold in by_threshold]


def knobs(report: Report) -> dict[str, Any]:
    """The knobs of the recipe that apply to the model, by dotted key."""
    reads_crops = CROP_INPUT in report.inputs
    values = flat(as_dict(report.recipe))
    return {key: value for key, value in values.items() if reads_crops or not key.startswith(f"{CROP_INPUT}.")}


def parity(report: Report) -> str:
    """How the int8 and the float network compare, in a sentence or two."""
    found = report.parity
    figures = (
        f"on the validation faces int8 and float predict the same label for {found.agreement:.2%}; accuracy "
        f"{found.int8_accuracy:.4f} and {found.float_accuracy:.4f}; probabilities differ by "
        f"{found.mean_difference:.4f} on average, {found.max_difference:.3f} at most"
    )
    if found.holds:
        return f"Quantised: {figures}."
    return (
        f"Not quantised: {figures}. The agreement is less than {MIN_AGREEMENT:.0%}, or the accuracy falls by more than "
        f"{MAX_LOSS:.1%}, so the float network is packed."
    )


def by_distortion(found: Robustness, mine: str) -> tuple[Sequence[str], list[tuple[str, list[Figures]]]]:
    """Ids of the bundles, `mine` first if it took part; and for each distortion its summary and their figures."""
    ids = sorted(found.bundles, key=lambda each: each != mine)
    return ids, [(summary, [found.bundles[each][name] for each in ids]) for name, summary in found.distortions.items()]
