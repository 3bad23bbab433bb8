"""Samples of people who do not exist, with real landmarks.

PYTEST_DONT_REWRITE: it is a helper and a plugin at once, and pytest would complain that it came too late.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge import bundle as bundles
from host_training.collecting.measuring import Conditions
from host_training.collecting.samples import Measured, split_of
from host_training.data.keypoints import SPLITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ON_EACH_SIDE = {side: next(f"p{i}" for i in itertools.count() if split_of(f"p{i}") == side) for side in SPLITS}
"""A person of each split."""


@pytest.fixture(scope="session")
def conditions() -> Conditions:
    return Conditions(bundles.CHECKOUT / bundles.FEATURES)


@pytest.fixture
def seen(faces: NDArray[np.float32]) -> Callable[..., Measured]:
    """Makes what is measured on one picture after another, no two the same."""
    numbers = itertools.count(1)

    def make(brightness: float = 0.5, face: int = 0) -> Measured:
        number = next(numbers)
        return Measured(
            picture=np.full((8, 8, 3), number % 256, np.uint8),
            landmarks=faces[face] + np.float32(number / 8),
            presence=0.9,
            brightness=brightness,
            sharpness=0.01,
            group=number,
        )

    return make
