"""Makes model/recordings, a recording of each expression, out of the keypoint table.

    make recordings

Nobody was filmed. For each expression one face of the training rows, the one that most people called so among those
that the landmark model is sure of, is moved: for a second it is neutral, then it shows the expression for two and a
half, then it is neutral again, and then it is gone. Its neutral is the face itself, less what the average face of its
expression has more than the average neutral one, both in the canonical pose. The head sways a little, and each
landmark trembles as it does in a recording of the demo:

    emotion-edge record --camera demo --seconds 26 build/demo.landmarks
    python docs/tools/make_recordings.py --jitter build/demo.landmarks
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.bundle import bundle as bundles
from edge.camera.recording_file import RecordingReader, RecordingWriter
from edge.classifier.features import canonical
from edge.classifier.network import LEFT_IRIS, RIGHT_IRIS
from edge.errors import DataError, EdgeError
from edge.values import LANDMARKS, Face, Frame, bounding_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.bundle.bundle import Bundle

MEASURED = datetime(2026, 11, 22, 17, 45, tzinfo=UTC)
"""When the landmarks of the keypoint table were, and what the headers say: the same table gives the same bytes."""
WIDTH, HEIGHT = 640, 480
FPS = 10
"""What a Raspberry Pi reaches; a recording of twice as many frames would be twice as large."""
BEGIN_S, CHANGE_S, BACK_S, GONE_S, END_S = 1.0, 0.4, 3.5, 5.0, 6.0
"""The expression begins to form, takes so long for it, begins to vanish; the face leaves; the recording ends."""
EYES_PX = 48.0
"""Between the irises: a person 0.7 m from a camera that is 640 px and 62 degrees wide."""
JITTER = 0.001
"""Standard deviation of a coordinate, as a share of the distance between the irises; from `--jitter`."""
SWAY = np.radians([2.0, 4.0, 1.5])
"""Pitch, yaw and roll to either side."""
DRIFT_PX = np.array([6.0, 4.0])
"""To either side, and up and down."""
PERIODS_S = np.array([4.1, 5.3, 6.1, 3.7, 2.3])
"""Of these five; they do not come together again before the recording ends."""
SEED = 1

LEAST_FRONTALITY = 0.95
LEAST_EYES_PX = 15.0
"""Between the irises, of the 48 px that a picture is wide."""
LEAST_PRESENCE = 0.9
SURE = 0.7
"""The landmark model gives the expression, and the neutral that is made of it, at least this probability."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A face to play, and what speaks for it."""

    name: str
    """Row of the table, as in `fer2013/123`."""
    votes: int
    voters: int
    shown: float
    """Probability of its expression."""
    neutral: float
    """Probability of neutral, for the neutral that is made of it."""
    shape: NDArray[np.float64]
    """float64[478, 3] in the canonical pose."""
    change: NDArray[np.float64]
    """float64[478, 3]: what makes it neutral."""
    rotation: NDArray[np.float64]
    """float64[3, 3] from canonical to picture."""
    presence: float
    mesh: str
    """sha256 of the landmark model that measured it."""


def main() -> None:
    """Make the recordings, or measure the jitter of one."""
    parser = argparse.ArgumentParser(description="Makes a recording of each expression out of the keypoint table.")
    parser.add_argument("--table", type=Path, default=Path("model/keypoints/ferplus.parquet"))
    parser.add_argument("--bundle", type=Path, default=Path("model/landmarks"), help="reads landmarks alone")
    parser.add_argument("--out", type=Path, default=Path("model/recordings"))
    parser.add_argument("--jitter", type=Path, metavar="RECORDING", help="only measure how its landmarks tremble")
    args = parser.parse_args()
    bundle = bundles.load(args.bundle)
    if args.jitter:
        print(f"{jitter(args.jitter, bundle):.5f}")
        return
    args.out.mkdir(exist_ok=True)
    print("| recording | row | votes for it | read as it | neutral made of it, read so |\n|---|---|---|---|---|")
    for index, (label, chosen) in enumerate(choose(args.table, bundle).items()):
        path = args.out / f"{label}.landmarks"
        path.unlink(missing_ok=True)
        with RecordingWriter(path, width=WIDTH, height=HEIGHT, mesh_sha256=chosen.mesh, created=MEASURED) as writer:
            for frame in play(chosen, np.random.default_rng([SEED, index])):
                writer.write(frame)
        votes = f"{chosen.votes} of {chosen.voters}"
        print(f"| `{path.name}` | {chosen.name} | {votes} | {chosen.shown:.2f} | {chosen.neutral:.2f} |")


def choose(path: Path, bundle: Bundle) -> dict[str, Chosen]:
    """A face for each expression.

    Raises:
        EdgeError: the table cannot be read, or no face of it fits.
    """
    from host_training.data import tables
    from host_training.data.keypoints import TRAIN, take
    from host_training.data.labels import LABELS
    from host_training.data.votes import majority

    table, _ = tables.load(path)
    table = take(table, table.found & (table.split == TRAIN))
    table = take(table, majority(table.votes)[1])
    label = majority(table.votes)[0]
    votes = table.votes[np.arange(len(table)), label] / table.votes.sum(axis=1)
    shapes, pose = canonical(table.landmarks, bundle.features.rigid, bundle.features.reference)
    eyes = np.linalg.norm(table.landmarks[:, LEFT_IRIS] - table.landmarks[:, RIGHT_IRIS], axis=1)
    clear = (pose.frontality >= LEAST_FRONTALITY) & (eyes >= LEAST_EYES_PX) & (table.presence >= LEAST_PRESENCE)
    means = [shapes[label == index].mean(axis=0, dtype=np.float64) for index in range(len(LABELS))]
    chosen = {}
    for index, name in enumerate(LABELS):
        change = means[LABELS.index("neutral")] - means[index]
        rows = np.flatnonzero(clear & (label == index))
        best, shown, neutral = _best(name, votes[rows], table.landmarks[rows], shapes[rows] + change, bundle)
        row = rows[best]
        chosen[name] = Chosen(
            name=str(table.ids[row]),
            votes=int(table.votes[row, index]),
            voters=int(table.votes[row].sum()),
            shown=shown,
            neutral=neutral,
            shape=shapes[row].astype(np.float64),
            change=change,
            rotation=pose.rotation[row],
            presence=float(table.presence[row]),
            mesh=str(table.mesh[row]),
        )
    return chosen


def _best(
    label: str,
    votes: NDArray[np.float64],
    landmarks: NDArray[np.float32],
    relaxed: NDArray[np.float64],
    bundle: Bundle,
) -> tuple[int, float, float]:
    """The face with the largest share of votes of those that are read surely, the surest of equals.

    Args:
        label: its expression.
        votes: float64[N], the share that is for it.
        landmarks: float32[N, 478, 3] px.
        relaxed: float64[N, 478, 3], the neutral that is made of each.
        bundle: what reads them.

    Returns:
        Its index, and the probabilities of the expression and of neutral.
    """
    for share in np.unique(votes)[::-1]:  # the network is slow on thousands of faces, and most are not needed
        equal = np.flatnonzero(votes == share)
        shown = bundle.classifier.probabilities(landmarks[equal])[:, bundle.labels.index(label)]
        neutral = bundle.classifier.probabilities(relaxed[equal].astype(np.float32))[:, bundle.labels.index("neutral")]
        least = np.minimum(shown, neutral)
        best = int(np.argmax(least))
        if least[best] >= SURE:
            return int(equal[best]), float(shown[best]), float(neutral[best])
    raise DataError(f"no face that shows {label} is read so with {SURE} or more, and its neutral as neutral")


def play(chosen: Chosen, random: np.random.Generator) -> list[Frame]:
    """The frames of a recording; the phases of the movement and the jitter are drawn from `random`."""
    phases = random.uniform(0, 2 * math.pi, len(PERIODS_S))
    scale, middle = _placed(chosen)
    frames = []
    for i in range(round(END_S * FPS)):
        at = i / FPS
        faces: tuple[Face, ...] = ()
        if at < GONE_S:
            shape = chosen.shape + (1 - _expressed(at)) * chosen.change
            shape += random.normal(0, JITTER * EYES_PX / scale, (LANDMARKS, 3))
            waves = np.sin(2 * math.pi * at / PERIODS_S + phases)
            landmarks = scale * shape @ (_turn(SWAY * waves[:3]) @ chosen.rotation).T
            landmarks[:, :2] += middle + DRIFT_PX * waves[3:]
            faces = (Face(track_id=1, landmarks=landmarks.astype(np.float32), presence=chosen.presence),)
        frames.append(Frame(rgb=np.empty((0, 0, 3), np.uint8), captured_at=at, faces=faces))
    return frames


def _placed(chosen: Chosen) -> tuple[float, NDArray[np.float64]]:
    """The px in a canonical unit, and where its origin has to be for the face to stand in the middle of the frame."""
    scale = EYES_PX / math.dist(chosen.shape[LEFT_IRIS], chosen.shape[RIGHT_IRIS])
    left, top, width, height = bounding_box((scale * chosen.shape @ chosen.rotation.T).astype(np.float32))
    return scale, np.array([WIDTH / 2 - (left + width / 2), HEIGHT / 2 - (top + height / 2)])


def _expressed(at: float) -> float:
    """How much of the expression there is at a time, s: 0 to 1, with a soft start and end (smoothstep)."""
    share = min(max((at - BEGIN_S) / CHANGE_S, 0.0), 1.0) - min(max((at - BACK_S) / CHANGE_S, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def _turn(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[3, 3]: the rotation by pitch, then yaw, then roll, each in radians."""
    (a, b, c), (sa, sb, sc) = np.cos(angles), np.sin(angles)
    pitch = np.array([[1, 0, 0], [0, a, -sa], [0, sa, a]])
    yaw = np.array([[b, 0, sb], [0, 1, 0], [-sb, 0, b]])
    roll = np.array([[c, -sc, 0], [sc, c, 0], [0, 0, 1]])
    return np.asarray(roll @ yaw @ pitch)


def jitter(path: Path, bundle: Bundle) -> float:
    """How much the landmarks of a recorded face tremble, as a share of the distance between its irises.

    The shape alone, in the canonical pose. Its second difference in time is next to nothing where a face moves, and
    has six times the variance of noise that is new in every frame. The median keeps out the moments of change.
    """
    faces = [frame.faces[0] for frame in RecordingReader(path) if frame.faces]
    tracks = np.array([face.track_id for face in faces])
    landmarks = np.array([face.landmarks for face in faces])
    shapes, _ = canonical(landmarks, bundle.features.rigid, bundle.features.reference)
    shapes /= np.linalg.norm(shapes[:, LEFT_IRIS] - shapes[:, RIGHT_IRIS], axis=1).mean()
    second = (shapes[2:] - 2 * shapes[1:-1] + shapes[:-2])[tracks[2:] == tracks[:-2]]
    # Of a normal distribution: the median of what is above 0 is at 0.6745 standard deviations.
    return float(np.median(np.abs(second), axis=0).mean() / 0.6745 / math.sqrt(6))


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        sys.exit(f"make_recordings: {error}")
