from __future__ import annotations

from host_training.words import joined, unknown


def test_joins_a_list_of_words():
    assert joined(["a"]) == "a"
    assert joined(["a", "b"]) == "a and b"
    assert joined(["a", "b", "c"], "or") == "a, b or c"


def test_an_unknown_name_lists_the_choices():
    assert (
        unknown("split", "x", ("train", "validation", "test")) == "unknown split 'x'; choose train, validation or test"
    )
