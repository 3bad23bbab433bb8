"""Makes model/recordings, a recording of each expression, from the keypoint table.

    make recordings

Nobody was filmed. For each expression, the script animates one face of the training rows: of the faces that the
landmark model reads with high confidence, the one with the largest share of votes. The face is neutral for a second,
shows the expression for two and a half, is neutral again, and leaves. Its neutral shape is its own shape minus the
difference between the average face of the expression and the average neutral face, in the canonical pose. The head
sways slightly, and the landmarks jitter as in a recording of the demo:

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
"""Time at which the keypoint table was measured, for the headers: the same table gives the same bytes."""
WIDTH, HEIGHT = 640, 480
FPS = 10
"""Frame rate that a Raspberry Pi reaches. Twice as many frames would make a recording twice as large."""
ONSET_S, TRANSITION_S, OFFSET_S, LEAVES_S, END_S = 1.0, 0.4, 3.5, 5.0, 6.0
"""Onset of the expression, time of a transition, offset, end of the face, and end of the recording."""
EYES_PX = 48.0
"""Inter-ocular distance: a person 0.7 m from a camera that is 640 px and 62 degrees wide."""
JITTER = 0.001
"""Standard deviation of a coordinate as a share of the inter-ocular distance, from `--jitter`."""
SWAY = np.radians([2.0, 4.0, 1.5])
"""Amplitudes of pitch, yaw and roll."""
DRIFT_PX = np.array([6.0, 4.0])
"""Amplitudes of the horizontal and the vertical movement, px."""
PERIODS_S = np.array([4.1, 5.3, 6.1, 3.7, 2.3])
"""Periods of these five movements; together they don't repeat within a recording."""
SEED = 1

MIN_FRONTALITY = 0.95
MIN_EYES_PX = 15.0
"""Minimum inter-ocular distance, in pictures that are 48 px wide."""
MIN_PRESENCE = 0.9
MIN_PROBABILITY = 0.7
"""Minimum probability of the expression for the face, and of neutral for its neutral shape."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A face to animate, with its scores."""

    name: str
    """Id of its row, such as `fer2013/123`."""
    votes: int
    voters: int
    expressed: float
    """Probability of its expression."""
    neutral: float
    """Probability of neutral for its neutral shape."""
    shape: NDArray[np.float64]
    """float64[478, 3]: landmarks in the canonical pose."""
    to_neutral: NDArray[np.float64]
    """float64[478, 3]: difference from its shape to the neutral one."""
    rotation: NDArray[np.float64]
    """float64[3, 3]: rotation from the canonical pose to the picture."""
    presence: float
    mesh: str
    """sha256 of the face mesh model that measured it."""


def main() -> None:
    """Make the recordings, or measure the jitter of one."""
    parser = argparse.ArgumentParser(description="Make a recording of each expression from the keypoint table.")
    parser.add_argument("--table", type=Path, default=Path("model/keypoints/ferplus.parquet"))
    parser.add_argument("--bundle", type=Path, default=Path("model/landmarks"), help="bundle without crops")
    parser.add_argument("--out", type=Path, default=Path("model/recordings"))
    parser.add_argument("--jitter", type=Path, metavar="RECORDING", help="only measure the jitter of its landmarks")
    args = parser.parse_args()
    bundle = bundles.load(args.bundle)
    if args.jitter:
        print(f"{jitter(args.jitter, bundle):.5f}")
        return
    args.out.mkdir(exist_ok=True)
    print("| recording | row | votes | probability | of neutral, neutral shape |\n|---|---|---|---|---|")
    for index, (label, chosen) in enumerate(choose(args.table, bundle).items()):
        path = args.out / f"{label}.landmarks"
        path.unlink(missing_ok=True)
        with RecordingWriter(path, width=WIDTH, height=HEIGHT, mesh_sha256=chosen.mesh, created=MEASURED) as writer:
            for frame in play(chosen, np.random.default_rng([SEED, index])):
                writer.write(frame)
        votes = f"{chosen.votes} of {chosen.voters}"
        print(f"| `{path.name}` | {chosen.name} | {votes} | {chosen.expressed:.2f} | {chosen.neutral:.2f} |")


def choose(path: Path, bundle: Bundle) -> dict[str, Choice]:
    """Choose a face for each expression.

    Raises:
        EdgeError: the table can't be read, or has no suitable face.
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
    clear = (pose.frontality >= MIN_FRONTALITY) & (eyes >= MIN_EYES_PX) & (table.presence >= MIN_PRESENCE)
    means = [shapes[label == index].mean(axis=0, dtype=np.float64) for index in range(len(LABELS))]
    chosen = {}
    for index, name in enumerate(LABELS):
        to_neutral = means[LABELS.index("neutral")] - means[index]
        rows = np.flatnonzero(clear & (label == index))
        best, expressed, neutral = _best(name, votes[rows], table.landmarks[rows], shapes[rows] + to_neutral, bundle)
        row = rows[best]
        chosen[name] = Choice(
            name=str(table.ids[row]),
            votes=int(table.votes[row, index]),
            voters=int(table.votes[row].sum()),
            expressed=expressed,
            neutral=neutral,
            shape=shapes[row].astype(np.float64),
            to_neutral=to_neutral,
            rotation=pose.rotation[row],
            presence=float(table.presence[row]),
            mesh=str(table.mesh[row]),
        )
    return chosen


def _best(
    label: str,
    votes: NDArray[np.float64],
    landmarks: NDArray[np.float32],
    neutral_shapes: NDArray[np.float64],
    bundle: Bundle,
) -> tuple[int, float, float]:
    """Find the face with the largest share of votes that reaches `MIN_PROBABILITY`; on a tie, the most probable one.

    Args:
        label: the expression.
        votes: float64[N], share of the votes for it.
        landmarks: float32[N, 478, 3] px.
        neutral_shapes: float64[N, 478, 3], canonical pose.
        bundle: the model bundle.

    Returns:
        The index of the face, and the probabilities of the expression and of neutral.
    """
    for share in np.unique(votes)[::-1]:  # stepwise, because classifying thousands of faces is slow
        equal = np.flatnonzero(votes == share)
        expressed = bundle.classifier.probabilities(landmarks[equal])[:, bundle.labels.index(label)]
        relaxed = bundle.classifier.probabilities(neutral_shapes[equal].astype(np.float32))
        neutral = relaxed[:, bundle.labels.index("neutral")]
        lower = np.minimum(expressed, neutral)
        best = int(np.argmax(lower))
        if lower[best] >= MIN_PROBABILITY:
            return int(equal[best]), float(expressed[best]), float(neutral[best])
    raise DataError(f"no face reaches {MIN_PROBABILITY} for {label}, and for neutral with its neutral shape")


def play(chosen: Choice, random: np.random.Generator) -> list[Frame]:
    """The frames of a recording. `random` determines the phases of the movement and the jitter."""
    phases = random.uniform(0, 2 * math.pi, len(PERIODS_S))
    scale, centre = _placed(chosen)
    frames = []
    for i in range(round(END_S * FPS)):
        at = i / FPS
        faces: tuple[Face, ...] = ()
        if at < LEAVES_S:
            shape = chosen.shape + (1 - _expressed(at)) * chosen.to_neutral
            shape += random.normal(0, JITTER * EYES_PX / scale, (LANDMARKS, 3))
            waves = np.sin(2 * math.pi * at / PERIODS_S + phases)
            landmarks = scale * shape @ (_turn(SWAY * waves[:3]) @ chosen.rotation).T
            landmarks[:, :2] += centre + DRIFT_PX * waves[3:]
            faces = (Face(track_id=1, landmarks=landmarks.astype(np.float32), presence=chosen.presence),)
        frames.append(Frame(rgb=np.empty((0, 0, 3), np.uint8), captured_at=at, faces=faces))
    return frames


def _placed(chosen: Choice) -> tuple[float, NDArray[np.float64]]:
    """Scale, px per canonical unit, and origin, px, that centre the face in the frame."""
    scale = EYES_PX / math.dist(chosen.shape[LEFT_IRIS], chosen.shape[RIGHT_IRIS])
    left, top, width, height = bounding_box((scale * chosen.shape @ chosen.rotation.T).astype(np.float32))
    return scale, np.array([WIDTH / 2 - (left + width / 2), HEIGHT / 2 - (top + height / 2)])


def _expressed(at: float) -> float:
    """Intensity of the expression, 0..1, at a time, s, with smoothstep transitions."""
    share = min(max((at - ONSET_S) / TRANSITION_S, 0.0), 1.0) - min(max((at - OFFSET_S) / TRANSITION_S, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def _turn(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[3, 3]: the rotation by pitch, then yaw, then roll, each in radians."""
    (a, b, c), (sa, sb, sc) = np.cos(angles), np.sin(angles)
    pitch = np.array([[1, 0, 0], [0, a, -sa], [0, sa, a]])
    yaw = np.array([[b, 0, sb], [0, 1, 0], [-sb, 0, b]])
    roll = np.array([[c, -sc, 0], [sc, c, 0], [0, 0, 1]])
    return np.asarray(roll @ yaw @ pitch)


def jitter(path: Path, bundle: Bundle) -> float:
    """Standard deviation of the jitter in a recording, as a share of the inter-ocular distance.

    It uses the shape in the canonical pose. The second difference in time almost removes the movement of a face, and
    has six times the variance of noise that is independent in every frame. The median ignores changes of expression.
    """
    faces = [frame.faces[0] for frame in RecordingReader(path) if frame.faces]
    tracks = np.array([face.track_id for face in faces])
    landmarks = np.array([face.landmarks for face in faces])
    shapes, _ = canonical(landmarks, bundle.features.rigid, bundle.features.reference)
    shapes /= np.linalg.norm(shapes[:, LEFT_IRIS] - shapes[:, RIGHT_IRIS], axis=1).mean()
    second = (shapes[2:] - 2 * shapes[1:-1] + shapes[:-2])[tracks[2:] == tracks[:-2]]
    # The median of the absolute value of a normal distribution is 0.6745 standard deviations.
    return float(np.median(np.abs(second), axis=0).mean() / 0.6745 / math.sqrt(6))


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        sys.exit(f"make_recordings: {error}")
