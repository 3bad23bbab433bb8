"""A range as `emotion-train robustness --part range` would find it."""

from __future__ import annotations

from host_training.evaluation.face_range import PICTURES, STANDS, WALKS, Condition, Range, Read
from host_training.evaluation.metrics import wilson

HEIGHTS = (24, 48)
ROWS = 100


def of(bundle: str) -> Range:
    """The range of a bundle: of 100 faces of 24 px 90 are found soon, 80 without moving, 70 and 50 are read right."""
    conditions = [
        _condition(picture, WALKS, face, found=90 + grown, right=70 + grown, bundle=bundle)
        if arrival == WALKS
        else _condition(picture, STANDS, face, found=80 + grown, right=50 + grown, bundle=bundle)
        for picture in PICTURES
        for arrival in (WALKS, STANDS)
        for face, grown in zip(HEIGHTS, (0, 5), strict=True)
    ]
    return Range(
        command="emotion-train robustness --bundle fused --part range",
        protocol="A missed face is an error.",
        labels=(),
        split="validation",
        rows=ROWS,
        seed=0,
        slowdown=1.0,
        scenes=("hall.jpg", "garden.jpg"),
        conditions=tuple(conditions),
    )


def _condition(picture: tuple[int, int], arrival: str, face: int, *, found: int, right: int, bundle: str) -> Condition:
    found_interval, right_interval = wilson(found, ROWS), wilson(right, ROWS)
    read = Read(right / ROWS, right_interval, 0.1)
    share = found / ROWS
    return Condition(*picture, face, arrival, share, found_interval, share, found_interval, 0.4, {bundle: read})
