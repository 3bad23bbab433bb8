"""Training examples of the crop network, from the drawn faces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.classifier.crop import FaceCrop
from host_training.data.inputs import as_input
from host_training.data.votes import targets_of
from host_training.training import fit
from host_training.training.crop_batches import CropExamples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.classifier.features import Features
    from host_training.data.crops import CropStore
    from host_training.training.recipe import Recipe


@pytest.fixture
def examples(store: CropStore) -> CropExamples:
    targets = targets_of(store.table)
    rows = fit.rows_of(store.table, targets, "train")
    return CropExamples(rows, targets.soft[rows], np.linspace(0.5, 1.5, len(rows)).astype(np.float32))


@pytest.fixture
def plain(examples: CropExamples, store: CropStore, both: Recipe) -> NDArray[np.float32]:
    """The crops of the training rows as they are."""
    crop = FaceCrop(both.crop.size)
    return as_input(np.array([crop(store.cutout(row), store.landmarks(row)) for row in examples.rows]))


@pytest.fixture
def early(store: CropStore, both: Recipe) -> tuple[CropExamples, Features]:
    """Examples for a network that reads landmarks too, and the feature contract of their vectors."""
    table = store.table
    targets = targets_of(table)
    rows = fit.rows_of(table, targets, "train")
    features = fit.features_of(table, targets, rows, both)
    return fit.crop_examples(table, targets, rows, features, both), features
