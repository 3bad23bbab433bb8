"""Reads a face again only when it was measured again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edge.classifier.network import Classifier
    from edge.values import Face, Reading


class Reader:
    """Keeps the readings of the last frame. A face that still has the very same landmarks keeps its reading."""

    def __init__(self) -> None:
        self._classifier: Classifier | None = None
        self._known: dict[int, tuple[NDArray[np.float32], Reading]] = {}

    def read(self, classifier: Classifier, faces: Sequence[Face], rgb: NDArray[np.uint8]) -> list[Reading]:
        """The readings of the faces of the next frame, `rgb` uint8[H, W, 3]; see `Classifier.read`."""
        if classifier is not self._classifier:
            self._classifier, self._known = classifier, {}
        known = {
            face.track_id: before
            for face in faces
            if (before := self._known.get(face.track_id)) is not None and before[0] is face.landmarks
        }
        measured = [face for face in faces if face.track_id not in known]
        for face, reading in zip(measured, classifier.read(measured, rgb), strict=True):
            known[face.track_id] = face.landmarks, reading
        self._known = known
        return [known[face.track_id][1] for face in faces]
