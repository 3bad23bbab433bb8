"""The name of a bundle: what it was trained on, and what it reads."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from typing import TYPE_CHECKING

import numpy as np

from host_training.data.votes import VOTES, applied

if TYPE_CHECKING:
    from host_training.data.keypoints import Table
    from host_training.training.recipe import Recipe

FERPLUS, FER2013 = "ferplus", "fer2013"
"""First part of the default recipe's name; the data set whose pictures FER+ voted on."""
RELEASED = {f"{FERPLUS}-landmarks", f"{FERPLUS}-fused"}
"""Names in the recipes of the released models, which are the defaults of all others."""
LONGEST = 48
"""Maximum number of characters for the names of the data sets."""


def named(recipe: Recipe, table: Table) -> Recipe:
    """The recipe; the name of a released one is changed to the data sets of the table, if it has others.

    Args:
        recipe: the knobs.
        table: the rows to train on.
    """
    if recipe.name not in RELEASED:
        return recipe
    names, counts = np.unique(table.data_set, return_counts=True)
    parts = []
    for name in names[np.argsort(-counts, kind="stable")].tolist():
        rows = np.flatnonzero(table.data_set == name)
        voted = name == FER2013 and applied(recipe.truth, table, rows) == VOTES
        parts.append(FERPLUS if voted else _plain(name))
    while len("-".join(parts)) > LONGEST and len(parts) > 1:
        parts = [*parts[: -1 - (parts[-1] == "more")], "more"]
    return dataclasses.replace(recipe, name=recipe.name.replace(FERPLUS, "-".join(parts)[:LONGEST], 1))


def _plain(name: str) -> str:
    """Letters, digits and hyphens of a name; `own` if there are none."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", letters).strip("-") or "own"
