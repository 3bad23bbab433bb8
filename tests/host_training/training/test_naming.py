from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from host_training.data.keypoints import Table, take
from host_training.training.naming import named
from host_training.training.recipe import load

if TYPE_CHECKING:
    from collections.abc import Sequence


def table_of(table: Table, data_sets: Sequence[str], *, voted: bool = False) -> Table:
    some = take(table, np.arange(len(data_sets)))
    return dataclasses.replace(some, data_set=np.array(data_sets), votes=some.votes * voted)


@pytest.mark.parametrize(
    ("data_sets", "voted", "name"),
    [
        (["fer2013"] * 2, True, "ferplus-landmarks"),
        (["fer2013"] * 2, False, "fer2013-landmarks"),
        (["photos"], False, "photos-landmarks"),
        (["photos"], True, "photos-landmarks"),
        (["photos", "fer2013", "fer2013"], True, "ferplus-photos-landmarks"),
        (["Fotos für Zoë (2)"], False, "Fotos-fur-Zoe-2-landmarks"),
        (["客厅"], False, "own-landmarks"),
        (
            [f"a-rather-long-name-{n}" for n in range(6)],
            False,
            "a-rather-long-name-0-a-rather-long-name-1-more-landmarks",
        ),
        (["x" * 200], False, f"{'x' * 48}-landmarks"),
    ],
)
def test_a_bundle_is_named_after_its_data_sets(table: Table, data_sets: list[str], voted: bool, name: str):
    recipe = named(load(None), table_of(table, data_sets, voted=voted))

    assert recipe == dataclasses.replace(load(None), name=name)
    assert load(None, {"name": recipe.name}).name == name, "it is a name that a recipe may have"


@pytest.mark.parametrize("name", ["mine", "ferplus-and-mine"])
def test_a_name_that_was_given_stays(table: Table, name: str):
    assert named(load(None, {"name": name}), table_of(table, ["photos"])).name == name


def test_labels_alone_make_no_ferplus(table: Table):
    assert named(load(None, {"truth": "label"}), table_of(table, ["fer2013"], voted=True)).name == "fer2013-landmarks"
