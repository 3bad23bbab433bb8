from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import edge
from edge.bundle import bundle as bundles
from edge.classifier.baseline import SHARE
from edge.errors import ConfigError, UsageError
from host_training.data.labels import LABELS
from host_training.data.votes import targets_of
from host_training.errors import TableError
from host_training.evaluation import baseline
from tests.support.tables import table_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.bundle.bundle import Bundle
    from host_training.data.keypoints import Table

RELEASED = Path(edge.__file__).parent.parent / "model" / "landmarks"
MOUTH_CORNERS = 61, 291, 146, 375, 91, 321, 76, 306, 62, 292, 78, 308, 185, 409, 40, 270, 95, 324
NEUTRAL, HAPPINESS = 0, 1


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return bundles.load(RELEASED)


def cheerful(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Faces of somebody whose mouth is curved upwards whatever the face does."""
    moved = landmarks.copy()
    height = np.ptp(landmarks[:, :, 1], axis=1)
    moved[:, list(MOUTH_CORNERS), 1] -= 0.05 * height[:, None]
    return moved


def people(faces: NDArray[np.float32], count: int) -> Table:
    """Some people with two neutral faces and two smiles each; every face is one of a few real ones."""
    rng = np.random.default_rng(0)
    rows = np.tile(faces[:4], (count, 1, 1))
    rows = rows + rng.normal(0, 0.002, rows.shape).astype(np.float32) * np.ptp(rows[:, :, :1], axis=1, keepdims=True)
    return dataclasses.replace(
        table_of(cheerful(rows), label=np.tile(np.array([0, 0, 1, 1], np.int8), count)),
        subject=np.repeat([f"p{person}" for person in range(count)], 4),
    )


def test_who_always_looks_cheerful_is_read_as_neutral_once_that_is_known(bundle: Bundle, faces: NDArray[np.float32]):
    found = baseline.compare(bundle, people(faces, 12), "test")

    nothing = found.figures[0]
    known = next(each for each in found.figures if each.share == SHARE)
    assert (found.rows, found.people) == (48, 12)
    assert found.support == {"neutral": 24, "happiness": 24}
    assert nothing.recall["neutral"] < 0.6
    assert known.recall["neutral"] > 0.9
    assert known.gain == pytest.approx(known.accuracy - nothing.accuracy)
    assert 0 < known.gain_interval[0] <= known.gain <= known.gain_interval[1]
    assert "used by calibrate" in found.text()
    assert found.as_dict()["figures"][0]["share"] == 0


def test_without_a_share_it_is_what_the_bundle_says(bundle: Bundle, faces: NDArray[np.float32]):
    table = people(faces, 3)

    found = baseline.compare(bundle, table, "test")

    said = bundle.classifier.probabilities(table.landmarks).argmax(axis=1)
    assert found.figures[0].accuracy == (said == table.label).mean()


def test_a_row_never_helps_itself(bundle: Bundle, faces: NDArray[np.float32]):
    """A person with one neutral face has none for that row, but for the others."""
    table = people(faces, 1)
    once = dataclasses.replace(table, label=np.array([0, 2, 1, 1], np.int8))

    found = baseline.compare(bundle, once, "test")

    assert found.support == {"happiness": 2, "surprise": 1}


def test_rows_of_nobody_in_particular_do_not_count(bundle: Bundle, faces: NDArray[np.float32]):
    table = people(faces, 2)
    nobody = dataclasses.replace(table, subject=np.where(np.arange(8) < 4, "", table.subject))

    assert baseline.compare(bundle, nobody, "test").rows == 4
    with pytest.raises(TableError, match="who is who"):
        baseline.compare(bundle, dataclasses.replace(table, subject=np.full(8, "")), "test")


def test_people_of_two_data_sets_are_two_even_with_one_name(bundle: Bundle, faces: NDArray[np.float32]):
    table = people(faces, 1)
    apart = dataclasses.replace(
        table, data_set=np.array(["one", "other", "other", "other"]), label=np.array([0, 1, 1, 1], np.int8)
    )

    with pytest.raises(TableError, match="who is who"):
        baseline.compare(bundle, apart, "test")


def test_what_a_bundle_cannot_do_is_told(bundle: Bundle, faces: NDArray[np.float32]):
    older = dataclasses.replace(bundle, features=dataclasses.replace(bundle.features, neutral=None))
    with pytest.raises(ConfigError, match="supports no baseline"):
        baseline.compare(older, people(faces, 1), "test")

    with pytest.raises(UsageError, match="emotion-train crop"):
        baseline.compare(bundles.load(RELEASED.parent / "fused"), people(faces, 1), "test")


def test_rows_show_a_label_only_where_it_is_in_question(faces: NDArray[np.float32]):
    table = people(faces, 1)

    assert targets_of(table).shows("neutral").tolist() == [True, True, False, False]
    assert not targets_of(table, LABELS[1:]).shows("neutral").any()
