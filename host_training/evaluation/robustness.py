"""How well bundles read what a small camera really sees: the device's whole path on distorted test pictures.

`judge` gives a document for JSON:

    labels       the expressions in question
    rows         pictures that each bundle was judged on
    enter, min_quality    the daemon's defaults, by which an answer is `uncertain`
    distortions  name -> what is done to the picture; `none` is the picture as it is
    bundles      id -> name of the distortion -> figures

The figures are shares, with 95 % intervals:

    found        pictures in which the mesh saw the face
    accuracy     of all pictures: a missed face is an error
    macro_f1     mean over the labels that occur
    uncertain    faces found that the daemon would call `uncertain`
    accuracy_sure    of the other faces found; null without any
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.bundle import bundle as bundles
from edge.errors import UsageError
from edge.face_mesh import open_face_mesh
from edge.settings import ExpressionSettings, MeshSettings
from host_training.data.distortions import DISTORTIONS, distorted
from host_training.data.keypoints import TEST, take
from host_training.data.splits import units
from host_training.data.votes import VOTES, targets_of
from host_training.errors import TableError
from host_training.evaluation import metrics
from host_training.evaluation.scores import PROTOCOLS, judged_rows
from host_training.threads import fan_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.face_mesh.models import MeshModels
    from edge.values import Face, Reading
    from host_training.data.keypoints import Table
    from host_training.data.source import ImageFile, Pixels

    Answers = list[list[Reading | None]]
    """Of one picture, by kind: what each bundle reads; None: no face was found."""

NONE = "none"
"""In place of a distortion."""
KINDS = {NONE: "the picture as it is"} | {name: kind.summary for name, kind in DISTORTIONS.items()}
SEED = 0
"""Of the sample: the same rows in every run."""
DIGITS = 4


def judge(
    folders: Sequence[Path],
    models: MeshModels,
    table: Table,
    pictures: Mapping[int, Pixels | ImageFile],
    rows: int | None = None,
) -> dict[str, Any]:
    """Judge bundles on the test rows, undistorted and by kind of distortion.

    Args:
        folders: of the bundles.
        models: the mesh models, verified.
        table: the rows and others. What the mesh missed when they were measured counts as missed here too.
        pictures: of rows of the table, as from `pictures.pictures_of`; test rows without one are left out.
        rows: so many of them, drawn at random; None: all.

    Returns:
        See the module.

    Raises:
        ConfigError: a bundle cannot be used.
        UsageError: the bundles read different labels, or one that the kit does not have.
        TableError: no test row has both a label and a picture.
        EdgeError: a picture cannot be read.
    """
    loaded = [bundles.load(folder) for folder in folders]
    names = loaded[0].labels
    for other in loaded[1:]:
        if set(other.labels) != set(names):
            raise UsageError(f"{other.folder}: reads other labels than {loaded[0].folder}; judge them apart")
    targets = targets_of(table, names)
    chosen = np.array([row for row in judged_rows(table, targets, TEST).tolist() if row in pictures], np.intp)
    if not len(chosen):
        raise TableError(
            "no test row that can be judged has a picture here; give the data sets of the table (--pictures)"
        )
    if rows is not None:
        chosen = np.sort(np.random.default_rng(SEED).permutation(chosen)[:rows])

    part, device = take(table, chosen), _Device(folders, models)
    jobs = zip(part.ids.tolist(), (pictures[row] for row in chosen.tolist()), part.landmarks, strict=True)
    answers = fan_out(device, jobs, label="reading distorted pictures", unit=" pictures")
    label, unit = targets.hard[chosen], units(table)[chosen]
    rules = ExpressionSettings()
    return {
        "protocol": PROTOCOLS[VOTES],
        "labels": list(targets.labels),
        "rows": len(chosen),
        "enter": rules.enter,
        "min_quality": rules.min_quality,
        "distortions": KINDS,
        "bundles": {
            bundle.id: {
                kind: _figures(
                    [of[place][number] for of in answers],
                    [bundle.labels.index(name) for name in targets.labels],
                    label,
                    unit,
                )
                for place, kind in enumerate(KINDS)
            }
            for number, bundle in enumerate(loaded)
        },
    }


def text(found: dict[str, Any]) -> str:
    """The figures of a document from `judge` for people, without a line break at the end."""
    width = max(map(len, KINDS)) + 2
    head = f"{'':{width}}accuracy  95 %            macro-F1     found  uncertain  accuracy of the rest"
    blocks = [[f"{found['rows']:,} pictures; missed faces are errors"]]
    for name, by_kind in found["bundles"].items():
        lines = [name, head]
        for kind, figures in by_kind.items():
            low, high = figures["accuracy_interval"]
            sure = "-" if figures["accuracy_sure"] is None else f"{figures['accuracy_sure']:.3f}"
            lines.append(
                f"{kind:{width}}{figures['accuracy']:8.3f}  {low:.3f} to {high:.3f}  {figures['macro_f1']:8.3f}"
                f"{figures['found']:10.1%}{figures['uncertain']:11.1%}{sure:>10}"
            )
        blocks.append(lines)
    blocks.append([f"{kind:{width}}{summary}" for kind, summary in found["distortions"].items()])
    return "\n\n".join("\n".join(block) for block in blocks)


class _Device:
    """The path from a picture to the bundles' readings. Each thread has a copy: an interpreter serves one."""

    def __init__(self, folders: Sequence[Path], models: MeshModels) -> None:
        self._folders, self._models = folders, models
        self._own = threading.local()
        self._loading = threading.Lock()

    def __call__(self, name: str, picture: Pixels | ImageFile, landmarks: NDArray[np.float32]) -> Answers:
        """What the bundles read in the picture of a row, whose id and landmarks, float32[478, 3] px, are given."""
        if not hasattr(self._own, "mesh"):
            with self._loading:  # to load a model quietly is to silence the whole program for a moment
                self._own.mesh = open_face_mesh(MeshSettings(), self._models)
                self._own.classifiers = [bundles.load(folder).classifier for folder in self._folders]
        if not np.isfinite(landmarks).all():
            return [[None] * len(self._folders) for _ in KINDS]
        rgb = picture.load()
        answers: Answers = []
        for kind in KINDS:
            seen, scale = (rgb, 1.0) if kind == NONE else distorted(kind, rgb, landmarks, name)
            face = _nearest(self._own.mesh.still(seen), landmarks * np.float32(scale))
            answers.append([None if face is None else each.read([face], seen)[0] for each in self._own.classifiers])
        return answers


def _nearest(faces: Sequence[Face], landmarks: NDArray[np.float32]) -> Face | None:
    """The face nearest to landmarks, float32[478, 3] px, if its middle lies in their box: another is not the row's."""
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    middles = [(face.landmarks[:, :2].min(axis=0) + face.landmarks[:, :2].max(axis=0)) / 2 for face in faces]
    inside = [place for place, middle in enumerate(middles) if ((middle > low) & (middle < high)).all()]
    middle = (low + high) / 2
    best = min(inside, key=lambda place: float(np.hypot(*(middles[place] - middle))), default=None)
    return None if best is None else faces[best]


def _figures(
    readings: Sequence[Reading | None], columns: list[int], label: NDArray[np.intp], unit: NDArray[np.intp]
) -> dict[str, Any]:
    """See the module.

    Args:
        readings: of the N pictures; None: no face was found.
        columns: place of each of the C labels among the bundle's.
        label: int[N], what it is.
        unit: int[N], equal for rows that belong together.
    """
    rules, count = ExpressionSettings(), len(columns)
    said, confidence, sure = np.full(len(label), count), np.zeros(len(label)), np.zeros(len(label), np.bool_)
    for row, reading in enumerate(readings):
        if reading is not None:
            said[row] = reading.probabilities[columns].argmax(axis=0)
            confidence[row] = reading.probabilities.max(axis=0)
            sure[row] = confidence[row] >= rules.enter and reading.quality >= rules.min_quality
    tally = metrics.tally(label, said, confidence, count)
    accuracy, macro_f1, _ = metrics.figures(tally.sum(axis=0), count).tolist()
    limits = metrics.intervals(unit, tally, lambda sums: metrics.figures(sums, count))
    found, right = said < count, said == label
    figures: dict[str, float | tuple[float, float] | None] = {
        "found": float(found.mean()),
        "accuracy": accuracy,
        "accuracy_interval": limits[0],
        "macro_f1": macro_f1,
        "macro_f1_interval": limits[1],
        "uncertain": float(1 - sure[found].mean()) if found.any() else 0.0,
        "accuracy_sure": float(right[sure].mean()) if sure.any() else None,
    }
    return {name: None if value is None else np.round(value, DIGITS).tolist() for name, value in figures.items()}
