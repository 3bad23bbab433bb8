from __future__ import annotations

import numpy as np
import pytest

from host_training.compare.contender import TrainingData
from host_training.data.votes import targets_of
from host_training.errors import TableError


def test_training_data_have_no_test_row(table):
    data = TrainingData.of(table, targets_of(table))

    assert set(data.table.split.tolist()) == {"train", "validation"}
    assert len(data.targets.hard) == len(data.targets.judged) == len(data.targets.soft) == len(data.table)


def test_its_rows_have_a_face_and_a_label_and_keep_their_own(table):
    targets = targets_of(table)
    data = TrainingData.of(table, targets)

    for split in ("train", "validation"):
        rows = targets.judged & table.found & (table.split == split)
        np.testing.assert_array_equal(data.labels(split), targets.hard[rows])
        np.testing.assert_array_equal(data.landmarks(split), table.landmarks[rows])
        assert np.isfinite(data.landmarks(split)).all()


@pytest.mark.parametrize("split", ["train", "validation"])
def test_raises_without_training_or_validation_rows(table, changed, split):
    without = changed(split=np.where(table.split == split, "test", table.split))

    with pytest.raises(TableError, match=f"no usable row in its {split} split"):
        TrainingData.of(without, targets_of(without))
