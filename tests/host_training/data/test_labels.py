from __future__ import annotations

import pytest

from edge.errors import UsageError
from host_training.data.labels import LABELS, checked_labels


def test_labels_come_in_the_order_of_ferplus():
    assert checked_labels(["anger", "neutral", "fear"]) == ("neutral", "anger", "fear")
    assert checked_labels(LABELS[::-1]) == LABELS


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["neutral", "joy"], "unknown label 'joy'; choose neutral, happiness"),
        (["fear"], "at least two labels"),
        (["fear", "fear"], "each of them once"),
        ([], "at least two labels"),
    ],
)
def test_refuses_an_invalid_choice_of_labels(labels: list[str], message: str):
    with pytest.raises(UsageError, match=message):
        checked_labels(labels)
