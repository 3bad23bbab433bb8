"""MODEL_CARD.md: what the classifier reads, how well, and what it must not be used for."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

from host_training.quantise import MAX_LOSS, MIN_AGREEMENT
from host_training.votes import LABELS

if TYPE_CHECKING:
    from host_training.evaluate import Scores

WIDTH = 110
"""Columns that its paragraphs are filled to."""

_TEMPLATE = """\
# Model card: {id}

Reads a facial *expression* from the 478 landmarks of MediaPipe's face mesh: one of {labels}.
An expression is what a face shows; it is not what a person feels.

A multi-layer perceptron of {parameters:,} parameters ({layers}), {kind} from end to end, {kilobytes:.0f} kB.
{parity}

## How good it is

{rows:,} test pictures that neither training nor any choice has seen, nor a byte-equal copy of them. {protocol}
The {kind} file was run by the interpreter that runs it on a device.

| figure | test | validation |
|---|---|---|
{figures}

    {train_command}
    {evaluate_command}

The first command makes the model and these figures; the second measures the test column again. The recipe was
chosen on the validation column, which also stopped training and set the temperature: it flatters.

| label | test rows | recall | precision |
|---|---|---|---|
{per_label}

Confusion, test rows. Down: what people saw. Across: what the model said.

| | {across} |
|---|{dashes}|
{confusion}

## What it learned from

{data_rows} The votes of FER+ were its targets, each row's votes as a distribution, and every face was also
shown to it mirrored. A row counts as its labels' frequency to the power of -{power:g}.

* Pictures: FER2013 (Goodfellow et al., 2013), faces of 48x48 px collected by web search for a challenge and
  meant for research. They are not part of this bundle. `golden.npz` holds the landmarks of a few of them:
  coordinates, from which the picture cannot be had back.
* Votes: FER+ (Barsoum et al., 2016), ten people for each picture, MIT licence.
* Landmarks: MediaPipe's face mesh (Apache-2.0), sha256 {mesh}…, run as the device runs it on a still picture.
* Made with {libraries}; seed {seed}.

## Where it fails

* Rare expressions are read worst: see the table. For contempt, disgust and fear there are few test rows, and
  a figure from so few is itself uncertain.
* Geometry leaves out what is no shape: wrinkles, colour, tears. A network on pixels does better on these
  pictures.
* The votes are opinions of people who saw a small grey picture without its story; even they often disagree.
* The pictures come from the web: who is in them by age, skin and culture is not known, so neither is how
  evenly the errors fall.
* The pictures were found by searching for words of emotion. Everyday faces are subtler.
* The confidence is calibrated on such pictures too. Elsewhere it may promise too much.

## What it is for, and what not

For installations, robots, games, home automation and study that respond to a face in view, where a wrong
reading does no harm and the people in view know about it.

Not for judging people. Not for inferring emotions at work or in schools: the European Union forbids it
(AI Act, Article 5(1)(f)), and wants people to be told wherever else such a system looks at them
(Article 50(3)). Not for medicine, hiring, policing, border control, lie detection or driver safety.
"""


def text(report: dict[str, Any], provenance: dict[str, Any], test: Scores, validation: Scores) -> str:
    """The card as Markdown, from the same figures as `report.json`."""
    hidden = report["settings"]["hidden"]
    says = (*LABELS, "no face")
    split_words = ((row["rows"], row["found"], split) for split, row in report["rows"].items())
    filled = _TEMPLATE.format(
        id=report["id"],
        labels=", ".join(LABELS[:-1]) + f" or {LABELS[-1]}",
        parameters=report["parameters"],
        layers="-".join(str(units) for units in (*hidden, len(LABELS))),
        kind=report["kind"],
        kilobytes=report["bytes"] / 1000,
        parity=parity_line(report),
        rows=test.rows,
        protocol=report["protocol"],
        figures="\n".join(_figures(test, validation)),
        train_command=provenance["command"],
        evaluate_command=report["evaluate_command"],
        per_label="\n".join(
            f"| {name} | {sum(row)} | {test.recall[name]:.3f} | {test.precision[name]:.3f} |"
            for name, row in zip(LABELS, test.confusion, strict=True)
        ),
        across=" | ".join(says),
        dashes="---|" * (len(says) - 1) + "---",
        confusion="\n".join(
            f"| **{name}** | " + " | ".join(map(str, row)) + " |"
            for name, row in zip(LABELS, test.confusion, strict=True)
        ),
        data_rows=" ".join(
            f"{split.capitalize()}: {rows:,} rows, a face found in {found:,}." for rows, found, split in split_words
        ),
        power=report["settings"]["class_weight_power"],
        mesh=provenance["landmarker_sha256"][:12],
        libraries=", ".join(f"{name} {version}" for name, version in provenance["libraries"].items()),
        seed=provenance["seed"],
    )
    return "\n\n".join(_wrapped(block) for block in filled.split("\n\n"))


def _wrapped(block: str) -> str:
    """A paragraph or list of Markdown at its width; tables, code and headings as they are."""
    if block.startswith(("|", "    ", "#")):
        return block
    items = re.split(r"\n(?=\* )", block)
    lines = [
        textwrap.fill(item, WIDTH, subsequent_indent="  " * item.startswith("* "), break_on_hyphens=False)
        for item in items
    ]
    return "\n".join(lines) + "\n" * block.endswith("\n")


def parity_line(report: dict[str, Any]) -> str:
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
        f"Not quantised: {figures}. That is less than {MIN_AGREEMENT:.0%} agreement or more than "
        f"{MAX_LOSS:.1%} of accuracy lost, so the float model is packed."
    )


def _figures(test: Scores, validation: Scores) -> list[str]:
    rows = (
        ("accuracy, missed faces are errors", "accuracy"),
        ("accuracy of always the most frequent label", "majority_baseline"),
        ("macro-F1", "macro_f1"),
        ("expected calibration error, faces found", "ece"),
        ("accuracy on faces found", "accuracy_found"),
    )
    lines = [f"| {words} | {getattr(test, name):.4f} | {getattr(validation, name):.4f} |" for words, name in rows]
    found = (scores.found / scores.rows for scores in (test, validation))
    return [*lines, "| share of faces found | " + " | ".join(f"{share:.4f}" for share in found) + " |"]
