"""Range of bundles: how small a face may be that is found and read, on its whole way through a device.

Faces of a table are pasted into scenes and seen as a stream by the daemon's own search, mesh, classifier and expression
machine, at their default settings. Frames come at virtual times. The search has a budget of processor time, though, so
that a slower processor finds small faces later; `slowdown` cuts the budget for such a one.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Mapping  # noqa: TC003  `build` reads the types of the fields
from dataclasses import dataclass, replace
from itertools import groupby, product
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge.bundle import bundle as bundles
from edge.classifier.reader import Reader
from edge.expression import ExpressionMachine
from edge.face_mesh import open_face_mesh
from edge.settings import CameraSettings, ExpressionSettings, MeshSettings
from edge.validation import as_json, build
from edge.values import UNCERTAIN, Frame
from host_training.data.keypoints import TEST, take
from host_training.data.votes import VOTES, applied
from host_training.evaluation import scenes
from host_training.evaluation.metrics import Interval, wilson
from host_training.evaluation.robustness import DIGITS, SEED, drawn, nearest
from host_training.evaluation.scores import PROTOCOLS
from host_training.threads import fan_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray

    from edge.bundle.bundle import Bundle
    from edge.face_mesh.models import MeshModels
    from host_training.data.keypoints import Table
    from host_training.data.source import ImageFile, Pixels
    from host_training.evaluation.scenes import Cutout, Grey

KEY = "range"
"""Key of the range in the JSON file of `emotion-train robustness`; the distortions have the keys beside it."""
HEIGHTS = (16, 20, 24, 32, 48, 64, 96, 128, 240)
"""Heights of the face in px, that of the box of its landmarks."""
ALLOWED = (4, 400)
"""Least and greatest height that may be asked for, px; a higher face doesn't fit the picture."""
PICTURES = ((640, 480), (1280, 720))
"""Widths and heights of the camera's picture in px."""
WALKS, STANDS = "walks", "stands"
ARRIVALS = {
    WALKS: "the face comes into view and moves to the side, three of its heights in the first second",
    STANDS: "the face is there from one frame to the next, and doesn't move",
}
"""Ways in which a face comes into view."""
FPS = CameraSettings().fps
"""Frames per second: the daemon's default."""
EMPTY_S, EMPTY_FPS = 5.0, 4.0
"""Time for which the scene is seen without the face, s, so that the search has been everywhere; and frames per second
until then: more would only cost time, because the search saves up its budget for as long."""
SOON_S, LIMIT_S = 2.0, 5.0
"""Times in which a face should be found, moving or not, s."""
READ_S = 1.0
"""Time after which a face that was found must be read right, s: the machine may have corrected itself once by then."""
WALK_HEIGHTS, WALK_S = 3.0, 1.0
"""How far a face walks, in heights of the face, and how long that takes, s: half a metre per second, because who comes
towards the camera moves little to the side."""
NOISE, NOISES = 2.0, 8
"""Standard deviation of the sensor's noise in grey levels, assumed for a room with its lights on; and the number of
fields of noise that take turns."""

COLUMN = 43
"""Width of a bundle's column in the text."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a bundle says of the faces, 0 to 1."""

    right: float
    """Share of all faces that are shown with the right label `READ_S` after they were found. A face that isn't found,
    or is lost again, is an error."""
    right_interval: Interval
    uncertain: float
    """Share of the faces found that are shown as `uncertain` then."""


@dataclass(frozen=True, slots=True)
class Condition:
    """The figures of one height of the face, one size of the picture and one way of coming into view."""

    width: int
    """Of the picture, px."""
    height: int
    """Of the picture, px."""
    face: int
    """Height of the face, px."""
    arrival: str
    """One of `ARRIVALS`."""
    found_soon: float
    """Share of the faces found, and shown, within `SOON_S`."""
    found_soon_interval: Interval
    found: float
    """Share of the faces found within `LIMIT_S`."""
    found_interval: Interval
    seconds: float | None
    """Median time after which the faces found were found, s; None without any."""
    read: Mapping[str, Read]
    """By id of the bundle."""


@dataclass(frozen=True, slots=True)
class Range:
    """The result of `emotion-train robustness --part range`. Intervals are Wilson's, 95 %."""

    command: str
    """Shows the same faces again; how soon they are found depends on the processor."""
    protocol: str
    """How readings were compared with the truth."""
    labels: tuple[str, ...]
    """The labels in question."""
    split: str
    rows: int
    """Number of faces."""
    seed: int
    """Seed of the sample."""
    slowdown: float
    """So many times slower than the processor that measured is the one whose search was shown."""
    scenes: tuple[str, ...]
    """Names of the pictures in which the faces were shown."""
    conditions: tuple[Condition, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return as_json(self)

    def text(self) -> str:
        """For the terminal, without a line break at the end."""
        blocks = [[f"{self.rows:,} {self.split} faces in {len(self.scenes)} scenes; missed faces are errors"]]
        for (width, height, arrival), conditions in groupby(self.conditions, lambda c: (c.width, c.height, c.arrival)):
            head = f"{'px':>5}{f'in {SOON_S:g} s':>9}{f'in {LIMIT_S:g} s':>9}{'median':>9}"
            lines = [f"{width}x{height}, {arrival}: {ARRIVALS[arrival]}"]
            lines.append(head + "".join(f"  {f'right, {each}':<{COLUMN}}" for each in self.conditions[0].read))
            for each in conditions:
                seconds = "-" if each.seconds is None else f"{each.seconds:.2f} s"
                reads = "".join(f"  {_cell(read):<{COLUMN}}" for read in each.read.values())
                lines.append(f"{each.face:5}{each.found_soon:9.1%}{each.found:9.1%}{seconds:>9}{reads}".rstrip())
            blocks.append(lines)
        return "\n\n".join("\n".join(block) for block in blocks)


def from_json(values: Mapping[str, Any]) -> Range | None:
    """The range in the JSON file of `emotion-train robustness`; None: not measured.

    Raises:
        InvalidError: it is not in the form of this version.
    """
    return build(Range, values[KEY], KEY) if KEY in values else None


def _cell(read: Read) -> str:
    low, high = read.right_interval
    return f"{read.right:.3f} ({low:.3f} to {high:.3f}), {read.uncertain:.1%} uncertain"


def measure(
    folders: Sequence[Path],
    models: MeshModels,
    table: Table,
    pictures: Mapping[int, Pixels | ImageFile],
    faces: int | None = None,
    *,
    split: str = TEST,
    scenes_folder: Path | None = None,
    heights: Sequence[int] = HEIGHTS,
    slowdown: float = 1.0,
    command: str = "",
) -> Range:
    """Measure bundles on the faces of a split.

    Args:
        folders: of the bundles.
        models: the verified mesh models.
        table: the rows and others. A face that is not in the table counts as missed here too.
        pictures: by row, as from `pictures.pictures_of`; rows without one are left out.
        faces: number of faces, drawn at random; None: all.
        split: the rows that count, one of `keypoints.SPLITS`.
        scenes_folder: photographs without faces; None: scikit-learn's.
        heights: of the face, px.
        slowdown: how many times slower the search is than on this processor.
        command: gives the same result again.

    Raises:
        ConfigError: a bundle cannot be used.
        UsageError: the bundles read different labels, or one that the kit does not have; or the split is unknown.
        TableError: no row of the split has both a label and a picture.
        EdgeError: a picture or scene cannot be read.
    """
    loaded, targets, chosen = drawn(folders, table, pictures, faces, split)
    places = scenes.load(scenes_folder, open_face_mesh(MeshSettings(), models))
    mesh = replace(MeshSettings(), search_share=MeshSettings().search_share / slowdown)
    device = _Device(loaded, mesh, models, list(places.values()), list(product(PICTURES, ARRIVALS, heights)))
    part = take(table, chosen)
    jobs = zip(part.ids.tolist(), (pictures[row] for row in chosen.tolist()), part.landmarks, strict=True)
    seen = fan_out(device, jobs, label="showing faces", unit=" faces")
    names = [targets.labels[index] for index in targets.hard[chosen].tolist()]
    return Range(
        command=command,
        protocol=PROTOCOLS[applied(VOTES, table, chosen)],
        labels=targets.labels,
        split=split,
        rows=len(chosen),
        seed=SEED,
        slowdown=slowdown,
        scenes=tuple(places),
        conditions=tuple(
            _condition(condition, [of[place] for of in seen], names, [each.id for each in loaded])
            for place, condition in enumerate(device.conditions)
        ),
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the device made of one face in one condition."""

    after: float | None
    """Time after which it was shown, s; None: it was not found."""
    shown: tuple[str | None, ...]
    """What each bundle shows; None: no face."""


class _Device:
    """The path from a stream to the expressions shown. Each thread has interpreters of its own."""

    def __init__(
        self,
        loaded: Sequence[Bundle],
        mesh: MeshSettings,
        models: MeshModels,
        places: Sequence[Grey],
        conditions: list[tuple[tuple[int, int], str, int]],
    ) -> None:
        self.conditions = conditions
        self._folders, self._labels = [each.folder for each in loaded], [each.labels for each in loaded]
        self._mesh, self._models = mesh, models
        self._scenes = {size: [scenes.fitted(each, size) for each in places] for size in PICTURES}
        rng = np.random.default_rng(SEED)
        self._noise = {
            (width, height): np.rint(rng.normal(0, NOISE, (NOISES, height, width))).astype(np.int8)
            for width, height in PICTURES
        }
        self._own = threading.local()
        self._loading = threading.Lock()

    def __call__(self, name: str, picture: Pixels | ImageFile, landmarks: NDArray[np.float32]) -> list[_Seen]:
        """What becomes of a face in each condition; `name` is its row's id, `landmarks` are float32[478, 3] px."""
        if not np.isfinite(landmarks).all():
            return [_Seen(None, (None,) * len(self._folders))] * len(self.conditions)
        if not hasattr(self._own, "classifiers"):
            with self._loading:  # loading silences the whole process for a moment
                self._own.classifiers = [bundles.load(folder).classifier for folder in self._folders]
        grey = np.asarray(cv2.cvtColor(picture.load(), cv2.COLOR_RGB2GRAY), np.uint8)
        found = []
        for size, arrival, height in self.conditions:
            rng = np.random.default_rng(zlib.crc32(f"{name} {size} {arrival} {height}".encode()))
            frames = _stream(
                scenes.cutout(grey, landmarks, height),
                self._scenes[size][rng.integers(len(self._scenes[size]))],
                self._noise[size],
                rng,
                walks=arrival == WALKS,
            )
            found.append(self._watch(frames))
        return found

    def _watch(self, frames: Iterator[tuple[Frame, NDArray[np.float32] | None]]) -> _Seen:
        """What the device makes of a stream of frames, each with the landmarks of the face, or None before it comes."""
        with self._loading:
            mesh = open_face_mesh(self._mesh, self._models)  # a new one: what was seen before must not matter
        machines = [ExpressionMachine(labels, ExpressionSettings()) for labels in self._labels]
        readers = [Reader() for _ in machines]
        after, track = None, None
        for frame, landmarks in frames:
            now = frame.captured_at
            if now >= (LIMIT_S if after is None else after + READ_S):
                break
            faces = mesh.process(frame)
            for classifier, reader, machine in zip(self._own.classifiers, readers, machines, strict=True):
                machine.step(reader.read(classifier, faces, frame.rgb), now)
            face = None if landmarks is None else nearest(faces, landmarks)
            # When a face is shown doesn't depend on what it is read as, so one machine speaks for all.
            if face is not None and face.track_id in {each.track_id for each in machines[0].shown()}:
                after, track = now if after is None else after, face.track_id
        mesh.close()
        shown = [{each.track_id: each.expression for each in machine.shown()} for machine in machines]
        return _Seen(after, tuple(None if track is None else each.get(track) for each in shown))


def _stream(
    cutout: Cutout, scene: Grey, noise: NDArray[np.int8], rng: Generator, *, walks: bool
) -> Iterator[tuple[Frame, NDArray[np.float32] | None]]:
    """Frames of a scene into which a face comes at time 0, and the landmarks of the face in them.

    It never leaves the picture as far as its size allows, so one that is large walks less far.
    """
    lows = cutout.half
    highs = [side - low for side, low in zip(scene.shape[::-1], lows, strict=True)]
    x, y = (rng.uniform(low, max(low, high)) for low, high in zip(lows, highs, strict=True))
    way = (rng.choice([-1, 1]) * WALK_HEIGHTS * 2 * lows[1]) if walks else 0.0
    start = float(np.clip(x - way, lows[0], max(lows[0], highs[0])))
    empty = [number / EMPTY_FPS - EMPTY_S for number in range(round(EMPTY_S * EMPTY_FPS))]
    for number, now in enumerate([*empty, *(number / FPS for number in range(round((LIMIT_S + READ_S) * FPS) + 1))]):
        picture, landmarks = scene, None
        if now >= 0:
            picture, landmarks = cutout.pasted(scene, (start + (x - start) * min(1.0, now / WALK_S), y))
        grainy = cv2.add(picture, noise[number % len(noise)], dtype=cv2.CV_8U)
        yield Frame(np.asarray(cv2.cvtColor(grainy, cv2.COLOR_GRAY2RGB), np.uint8), now), landmarks


def _condition(
    condition: tuple[tuple[int, int], str, int], seen: Sequence[_Seen], names: Sequence[str], ids: Sequence[str]
) -> Condition:
    """Figures of one condition.

    Args:
        condition: width and height of the picture, px; one of `ARRIVALS`; height of the face, px.
        seen: of the N faces.
        names: true labels of the N faces.
        ids: of the bundles.
    """
    (width, height), arrival, face = condition
    times = [each.after for each in seen if each.after is not None]
    soon, rows = sum(after <= SOON_S for after in times), len(seen)
    read = {}
    for number, name in enumerate(ids):
        shown = [each.shown[number] for each in seen]
        right = sum(each == label for each, label in zip(shown, names, strict=True))
        uncertain = shown.count(UNCERTAIN) / len(times) if times else 0.0
        read[name] = Read(round(right / rows, DIGITS), _wilson(right, rows), round(uncertain, DIGITS))
    return Condition(
        width=width,
        height=height,
        face=face,
        arrival=arrival,
        found_soon=round(soon / rows, DIGITS),
        found_soon_interval=_wilson(soon, rows),
        found=round(len(times) / rows, DIGITS),
        found_interval=_wilson(len(times), rows),
        seconds=round(float(np.median(times)), 2) if times else None,
        read=read,
    )


def _wilson(hits: int, rows: int) -> Interval:
    low, high = wilson(hits, rows)
    return round(low, DIGITS), round(high, DIGITS)
