from __future__ import annotations

import numpy as np
import pytest

from host_training.compare.contender import Lesson
from host_training.data.votes import targets_of
from host_training.errors import TableError


def test_a_lesson_has_no_test_row(table):
    lesson = Lesson.of(table, targets_of(table))

    assert set(lesson.table.split.tolist()) == {"train", "validation"}
    assert len(lesson.targets.hard) == len(lesson.targets.judged) == len(lesson.targets.soft) == len(lesson.table)


def test_its_rows_have_a_face_and_a_label_and_keep_their_own(table):
    targets = targets_of(table)
    lesson = Lesson.of(table, targets)

    for split in ("train", "validation"):
        rows = targets.judged & table.found & (table.split == split)
        np.testing.assert_array_equal(lesson.labels(split), targets.hard[rows])
        np.testing.assert_array_equal(lesson.faces(split), table.landmarks[rows])
        assert np.isfinite(lesson.faces(split)).all()


@pytest.mark.parametrize("split", ["train", "validation"])
def test_without_rows_to_learn_from_or_to_watch_there_is_no_lesson(table, changed, split):
    without = changed(split=np.where(table.split == split, "test", table.split))

    with pytest.raises(TableError, match=f"no usable row in its {split} split"):
        Lesson.of(without, targets_of(without))
