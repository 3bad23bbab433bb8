"""Robustness of bundles: a device's whole path, from picture to label, on distorted pictures."""

from __future__ import annotations

import threading
from collections.abc import Mapping  # noqa: TC003  `build` reads the types of the fields
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.bundle import bundle as bundles
from edge.errors import UsageError
from edge.face_mesh import open_face_mesh
from edge.settings import ExpressionSettings, MeshSettings
from edge.validation import as_json
from host_training.data.distortions import DISTORTIONS, distorted
from host_training.data.keypoints import TEST, take
from host_training.data.splits import units
from host_training.data.votes import VOTES, applied, targets_of
from host_training.errors import TableError
from host_training.evaluation import metrics
from host_training.evaluation.metrics import Interval  # noqa: TC001  likewise
from host_training.evaluation.scores import PROTOCOLS, judged_rows
from host_training.threads import fan_out

if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.bundle.bundle import Bundle
    from edge.face_mesh.models import MeshModels
    from edge.values import Face, Reading
    from host_training.data.keypoints import Table
    from host_training.data.source import ImageFile, Pixels
    from host_training.data.votes import Targets

    Readings = list[list[Reading | None]]
    """Readings of one picture by kind and bundle; None: no face was found."""

NONE = "none"
"""Name of the picture as it is."""
KINDS = {NONE: "the picture as it is"} | {name: kind.summary for name, kind in DISTORTIONS.items()}
SEED = 0
"""Seed of the sample, so that every run takes the same rows."""
DIGITS = 4
"""Decimals of the figures."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one bundle with one distortion, 0 to 1."""

    found: float
    """Share of the pictures in which the mesh found the face."""
    accuracy: float
    """Over all pictures; a missed face is an error."""
    accuracy_interval: Interval
    macro_f1: float
    """Mean over the labels that occur."""
    macro_f1_interval: Interval
    uncertain: float
    """Share of the faces found that the daemon would report as `uncertain`."""
    accuracy_certain: float | None
    """Over the other faces found; None without any."""


@dataclass(frozen=True, slots=True)
class Robustness:
    """The result of `emotion-train robustness`."""

    command: str
    """Gives the same result again."""
    protocol: str
    """How readings were compared with the truth."""
    labels: tuple[str, ...]
    """The labels in question."""
    rows: int
    """Number of pictures."""
    enter: float
    """The daemon's default, below whose confidence a reading is `uncertain`."""
    min_quality: float
    """The same for the quality."""
    distortions: Mapping[str, str]
    """By name, what happens to the picture; `none` is the picture as it is."""
    bundles: Mapping[str, Mapping[str, Figures]]
    """By id of the bundle and name of the distortion."""
    split: str = TEST

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return as_json(self)

    def text(self) -> str:
        """For the terminal, without a line break at the end."""
        width = max(map(len, self.distortions)) + 2
        head = f"{'':{width}}accuracy  95 %            macro-F1     found  uncertain  accuracy of the rest"
        blocks = [[f"{self.rows:,} {self.split} pictures; missed faces are errors"]]
        for name, by_distortion in self.bundles.items():
            lines = [name, head]
            for kind, figures in by_distortion.items():
                low, high = figures.accuracy_interval
                certain = "-" if figures.accuracy_certain is None else f"{figures.accuracy_certain:.3f}"
                lines.append(
                    f"{kind:{width}}{figures.accuracy:8.3f}  {low:.3f} to {high:.3f}  {figures.macro_f1:8.3f}"
                    f"{figures.found:10.1%}{figures.uncertain:11.1%}{certain:>10}"
                )
            blocks.append(lines)
        blocks.append([f"{kind:{width}}{summary}" for kind, summary in self.distortions.items()])
        return "\n\n".join("\n".join(block) for block in blocks)


def measure(
    folders: Sequence[Path],
    models: MeshModels,
    table: Table,
    pictures: Mapping[int, Pixels | ImageFile],
    rows: int | None = None,
    *,
    split: str = TEST,
    command: str = "",
) -> Robustness:
    """Measure bundles on the rows of a split, as they are and with each distortion.

    Args:
        folders: of the bundles.
        models: the verified mesh models.
        table: the rows and others. A face that is not in the table counts as missed here too.
        pictures: by row, as from `pictures.pictures_of`; rows without one are left out.
        rows: number of rows, drawn at random; None: all.
        split: the rows that count, one of `keypoints.SPLITS`.
        command: gives the same result again.

    Raises:
        ConfigError: a bundle cannot be used.
        UsageError: the bundles read different labels, or one that the kit does not have; or the split is unknown.
        TableError: no row of the split has both a label and a picture.
        EdgeError: a picture cannot be read.
    """
    loaded, targets, chosen = drawn(folders, table, pictures, rows, split)
    part, device = take(table, chosen), _Device(folders, models)
    jobs = zip(part.ids.tolist(), (pictures[row] for row in chosen.tolist()), part.landmarks, strict=True)
    readings = fan_out(device, jobs, label="reading distorted pictures", unit=" pictures")
    label, unit = targets.hard[chosen], units(table)[chosen]
    rules = ExpressionSettings()
    return Robustness(
        command=command,
        protocol=PROTOCOLS[applied(VOTES, table, chosen)],
        labels=targets.labels,
        rows=len(chosen),
        enter=rules.enter,
        min_quality=rules.min_quality,
        distortions=KINDS,
        bundles={
            bundle.id: {
                kind: _figures(
                    [of[place][number] for of in readings],
                    [bundle.labels.index(name) for name in targets.labels],
                    label,
                    unit,
                )
                for place, kind in enumerate(KINDS)
            }
            for number, bundle in enumerate(loaded)
        },
        split=split,
    )


def drawn(
    folders: Sequence[Path], table: Table, pictures: Container[int], rows: int | None, split: str
) -> tuple[list[Bundle], Targets, NDArray[np.intp]]:
    """The bundles, the targets of all rows for their labels, and the rows that are shown, int[N].

    Args:
        folders: of the bundles.
        table: the rows and others.
        pictures: the rows that have one.
        rows: number of rows, drawn at random; None: all.
        split: the rows that count, one of `keypoints.SPLITS`.

    Raises:
        ConfigError, UsageError, TableError: see `measure`.
    """
    loaded = [bundles.load(folder) for folder in folders]
    names = loaded[0].labels
    for other in loaded[1:]:
        if set(other.labels) != set(names):
            raise UsageError(f"{other.folder}: reads other labels than {loaded[0].folder}; measure them separately")
    targets = targets_of(table, names)
    chosen = np.array([row for row in judged_rows(table, targets, split).tolist() if row in pictures], np.intp)
    if not len(chosen):
        raise TableError(f"no labelled {split} row has a picture here; give the data sets of the table (--pictures)")
    if rows is not None:
        chosen = np.sort(np.random.default_rng(SEED).permutation(chosen)[:rows])
    return loaded, targets, chosen


class _Device:
    """The path from a picture to the bundles' readings. Each thread has interpreters of its own."""

    def __init__(self, folders: Sequence[Path], models: MeshModels) -> None:
        self._folders, self._models = folders, models
        self._own = threading.local()
        self._loading = threading.Lock()

    def __call__(self, name: str, picture: Pixels | ImageFile, landmarks: NDArray[np.float32]) -> Readings:
        """Readings of a row's picture; `name` is the row's id, `landmarks` are float32[478, 3] px."""
        if not hasattr(self._own, "mesh"):
            with self._loading:  # loading silences the whole process for a moment
                self._own.mesh = open_face_mesh(MeshSettings(), self._models)
                self._own.classifiers = [bundles.load(folder).classifier for folder in self._folders]
        if not np.isfinite(landmarks).all():
            return [[None] * len(self._folders) for _ in KINDS]
        rgb = picture.load()
        readings: Readings = []
        for kind in KINDS:
            shown, scale = (rgb, 1.0) if kind == NONE else distorted(kind, rgb, landmarks, name)
            face = nearest(self._own.mesh.still(shown), landmarks * np.float32(scale))
            readings.append([None if face is None else each.read([face], shown)[0] for each in self._own.classifiers])
        return readings


def nearest(faces: Sequence[Face], landmarks: NDArray[np.float32]) -> Face | None:
    """The face nearest to landmarks, float32[478, 3] px; None if no face has its centre in their box."""
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    centres = [(face.landmarks[:, :2].min(axis=0) + face.landmarks[:, :2].max(axis=0)) / 2 for face in faces]
    inside = [place for place, centre in enumerate(centres) if ((centre > low) & (centre < high)).all()]
    centre = (low + high) / 2
    best = min(inside, key=lambda place: float(np.hypot(*(centres[place] - centre))), default=None)
    return None if best is None else faces[best]


def _figures(
    readings: Sequence[Reading | None], columns: list[int], label: NDArray[np.intp], unit: NDArray[np.intp]
) -> Figures:
    """Figures of one bundle with one distortion.

    Args:
        readings: of the N pictures; None: no face was found.
        columns: places of the C labels among the bundle's.
        label: int[N], true labels.
        unit: int[N], equal for rows of one person or picture.
    """
    rules, count = ExpressionSettings(), len(columns)
    predicted, confidence, certain = np.full(len(label), count), np.zeros(len(label)), np.zeros(len(label), np.bool_)
    for row, reading in enumerate(readings):
        if reading is not None:
            predicted[row] = reading.probabilities[columns].argmax(axis=0)
            confidence[row] = reading.probabilities.max(axis=0)
            certain[row] = confidence[row] >= rules.enter and reading.quality >= rules.min_quality
    tally = metrics.tally(label, predicted, confidence, count)
    accuracy, macro_f1, _ = metrics.figures(tally.sum(axis=0), count).tolist()
    limits = metrics.intervals(unit, tally, lambda sums: metrics.figures(sums, count))
    found, correct = predicted < count, predicted == label
    low, high = np.transpose(limits).round(DIGITS).tolist()
    return Figures(
        found=round(float(found.mean()), DIGITS),
        accuracy=round(accuracy, DIGITS),
        accuracy_interval=(low[0], high[0]),
        macro_f1=round(macro_f1, DIGITS),
        macro_f1_interval=(low[1], high[1]),
        uncertain=round(float(1 - certain[found].mean()), DIGITS) if found.any() else 0.0,
        accuracy_certain=round(float(correct[certain].mean()), DIGITS) if certain.any() else None,
    )
