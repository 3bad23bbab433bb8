"""Trains the contenders and evaluates them all the same way."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from edge.classifier.network import softmax
from host_training.compare.contender import TrainingData
from host_training.data.keypoints import SPLITS, TEST, VALIDATION, take
from host_training.evaluation.scores import judged_rows, score
from host_training.training.temperature import fit_temperature

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from host_training.compare.contender import Contender, Trained
    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets

FIGURES = ("accuracy", "accuracy_found", "macro_f1", "ece")
INTERVAL = "accuracy_interval"
JUDGED = (VALIDATION, TEST)
BYTES = 4
"""Bytes of a parameter."""
DIGITS = 6
LIBRARIES = ("tensorflow", "keras", "scikit-learn", "numpy")

WORDS = ("contender", "learned from")
COLUMNS = (
    *(*WORDS, "parameters", "bytes", "training s"),
    *("validation accuracy", "macro-F1", "ECE"),
    *("test accuracy", "95 %", "on faces found", "macro-F1", "ECE"),
)
NOTES = (
    "Each contender was trained on the training rows. The validation rows stopped its training, if it can stop early, "
    "and set its temperature; no test row was used. Accuracy counts missed faces as errors; its 95 % interval is over "
    "the choice of rows, not of the seed. Bytes are those of the parameters as 32-bit numbers."
)


def compare(
    table: Table, targets: Targets, truth: str, contenders: Sequence[Contender], seeds: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Train and evaluate the contenders, one after the other.

    Args:
        table: the rows.
        targets: of the rows.
        truth: source of the targets, one of `votes.TRUTHS`.
        contenders: what to compare.
        seeds: a contender that depends on the seed is trained once with each, the others with the first.

    Yields:
        For each contender its entry in `comparison.json`, see the package.

    Raises:
        TableError: a split has no row to train on or to evaluate on.
    """
    data = TrainingData.of(table, targets)
    for split in JUDGED:
        judged_rows(table, targets, split)  # before anything is trained
    bar = tqdm(contenders, desc="contenders")
    for contender in bar:
        bar.set_postfix_str(contender.name)
        if contender.why_not:
            yield entry(contender, contender.why_not)
            continue
        runs = []
        for seed in seeds if contender.seeded else seeds[:1]:
            began = time.monotonic()
            trained = contender.fit(data, seed)
            seconds = time.monotonic() - began
            runs.append({"seconds": seconds, **_judge(trained, data, table, targets, truth)})
        yield (
            entry(contender, None)
            | _summary(runs)
            | {
                "parameters": int(trained.parameters),
                "bytes": int(trained.parameters) * BYTES,
            }
        )


def entry(contender: Contender, why_not: str | None) -> dict[str, Any]:
    """The entry of a contender that did not run, or has not run yet."""
    return {
        "name": contender.name,
        "about": contender.about,
        "learned_from": contender.learned_from,
        "ran": why_not is None,
        "why_not": why_not,
        **dict.fromkeys(("parameters", "bytes", "seconds", "seeds", *JUDGED, "deviation")),
    }


def _judge(trained: Trained, data: TrainingData, table: Table, targets: Targets, truth: str) -> dict[str, Any]:
    validation = take(data.table, data.rows(VALIDATION))
    fitted_temperature = fit_temperature(_logits(trained, validation), data.labels(VALIDATION))
    scores = {}
    for split in JUDGED:
        rows = targets.judged & table.found & (table.split == split)
        logits = _logits(trained, take(table, rows)) if rows.any() else np.zeros((0, len(targets.labels)), np.float32)
        scores[split] = score(softmax(logits, fitted_temperature), table, targets, split, truth=truth).as_dict()
    return scores


def _logits(trained: Trained, table: Table) -> NDArray[np.float32]:
    """float32[N, C]: logarithms of the probabilities, which equal logits up to a constant that softmax removes."""
    return np.log(np.maximum(trained.probabilities(table), np.finfo(np.float32).tiny))


def _summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means and deviations over the seeds."""

    def over(split: str, name: str) -> NDArray[np.float64]:
        return np.array([run[split][name] for run in runs])

    several = len(runs) > 1
    return {
        "seconds": round(float(np.mean([run["seconds"] for run in runs])), 1),
        "seeds": len(runs),
        **{
            split: {name: over(split, name).mean(axis=0).round(DIGITS).tolist() for name in (*FIGURES, INTERVAL)}
            for split in JUDGED
        },
        "deviation": {
            split: {name: round(float(over(split, name).std(ddof=1)), DIGITS) for name in FIGURES} for split in JUDGED
        }
        if several
        else None,
    }


def document(
    command: str,
    table: Table,
    targets: Targets,
    *,
    truth: str,
    seeds: Sequence[int],
    notes: Sequence[str],
    entries: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """The content of `comparison.json`."""
    rows = {split: table.split == split for split in SPLITS}
    return {
        "command": command,
        "rows": {
            split: {
                "rows": int(mine.sum()),
                "found": int((mine & table.found).sum()),
                "judged": int((mine & targets.judged).sum()),
            }
            for split, mine in rows.items()
        },
        "notes": list(notes),
        "labels": list(targets.labels),
        "truth": truth,
        "seeds": list(seeds),
        "libraries": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in LIBRARIES},
        "contenders": list(entries),
    }


def grid(found: dict[str, Any]) -> str:
    """The results as an aligned Markdown table."""
    rows = [list(COLUMNS), *(_row(each) for each in found["contenders"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    align = [str.ljust if name in WORDS else str.rjust for name in COLUMNS]
    lines = [
        "| " + " | ".join(put(text, width) for put, text, width in zip(align, row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join(
        "-" * (width + 2) if name in WORDS else "-" * (width + 1) + ":"
        for name, width in zip(COLUMNS, widths, strict=True)
    )
    return "\n".join([lines[0], rule + "|", *lines[1:]]) + "\n"


def _row(each: dict[str, Any]) -> list[str]:
    if not each["ran"]:
        return [each["name"], f"not run: {each['why_not']}", *[""] * (len(COLUMNS) - 2)]

    def figure(split: str, name: str) -> str:
        spread = each["deviation"]
        return f"{each[split][name]:.4f}" + (f" ± {spread[split][name]:.4f}" if spread else "")

    low, high = each[TEST][INTERVAL]
    return [
        each["name"],
        each["learned_from"],
        f"{each['parameters']:,}",
        f"{each['bytes']:,}",
        f"{each['seconds']:.1f}",
        *(figure(VALIDATION, name) for name in ("accuracy", "macro_f1", "ece")),
        figure(TEST, "accuracy"),
        f"{low:.3f} to {high:.3f}",
        *(figure(TEST, name) for name in ("accuracy_found", "macro_f1", "ece")),
    ]


def markdown(found: dict[str, Any]) -> str:
    """The content of `comparison.md`."""
    descriptions = [f"* **{each['name']}**: {each['about']}" for each in found["contenders"]]
    rows = [
        f"* {split}: {counts['rows']:,}, a face found in {counts['found']:,}, judged {counts['judged']:,}"
        for split, counts in found["rows"].items()
    ]
    libraries = ", ".join(f"{name} {version}" for name, version in found["libraries"].items())
    facts = [
        f"* labels: {', '.join(found['labels'])}; truth: {found['truth']}",
        f"* seeds: {', '.join(map(str, found['seeds']))}",
        f"* libraries: {libraries}",
    ]
    parts = ("# Comparison", f"`{found['command']}`", grid(found).rstrip("\n"), NOTES)
    return (
        "\n\n".join(
            [
                *parts,
                "\n".join(descriptions),
                "Rows:",
                "\n".join([*rows, *(f"* {note}" for note in found["notes"])]),
                "\n".join(facts),
            ]
        )
        + "\n"
    )
