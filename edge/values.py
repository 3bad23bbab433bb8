"""The values that pass from one module to the next. All are immutable; times are monotonic seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LANDMARKS = 478
"""Points of the face mesh: 468 of the surface and 5 for each iris."""

UNCERTAIN = "uncertain"
"""The expression shown when no label is likely enough, or the face is too small or turned away."""


def bounding_box(landmarks: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """x, y, width and height in px of the box round landmarks, float32[N, 3] px."""
    # Column by column: NumPy is slow at reducing along the long axis of a narrow array.
    x, y = landmarks[:, 0], landmarks[:, 1]
    left, top = float(x.min(0)), float(y.min(0))
    return left, top, float(x.max(0)) - left, float(y.max(0)) - top


@dataclass(frozen=True, slots=True)
class Face:
    """One face of one frame."""

    track_id: int
    """Stays the same while the face stays in view; never used twice in one run."""

    landmarks: NDArray[np.float32]
    """float32[478, 3]: x to the right, y down, z away from the camera, all in pixels of the frame."""

    presence: float
    """0..1, the mesh's own estimate that this is a face."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a camera."""

    rgb: NDArray[np.uint8]
    """uint8[H, W, 3], channels red, green, blue. A frame of a recording has H = W = 0."""

    captured_at: float
    """s, monotonic: when the picture was taken."""

    faces: tuple[Face, ...] | None = None
    """What the mesh found when the recording was made; None: the mesh has yet to look."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the classifier says about one face of one frame."""

    track_id: int

    probabilities: NDArray[np.float32]
    """float32[C], calibrated, sums to 1, in the order of the bundle's labels."""

    quality: float
    """0..1: how much the picture allows to be said; small, turned-away and (where it is looked at) blurred faces
    score low."""

    box: tuple[float, float, float, float]
    """x, y, width, height in pixels of the frame."""


@dataclass(frozen=True, slots=True)
class Change:
    """A face appeared, changed its expression, or left."""

    track_id: int

    expression: str | None
    """A label or `uncertain`; None when the face has left."""

    previous: str | None
    """What was shown before; None when the face is new."""

    confidence: float
    """0..1: the smoothed probability of the expression (of the previous one when the face has left)."""

    since: float
    """s, monotonic: when this change took effect."""

    duration_s: float
    """How long `previous` was shown; 0 for a new face."""

    @property
    def kind(self) -> Literal["new", "update", "end"]:
        """The event type that subscribers see."""
        if self.previous is None:
            return "new"
        return "end" if self.expression is None else "update"


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown for one face right now."""

    track_id: int
    expression: str
    confidence: float
    since: float
    """s, monotonic."""
    probabilities: dict[str, float] = field(default_factory=dict)
    """Smoothed, by label."""
    size: float = 0.0
    """Height of the face in pixels; the largest face counts as the nearest."""
