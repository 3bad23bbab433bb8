"""Options with the same meaning in several commands, beside those of the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """Declare `--bundle`."""
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="model bundle, made by `train`")


def add_force(parser: argparse.ArgumentParser) -> None:
    """Declare `--force`, for `bundle_files.ensure_replaceable`."""
    parser.add_argument(
        "--force", action="store_true", help="change the bundle even if it is released or under version control"
    )


def add_label(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare `--label`; `what` is the thing that has the names, such as `a folder`."""
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="OLD=LABEL",
        help=f"give LABEL to what {what} calls OLD; OLD=- leaves it out; repeatable",
    )


def labels(args: argparse.Namespace) -> dict[str, str]:
    """Name -> label from `--label`, for `Options.labels`; `importers.load` checks that it is a label.

    Raises:
        UsageError: a name or label is missing, or one name is given two labels.
    """
    from edge.errors import UsageError
    from host_training.data.names import folded

    given: dict[str, str] = {}
    for text in args.label:
        old, equals, new = text.rpartition("=")
        if not (old and equals and new):
            raise UsageError(f"--label {text}: give OLD=LABEL, such as --label smile=happiness")
        if given.setdefault(folded(old), new) != new:
            raise UsageError(f"--label gives {old!r} two labels, {given[folded(old)]} and {new}")
    return given


def add_pictures(parser: argparse.ArgumentParser, use: str) -> None:
    """Declare `--pictures`, for `importers.pictures`; `use` says what they are for."""
    parser.add_argument(
        "--pictures",
        action="append",
        default=[],
        metavar="NAME:PATH",
        help=f"a data set of the table, such as fer2013:fer2013.csv; {use}; repeatable",
    )
