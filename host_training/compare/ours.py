"""The network that `emotion-train train` packs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from host_training.compare.contender import Contender, Trained, TrainingData
from host_training.data.inputs import inputs_of
from host_training.data.votes import VOTES
from host_training.training.fit import fit, prepare

if TYPE_CHECKING:
    from host_training.training.recipe import Recipe


def ours(recipe: Recipe) -> Contender:
    """The float network of a recipe; `emotion-train evaluate` compares int8 with it."""

    def train(data: TrainingData, seed: int) -> Trained:
        seeded = dataclasses.replace(recipe, seed=seed)
        features, inputs = prepare(data.table, data.targets, seeded)
        fitted = fit(data.table, data.targets, seeded, features, inputs, label="ours")
        return Trained(
            lambda table: fitted.probabilities(inputs_of(features, table, np.arange(len(table)))),
            fitted.network.parameters,
        )

    hidden = ", ".join(map(str, recipe.network.hidden))
    return Contender(
        "ours",
        f"canonical coordinates; dense {hidden}, float",
        ("shares of the votes" if recipe.truth == VOTES else "labels")
        + (", and mirror images" if recipe.augmentation.mirror else ""),
        train,
    )
