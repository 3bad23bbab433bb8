"""From frames to changes without I/O: the changes follow the script of the demo."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge.bundle import bundle as bundles
from edge.classifier.reader import Reader
from edge.expression import ExpressionMachine
from edge.face_mesh import litert
from edge.settings import MeshSettings, Settings
from edge.values import Frame
from tests.support.released import FUSED_BUNDLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture(scope="module")
def changes(demo_readings):
    """The changes in one loop of the demo."""
    machine = ExpressionMachine(bundles.load(FUSED_BUNDLE).labels, Settings().expression)
    return [change for at, _, readings in demo_readings for change in machine.step(readings, at)]


def shown_at(changes, second: float) -> str | None:
    """The expression shown at a time of the demo, s."""
    return [change.expression for change in changes if change.since <= second][-1]


@pytest.mark.parametrize(
    ("second", "expression"),
    [(2, "happiness"), (5, "neutral"), (9, "surprise"), (14, "sadness"), (21, "happiness"), (24, None)],
)
def test_the_expressions_of_the_demo_are_shown(changes, second, expression):
    assert shown_at(changes, second) == expression


def test_the_person_who_returns_is_a_new_face(changes):
    assert [(change.track_id, change.kind) for change in changes if change.kind != "update"] == [
        (1, "new"),
        (1, "end"),
        (2, "new"),
    ]


def test_a_turned_and_moving_face_does_not_flicker(changes):
    assert len(changes) <= 16


@pytest.mark.parametrize("clip", ["demo", "arrival.avi", "single_face.mp4", "noface_face.mov"])
def test_a_face_that_is_measured_only_when_it_changes_causes_the_same_events(models, media, demo, monkeypatch, clip):
    frames = list(held(demo)) if clip == "demo" else list(clip_frames(media(clip)))
    classifier, rules = bundles.load(FUSED_BUNDLE).classifier, Settings().expression

    def events(still_s: float) -> tuple[list[tuple[str, str | None, float]], int]:
        monkeypatch.setattr(litert, "STILL_S", still_s)
        clock = itertools.count(0.0, 0.002).__next__  # each look of the search costs the same on every machine
        mesh, reader = litert.LiteRTFaceMesh(MeshSettings(), models, cpu_clock=clock), Reader()
        machine = ExpressionMachine(bundles.load(FUSED_BUNDLE).labels, rules)
        found: list[tuple[str, str | None, float]] = []
        before: dict[int, NDArray[np.float32]] = {}
        measured = 0
        for frame in frames:
            faces = mesh.process(frame)
            measured += sum(before.get(face.track_id) is not face.landmarks for face in faces)
            before = {face.track_id: face.landmarks for face in faces}
            changes = machine.step(reader.read(classifier, faces, frame.rgb), frame.captured_at)
            found += [(change.kind, change.expression, change.since) for change in changes]
        return found, measured

    (changed, fewer), (always, most) = events(litert.STILL_S), events(0.0)
    assert fewer < most if clip == "demo" else fewer <= most
    assert [event[:2] for event in changed] == [event[:2] for event in always]
    assert all(one[2] <= other[2] + 1e-6 for one, other in zip(changed, always, strict=True)), "none comes later"


def held(demo) -> Iterator[Frame]:
    """Seven seconds of the demo in which the person holds still for two seconds again and again, with noise."""
    rng = np.random.default_rng(0)
    noise = [rng.normal(0, 2, (480, 640, 3)) for _ in range(4)]
    number = itertools.count()
    for i, frame in enumerate(demo(5, 12)):
        for _ in range(30 if i % 20 == 0 else 1):
            n = next(number)
            yield Frame(np.clip(frame.rgb + noise[n % 4], 0, 255).astype(np.uint8), n / 15)


def clip_frames(path: Path) -> Iterator[Frame]:
    """The frames of a clip, at its own speed."""
    capture = cv2.VideoCapture(str(path))
    for number in itertools.count():
        more, bgr = capture.read()
        if not more:
            return
        rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        yield Frame(rgb, number / capture.get(cv2.CAP_PROP_FPS))
