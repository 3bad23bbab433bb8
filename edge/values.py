"""The values that pass from one module to the next. All are immutable. Times are monotonic seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LANDMARKS = 478
"""Number of points of the face mesh: 468 on the surface and 5 for each iris."""

UNCERTAIN = "uncertain"
"""Expression shown when no label is likely enough, or when the face is too small or turned away."""


def bounding_box(landmarks: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """x, y, width and height, px, of the bounding box of landmarks, float32[N, 3] px."""
    # Column by column, because NumPy reduces narrow arrays slowly along their long axis.
    x, y = landmarks[:, 0], landmarks[:, 1]
    left, top = float(x.min(0)), float(y.min(0))
    return left, top, float(x.max(0)) - left, float(y.max(0)) - top


@dataclass(frozen=True, slots=True)
class Face:
    """One face of one frame."""

    track_id: int
    """Identifies the face while it stays in view. Never reused in one run."""

    landmarks: NDArray[np.float32]
    """float32[478, 3]: x to the right, y down, z away from the camera, all in pixels of the frame."""

    presence: float
    """0..1: the face mesh's probability that this is a face."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a camera."""

    rgb: NDArray[np.uint8]
    """uint8[H, W, 3], channels red, green, blue. A frame of a recording has H = W = 0."""

    captured_at: float
    """s, monotonic: time of capture."""

    faces: tuple[Face, ...] | None = None
    """Faces stored in a recording; None for other sources, where the face mesh finds them."""

    still: bool = False
    """Whether it is a picture on its own, which no stream of frames confirms."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The classifier's output for one face of one frame."""

    track_id: int

    probabilities: NDArray[np.float32]
    """float32[C], sums to 1, after temperature scaling, in the order of the bundle's labels."""

    quality: float
    """0..1: how readable the face is. Small and turned-away faces score low, and so do blurred ones if the bundle
    reads crops."""

    box: tuple[float, float, float, float]
    """x, y, width and height, px of the frame."""


@dataclass(frozen=True, slots=True)
class Change:
    """A face that appeared, changed its expression or left."""

    track_id: int

    expression: str | None
    """A label or `uncertain`; None when the face has left."""

    previous: str | None
    """The expression shown before; None when the face is new."""

    confidence: float
    """0..1: the smoothed probability of the expression (of the previous one when the face has left)."""

    since: float
    """s, monotonic: time at which the change took effect."""

    duration_s: float
    """Time for which `previous` was shown, s; 0 for a new face."""

    @property
    def kind(self) -> Literal["new", "update", "end"]:
        """The event type that subscribers see."""
        if self.previous is None:
            return "new"
        return "end" if self.expression is None else "update"


@dataclass(frozen=True, slots=True)
class Shown:
    """The expression shown for one face now."""

    track_id: int
    expression: str
    confidence: float
    since: float
    """s, monotonic: time of the last change."""
    probabilities: dict[str, float] = field(default_factory=dict)
    """Smoothed probabilities by label."""
    size: float = 0.0
    """Height of the face, px. The largest face counts as the nearest."""
