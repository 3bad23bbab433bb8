"""Options that mean the same in several commands, beside those of the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """Declare `--bundle`."""
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="the model bundle, made by `train`")


def add_label(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare `--label`, for what has the names, as in `a folder`."""
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="OLD=LABEL",
        help=f"what {what} calls OLD is LABEL; OLD=- leaves it out; repeatable",
    )


def labels(args: argparse.Namespace) -> dict[str, str]:
    """Name -> what `--label` says that it means, for `Options.labels`; whether that is a label is seen to by `load`.

    Raises:
        UsageError: a name or what it means is missing, or one name is given twice and differently.
    """
    from edge.errors import UsageError

    given: dict[str, str] = {}
    for text in args.label:
        old, equals, new = text.rpartition("=")
        if not (old and equals and new):
            raise UsageError(f"--label {text}: write OLD=LABEL, as in --label smile=happiness")
        if given.setdefault(old, new) != new:
            raise UsageError(f"--label gives {old!r} twice, as {given[old]} and as {new}")
    return given


def add_pictures(parser: argparse.ArgumentParser, use: str) -> None:
    """Declare `--pictures`, for `importers.pictures`; `use` says what the command does with them."""
    parser.add_argument(
        "--pictures",
        action="append",
        default=[],
        metavar="NAME:PATH",
        help=f"a data set of the table, as `import` takes it; {use}; repeatable",
    )
