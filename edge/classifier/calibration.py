"""Measures a neutral baseline: takes some seconds of frames, and returns those that may be averaged.

Pure: it reads no clock and does no I/O. What is made of the average is in `edge.classifier.baseline`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.errors import EdgeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge.classifier.features import Features
    from edge.values import Face, Reading

CALIBRATION_S = 5.0
"""Duration of a calibration: long enough to tell blinks from the face, and for a slow board to get enough frames.
Nobody keeps a straight face for much longer."""

LEAST_FRAMES = 10
"""Minimum number of frames: with fewer, the face cannot be told from jitter or movement."""

LEAST_SHARE = 0.7
"""Minimum share of usable frames. Blinks and a glance aside may take the rest. One second of a smile is left out of the
average, like a blink; two are too many."""

FRONTALITY = 0.92
"""Minimum cosine between face and line of sight, 23 degrees. A face turned further differs from itself about as much as
from other faces, because the mesh has to guess what it cannot see."""

RESTLESS = 0.25
"""Maximum distance from the median of a face at rest: root mean square over its vector, in standard deviations of the
training rows. Jitter and breathing stay well below; closed eyes, half a smile or a spoken vowel exceed it."""

_ADVICE = {
    "missing": "stay in view",
    "unclear": "come nearer, into more light",
    "turned": "face the camera",
    "restless": "keep a relaxed face, without speaking",
}
"""Advice, by what made a frame unusable."""


class Calibration:
    """Observes the nearest face for `CALIBRATION_S` seconds from the first step."""

    def __init__(self, features: Features, min_quality: float) -> None:
        """Start without frames.

        Args:
            features: of the bundle in use.
            min_quality: minimum quality of a reading that counts, see `ExpressionSettings`.
        """
        self._features = features
        self._min_quality = min_quality
        self._until: float | None = None
        self._track: int | None = None
        self._frames = 0
        self._spoilt = dict.fromkeys(_ADVICE, 0)
        self._landmarks: list[NDArray[np.float32]] = []
        self._vectors: list[NDArray[np.float32]] = []

    def step(self, seen: Sequence[tuple[Face, Reading]] | None, now: float) -> NDArray[np.float32] | None:
        """Add one frame.

        Args:
            seen: each face of the frame with its reading; None: no frame came.
            now: time of the frame, or now; s, monotonic.

        Returns:
            At the end, the landmarks of the usable frames, float32[N, 478, 3] px; None: not finished.

        Raises:
            EdgeError: the calibration failed; the message says what to do.
        """
        if self._until is None:
            self._until = now + CALIBRATION_S
        if now >= self._until:
            return self._result()
        if seen is not None:
            self._frames += 1
            self._look(seen)
        return None

    def _look(self, seen: Sequence[tuple[Face, Reading]]) -> None:
        if not seen:
            self._spoilt["missing"] += 1
            return
        face, reading = max(seen, key=lambda each: each[1].box[3])
        if self._track is None:
            self._track = face.track_id
        elif self._track != face.track_id:
            raise EdgeError("the face was lost, or another came nearer: stay in view, alone, and calibrate again")
        (vector,), pose = self._features(face.landmarks[None])
        if not reading.quality >= self._min_quality:
            self._spoilt["unclear"] += 1
        elif not pose.frontality[0] >= FRONTALITY:
            self._spoilt["turned"] += 1
        else:
            self._landmarks.append(face.landmarks)
            self._vectors.append(vector)

    def _result(self) -> NDArray[np.float32]:
        if not self._frames:
            raise EdgeError(f"the camera gave no frame in {CALIBRATION_S:g} s: check it, and calibrate again")
        if self._track is None:
            raise EdgeError("no face was seen: look at the camera, and calibrate again")
        if self._frames < LEAST_FRAMES:
            raise EdgeError(
                f"the camera gave {self._frames} frames in {CALIBRATION_S:g} s, and {LEAST_FRAMES} are needed: "
                "raise camera.fps, or let the processor cool down, and calibrate again"
            )
        resting = self._resting()
        self._spoilt["restless"] = len(resting) - int(resting.sum())
        if resting.sum() < LEAST_SHARE * self._frames:
            worst = max(_ADVICE, key=lambda what: self._spoilt[what])
            raise EdgeError(
                f"only {resting.sum()} of {self._frames} frames can be used, {self._spoilt[worst]} are spoilt: "
                f"{_ADVICE[worst]}, and calibrate again"
            )
        return np.array(self._landmarks)[resting]

    def _resting(self) -> NDArray[np.bool_]:
        """bool[N]: whether the face was at rest, for each usable frame."""
        if not self._vectors:
            return np.zeros(0, np.bool_)
        vectors = np.array(self._vectors)
        apart = np.sqrt(np.square(vectors - np.median(vectors, axis=0)).mean(axis=1))
        return np.asarray(apart <= RESTLESS)
