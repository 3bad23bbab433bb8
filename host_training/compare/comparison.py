"""Trains the contenders, judges them all alike, and tells."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from edge.classifier.network import softmax
from host_training.compare.contender import Lesson
from host_training.data.keypoints import SPLITS, TEST, VALIDATION, take
from host_training.evaluation.evaluate import judged_rows, score
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
"""Of a learned number."""
DIGITS = 6
LIBRARIES = ("tensorflow", "keras", "scikit-learn", "numpy")

WORDS = ("contender", "learned from")
COLUMNS = (
    *(*WORDS, "parameters", "bytes", "training s"),
    *("validation accuracy", "macro-F1", "ECE"),
    *("test accuracy", "95 %", "on faces found", "macro-F1", "ECE"),
)
NOTES = (
    "Each contender learned from training rows. Validation rows stopped it, where it has something to stop, and set "
    "the temperature of its probabilities; no test row had a part in it. Accuracy counts missed faces as errors; its "
    "95 % interval is for the rows drawn, not for the seed. Bytes are those of the parameters as 32-bit numbers."
)


def compare(
    table: Table, targets: Targets, truth: str, contenders: Sequence[Contender], seeds: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Train and judge the contenders, one after the other.

    Args:
        table: the rows.
        targets: what they teach.
        truth: where the targets come from, one of `votes.TRUTHS`.
        contenders: who takes part.
        seeds: each in which chance plays a part is trained once with each.

    Yields:
        An entry of `contenders` in `comparison.json` for each, see the package.

    Raises:
        TableError: a split has no row to learn from or to be judged by.
    """
    lesson = Lesson.of(table, targets)
    for split in JUDGED:
        judged_rows(table, targets, split)  # what cannot be judged need not be trained
    bar = tqdm(contenders, desc="contenders")
    for contender in bar:
        bar.set_postfix_str(contender.name)
        if contender.why_not:
            yield entry(contender, contender.why_not)
            continue
        runs = []
        for seed in seeds if contender.seeded else seeds[:1]:
            began = time.monotonic()
            trained = contender.fit(lesson, seed)
            seconds = time.monotonic() - began
            runs.append({"seconds": seconds, **_judge(trained, lesson, table, targets, truth)})
        yield (
            entry(contender, None)
            | _summary(runs)
            | {
                "parameters": int(trained.parameters),
                "bytes": int(trained.parameters) * BYTES,
            }
        )


def entry(contender: Contender, why_not: str | None) -> dict[str, Any]:
    """What is known of a contender that did not run, or not yet."""
    return {
        "name": contender.name,
        "about": contender.about,
        "learned_from": contender.learned_from,
        "ran": why_not is None,
        "why_not": why_not,
        **dict.fromkeys(("parameters", "bytes", "seconds", "seeds", *JUDGED, "deviation")),
    }


def _judge(trained: Trained, lesson: Lesson, table: Table, targets: Targets, truth: str) -> dict[str, Any]:
    watched = take(lesson.table, lesson.rows(VALIDATION))
    fitted_temperature = fit_temperature(_logits(trained, watched), lesson.labels(VALIDATION))
    scores = {}
    for split in JUDGED:
        rows = targets.judged & table.found & (table.split == split)
        logits = _logits(trained, take(table, rows)) if rows.any() else np.zeros((0, len(targets.labels)), np.float32)
        scores[split] = score(softmax(logits, fitted_temperature), table, targets, split, truth=truth).as_dict()
    return scores


def _logits(trained: Trained, table: Table) -> NDArray[np.float32]:
    """float32[N, C]: logarithms of the probabilities, which differ from logits by what a softmax takes out again."""
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
    """What `comparison.json` holds."""
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
    """The table of results, as aligned Markdown."""
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
    """What `comparison.md` holds."""
    about = [f"* **{each['name']}**: {each['about']}" for each in found["contenders"]]
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
                "\n".join(about),
                "Rows:",
                "\n".join([*rows, *(f"* {note}" for note in found["notes"])]),
                "\n".join(facts),
            ]
        )
        + "\n"
    )
