"""Plots of the report, as inline SVG with the colours of the page's style sheet."""

from __future__ import annotations

import contextlib
import io
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter

from host_training.evaluation.face_range import LIMIT_S, SOON_S, STANDS, WALKS
from host_training.evaluation.lenses import LENSES
from host_training.evaluation.metrics import wilson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from host_training.reporting.range_text import Row

INK, MUTED, RULE, FIRST, SECOND = "#010101", "#020202", "#030303", "#040404", "#050505"
"""Placeholder colours: only the page knows whether it is dark."""
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", FIRST: "--first", SECOND: "--second"}
"""Custom properties of the page's style sheet that replace them."""

WIDTH, HEIGHT = 380, 290
"""Size in px: the width of a phone, so that letters there are no smaller than the text; a wider page scales it up."""
MIDDLE_LENS = 1
"""Place in `LENSES` of the lens whose metres are drawn."""
STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "report",  # the ids of a plot are always the same
    "font.size": 12,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": RULE,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 2,
    "legend.frameon": False,
}
SVG, LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


def learning_curves(losses: Mapping[str, Sequence[float]], name: str = "network") -> str:
    """Loss by epoch, on the training and on the validation rows.

    Args:
        losses: `loss` and `val_loss`, one value an epoch.
        name: of the network; plots on one page need different names.
    """
    train, validation = losses["loss"], losses["val_loss"]
    best = min(range(len(validation)), key=validation.__getitem__)
    epochs = range(1, len(train) + 1)
    with _figure() as figure:
        axes = figure.add_subplot()
        axes.plot(epochs, train, color=FIRST, label="training")
        axes.plot(epochs, validation, color=SECOND, linestyle="--", label="validation")
        axes.plot([epochs[best]], [validation[best]], "o", color=SECOND)
        _note(axes, f"best: epoch {epochs[best]}", (epochs[best], validation[best]), left=best > len(train) / 2)
        axes.set(xlabel="epoch", ylabel="loss")
        axes.margins(y=0.14)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
        return _inline(
            figure,
            f"losses-{name}",
            f"Learning curves over {len(train)} epochs. Training loss goes from {train[0]:.3f} to {train[-1]:.3f}, "
            f"validation loss from {validation[0]:.3f} to its best, {validation[best]:.3f}, in epoch {epochs[best]}.",
        )


def reliability(bins: Sequence[Mapping[str, Any]]) -> str:
    """Reliability diagram: accuracy by confidence, with 95 % intervals, above the number of faces in each bin.

    Args:
        bins: `low`, `high`, `rows`, and, if it has rows, the mean `confidence` and the `accuracy`.
    """
    filled = [each for each in bins if each["rows"]]
    with _figure(HEIGHT + 70) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(5, 2))
        upper.plot([0, 1], [0, 1], color=MUTED, linestyle=":", label="calibrated")
        upper.errorbar(
            [each["confidence"] for each in filled],
            [each["accuracy"] for each in filled],
            yerr=list(zip(*map(_whiskers, filled), strict=True)) or None,
            fmt="o-",
            color=FIRST,
            elinewidth=1,
            markersize=4,
            label="measured",
        )
        upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.03))
        upper.legend(loc="upper left")
        for each in bins:
            middle, width = (each["low"] + each["high"]) / 2, each["high"] - each["low"]
            lower.bar(middle, each["rows"], 0.9 * width, color=FIRST, linewidth=0)
            if each["rows"]:
                lower.annotate(
                    str(each["rows"]),
                    (middle, each["rows"]),
                    (0, 3),
                    textcoords="offset points",
                    ha="center",
                    va="bottom",
                    rotation=90,
                    fontsize=10,
                )
        lower.set(xlabel="confidence", ylabel="faces", ylim=(0, 1.6 * max(each["rows"] for each in bins) or 1))
        lower.set_yticks([])
        lower.xaxis.set_major_formatter(PercentFormatter(1))
        upper.yaxis.set_major_formatter(PercentFormatter(1))
        figure.align_ylabels()
        return _inline(
            figure,
            "reliability",
            "Reliability diagram. "
            + " ".join(
                f"{each['rows']} faces with a confidence of {each['confidence']:.0%} on average: "
                f"{each['accuracy']:.0%} correct."
                for each in filled
            ),
        )


def coverage(curves: Mapping[str, Sequence[Mapping[str, float]]], marks: Sequence[Mapping[str, float]]) -> str:
    """Accuracy against coverage, as the confidence from which answers are given rises.

    Args:
        curves: by name, one or two lists of points with `threshold`, `coverage` and `accuracy`.
        marks: points to label with their threshold.
    """
    with _figure() as figure:
        axes = figure.add_subplot()
        for (name, curve), (color, line) in zip(curves.items(), ((FIRST, "-"), (SECOND, "--")), strict=False):
            x, y = ([point[key] for point in curve] for key in ("coverage", "accuracy"))
            axes.plot(x, y, color=color, linestyle=line, label=name)
        for point in marks:
            place = (point["coverage"], point["accuracy"])
            axes.plot(*([value] for value in place), "o", color=FIRST)
            _note(axes, f"from {point['threshold']:.0%}", place, left=True)
        axes.set(xlabel="coverage", ylabel="accuracy", xlim=(0, 1.02))
        axes.margins(y=0.1)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.legend(loc="upper right")
        return _inline(
            figure,
            "coverage",
            "Accuracy against coverage. "
            + " ".join(
                f"From a confidence of {point['threshold']:.0%}: {point['coverage']:.0%} of the faces, "
                f"{point['accuracy']:.0%} of these correct."
                for point in marks
            ),
        )


def face_range(pictures: Mapping[tuple[int, int], Sequence[Row]], mine: str) -> str:
    """Faces found and read right by their height, a plot for each size of the picture, with metres for `MIDDLE_LENS`.

    Args:
        pictures: from `range_text.by_picture`.
        mine: id of the bundle.
    """
    said = []
    with _figure(HEIGHT * len(pictures) + 70) as figure:
        for number, ((width, height), rows) in enumerate(pictures.items()):
            axes = figure.add_subplot(len(pictures), 1, number + 1)
            faces = [face for face, _, _ in rows]
            walks, stands = ([ways[way] for *_, ways in rows] for way in (WALKS, STANDS))
            right = [each.read[mine].right for each in walks]
            limits = [each.read[mine].right_interval for each in walks]
            soon, still = [each.found_soon for each in walks], [each.found for each in stands]
            errors = [
                [max(0.0, at - low) for at, (low, _) in zip(right, limits, strict=True)],
                [max(0.0, high - at) for at, (_, high) in zip(right, limits, strict=True)],
            ]
            axes.plot(faces, soon, "s--", color=SECOND, markersize=4, label=f"walks: found in {SOON_S:g} s")
            axes.plot(faces, still, "^:", color=MUTED, markersize=4, label=f"stands: found in {LIMIT_S:g} s")
            axes.errorbar(
                faces, right, yerr=errors, fmt="o-", color=FIRST, elinewidth=1, markersize=4, label="walks: read right"
            )
            axes.set(xscale="log", xlabel=f"face in {width}x{height}, px", ylim=(0, 1.03))
            axes.set_xticks(faces, map(str, faces))
            axes.yaxis.set_major_formatter(PercentFormatter(1))
            above = axes.secondary_xaxis("top")
            above.set_xticks(faces, [f"{distances[MIDDLE_LENS]:.1f}" for _, distances, _ in rows], fontsize=9)
            above.set_xlabel(f"m, {LENSES[MIDDLE_LENS].name}")
            for axis in (axes.xaxis, above.xaxis):
                axis.set_minor_locator(NullLocator())
            said += [
                f"{width}x{height}, face of {face} px: {first:.1%} found in {SOON_S:g} s walking, {other:.1%} in "
                f"{LIMIT_S:g} s standing, {read:.1%} read right."
                for face, first, other, read in zip(faces, soon, still, right, strict=True)
            ]
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left")
        return _inline(figure, "range", f"Range. {' '.join(said)}")


@contextlib.contextmanager
def _figure(height: int = HEIGHT) -> Iterator[Figure]:
    """An empty figure; the style applies inside the context."""
    with mpl.rc_context(STYLE):
        # At 72 dots per inch one unit of the SVG is one px.
        yield Figure((WIDTH / 72, height / 72), 72, layout="constrained")


def _note(axes: Any, text: str, place: tuple[float, float], *, left: bool) -> None:
    """A label below a point."""
    side, shift = ("right", -6) if left else ("left", 6)
    axes.annotate(text, place, (shift, -6), textcoords="offset points", ha=side, va="top")


def _whiskers(each: Mapping[str, Any]) -> tuple[float, float]:
    """Distances from the accuracy of a bin down and up to the limits of its interval."""
    low, high = wilson(round(each["accuracy"] * each["rows"]), each["rows"])
    return max(0.0, each["accuracy"] - low), max(0.0, high - each["accuracy"])


def _inline(figure: Figure, name: str, about: str) -> str:
    """The figure as an SVG element with a text alternative, the page's colours and unique ids."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    root = ET.fromstring(file.getvalue())  # noqa: S314 - it was written above
    for parent in list(root.iter()):
        for child in list(parent):
            # A style element here would apply to the whole page.
            if child.tag in {f"{{{SVG}}}metadata", f"{{{SVG}}}style"}:
                parent.remove(child)
    box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "role": "img", "aria-label": about, "class": "plot"})
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", LINK)
    text = ET.tostring(root, encoding="unicode")
    for color, variable in VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    text = re.sub(r"font-family: [^;\"]*; ", "", text)  # use the page's font
    return re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", text)
