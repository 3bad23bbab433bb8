from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.io import savemat

from edge.errors import UsageError
from host_training import importers
from host_training.data.source import Options
from host_training.errors import SourceError
from host_training.importers.emotic import CATEGORIES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .conftest import WritePicture


def structs(values: Sequence[dict[str, Any]]):
    """A MATLAB struct array."""
    array = np.zeros((1, len(values)), [(name, object) for name in values[0]])
    for index, value in enumerate(values):
        array[0, index] = tuple(value.values())
    return array


def person(*annotations: Sequence[str], box: Sequence[float] = (10, 20, 40, 80)):
    """One with the categories that each annotator chose."""
    return {
        "body_bbox": np.array(box),
        "annotations_categories": structs(
            [
                {"worker_id": "A1", "categories": np.array([[name] for name in chosen], object).reshape(1, -1)}
                for chosen in annotations
            ]
        ),
    }


def photograph(name: str, *people: dict[str, Any]):
    return {"filename": name, "folder": "mscoco/images", "person": structs(people)}


@pytest.fixture
def emotic(tmp_path: Path, picture: WritePicture):
    """Writes annotations, and the pictures they speak of."""

    def write(**sets: list[dict[str, Any]]):
        for listed in sets.values():
            for each in listed:
                picture(f"emotic/mscoco/images/{each['filename']}", height=100, width=120)
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        savemat(tmp_path / "Annotations/Annotations.mat", {name: structs(listed) for name, listed in sets.items()})
        return tmp_path

    return write


def labels(path: Path, **options: Any):
    return {row.source: row.label for row in importers.load("emotic", path, Options(**options)).rows}


def test_a_person_is_a_row_with_the_part_of_the_picture_that_shows_it(emotic):
    path = emotic(
        train=[photograph("a.jpg", person(["Happiness", "Engagement"]), person(["Anger"], box=(0, 0, 30, 50)))]
    )

    rows = importers.load("emotic", path, Options()).rows

    assert [(row.source, row.label, row.split) for row in rows] == [
        ("mscoco/images/a.jpg#0", "happiness", "train"),
        ("mscoco/images/a.jpg#1", "anger", "train"),
    ]
    assert rows[0].picture.box == (10, 20, 30, 60)
    assert rows[0].picture.load().shape == (60, 30, 3)


def test_the_published_splits_are_kept(emotic):
    one, five, three = [["Fear"]], [["Fear"]] * 5, [["Fear"]] * 3
    path = emotic(
        train=[photograph("a.jpg", person(*one))],
        val=[photograph("b.jpg", person(*five))],
        test=[photograph("c.jpg", person(*three)), photograph("d.jpg", person(*three))],
    )

    rows = importers.load("emotic", path, Options()).rows

    assert [row.split for row in rows] == ["train", "validation", "test", "test"]
    assert {row.label for row in rows} == {"fear"}


def test_there_are_26_categories_and_most_have_no_counterpart():
    assert len(CATEGORIES) == 26
    assert sum(label == "-" for label in CATEGORIES.values()) == 17


@pytest.mark.parametrize(("category", "label"), [(c, label) for c, label in CATEGORIES.items() if label != "-"])
def test_each_counterpart_is_used(emotic, category: str, label: str):
    path = emotic(train=[photograph("a.jpg", person([category, "Engagement"]))])

    assert labels(path) == {"mscoco/images/a.jpg#0": label}


def test_people_without_one_clear_expression_are_counted(emotic):
    path = emotic(
        train=[
            photograph("a.jpg", person(["Engagement"]), person(["Happiness", "Fear"]), person(["Anger", "Annoyance"])),
            photograph("b.jpg", person(["Surprise"], box=(5, 5, 5, 9))),
        ],
        val=[photograph("c.jpg", person(["Anger"], ["Anger"], ["Sadness"], ["Engagement"]))],
    )

    source = importers.load("emotic", path, Options())

    assert [row.source for row in source.rows] == ["mscoco/images/a.jpg#2"]
    assert source.dropped == {
        "no category has a counterpart among the labels": 1,
        "the categories have different counterparts among the labels": 1,
        "the person's box is empty": 1,
        "no label has more than half of the annotators": 1,
    }


def test_more_than_half_of_several_annotators_decide(emotic):
    path = emotic(test=[photograph("a.jpg", person(["Anger"], ["Annoyance", "Peace"], ["Happiness"]))])

    assert labels(path) == {"mscoco/images/a.jpg#0": "anger"}


def test_a_missing_picture_is_counted(emotic):
    path = emotic(train=[photograph("a.jpg", person(["Anger"])), photograph("b.jpg", person(["Anger"]))])
    (path / "emotic/mscoco/images/b.jpg").unlink()

    assert importers.load("emotic", path, Options()).dropped == {"the picture is missing": 1}


def test_the_user_may_name_other_counterparts(emotic):
    path = emotic(train=[photograph("a.jpg", person(["Peace"]), person(["Annoyance"]))])

    assert labels(path, labels={"Peace": "neutral", "annoyance": "-"}) == {"mscoco/images/a.jpg#0": "neutral"}


def test_refuses_a_counterpart_of_an_unknown_category(emotic):
    path = emotic(train=[photograph("a.jpg", person(["Anger"]))])

    with pytest.raises(UsageError, match="--label glee=happiness: there is no category with that name"):
        labels(path, labels={"glee": "happiness"})


def test_a_category_of_another_kind_is_refused(emotic):
    path = emotic(train=[photograph("a.jpg", person(["Glee"]))])

    with pytest.raises(SourceError, match="'Glee' is not one of the 26 categories"):
        labels(path)


@pytest.mark.parametrize("cut", [0, 100, 600])
def test_a_damaged_file_is_refused(emotic, cut: int):
    path = emotic(train=[photograph("a.jpg", person(["Anger"]))])
    file = path / "Annotations/Annotations.mat"
    file.write_bytes(file.read_bytes()[:cut])

    with pytest.raises(SourceError, match=r"Annotations\.mat: not a complete MATLAB file"):
        labels(path)


def test_a_matlab_file_of_another_kind_is_refused(tmp_path: Path):
    savemat(tmp_path / "Annotations.mat", {"x": np.eye(3)})
    with pytest.raises(SourceError, match="none of the variables train, val, test"):
        labels(tmp_path)
    savemat(tmp_path / "Annotations.mat", {"train": np.eye(3)})
    with pytest.raises(SourceError, match="not described as published"):
        labels(tmp_path)
    savemat(tmp_path / "Annotations.mat", {"train": structs([photograph("a.jpg", {"body_bbox": 1})])})
    with pytest.raises(SourceError, match="not described as published"):
        labels(tmp_path)


def test_another_folder_is_refused(tmp_path: Path):
    with pytest.raises(SourceError, match=r"not in a known layout; give .*Annotations\.mat"):
        labels(tmp_path)
