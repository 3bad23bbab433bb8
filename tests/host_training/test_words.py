from __future__ import annotations

from host_training.words import joined, unknown


def test_a_list_of_words_reads_as_one():
    assert joined(["a"]) == "a"
    assert joined(["a", "b"]) == "a and b"
    assert joined(["a", "b", "c"], "or") == "a, b or c"


def test_an_unknown_name_comes_with_the_choices():
    assert (
        unknown("split", "x", ("train", "validation", "test")) == "unknown split 'x'; choose train, validation or test"
    )
