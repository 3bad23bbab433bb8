"""`emotion-train recipe`: print the default recipe with its comments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = "example: emotion-train recipe > mine.toml && emotion-train train --recipe mine.toml ..."


def run(args: argparse.Namespace) -> int:
    """Print the file."""
    from host_training.training.recipe import template

    del args
    print(template(), end="")
    return 0
