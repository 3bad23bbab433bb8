"""A comparison as text: a table for the terminal, and `comparison.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from host_training.compare.results import Comparison, Figures, Result, Spread

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


def table(found: Comparison) -> str:
    """The results as an aligned Markdown table."""
    rows = [list(COLUMNS), *(_row(each) for each in found.contenders)]
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


def markdown(found: Comparison) -> str:
    """The content of `comparison.md`."""
    contenders = [f"* **{each.name}**: {each.about}" for each in found.contenders]
    rows = [
        f"* {split}: {counts.rows:,}, a face found in {counts.found:,}, judged {counts.judged:,}"
        for split, counts in found.rows.items()
    ]
    facts = [
        f"* labels: {', '.join(found.labels)}; truth: {found.truth}",
        f"* seeds: {', '.join(map(str, found.seeds))}",
        f"* libraries: {', '.join(f'{name} {version}' for name, version in found.libraries.items())}",
    ]
    parts = (
        "# Comparison",
        f"`{found.command}`",
        table(found).rstrip("\n"),
        NOTES,
        "\n".join(contenders),
        "Rows:",
        "\n".join([*rows, *(f"* {note}" for note in found.notes)]),
        "\n".join(facts),
    )
    return "\n\n".join(parts) + "\n"


def _row(each: Result) -> list[str]:
    if each.validation is None or each.test is None:
        return [each.name, f"not run: {each.why_not}", *[""] * (len(COLUMNS) - 2)]
    validation = each.deviation.validation if each.deviation else None
    test = each.deviation.test if each.deviation else None
    low, high = each.test.accuracy_interval
    return [
        each.name,
        each.learned_from,
        f"{each.parameters:,}",
        f"{each.bytes:,}",
        f"{each.seconds:.1f}",
        *_figures(each.validation, validation, "accuracy", "macro_f1", "ece"),
        *_figures(each.test, test, "accuracy"),
        f"{low:.3f} to {high:.3f}",
        *_figures(each.test, test, "accuracy_found", "macro_f1", "ece"),
    ]


def _figures(figures: Figures, spread: Spread | None, *names: str) -> list[str]:
    return [f"{getattr(figures, name):.4f}" + (f" ± {getattr(spread, name):.4f}" if spread else "") for name in names]
