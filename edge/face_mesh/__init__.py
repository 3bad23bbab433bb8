"""Frame -> faces. Two backends behind one Protocol: MediaPipe's models run directly, and the mediapipe package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from edge.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.face_mesh.models import MeshModels
    from edge.settings import MeshSettings
    from edge.values import Face, Frame

BACKENDS = ("litert", "mediapipe")

STILL_VERSION = 2
"""Version of the measurement by `still`, recorded in keypoint tables."""


class FaceMesh(Protocol):
    """Detects faces and tracks them from frame to frame."""

    def process(self, frame: Frame) -> tuple[Face, ...]:
        """The faces in the next frame of a stream; tracks continue from the previous frames.

        Args:
            frame: `captured_at` must not go backwards.
        """

    def still(self, rgb: NDArray[np.uint8]) -> tuple[Face, ...]:
        """The faces in a single picture, uint8[H, W, 3], largest first. Tracks are unaffected."""

    def close(self) -> None:
        """Free the resources of the backend."""


def faces_in(frame: Frame, mesh: FaceMesh) -> tuple[Face, ...]:
    """The faces in the next frame of a stream: those of the recording, or those that the mesh finds."""
    return mesh.process(frame) if frame.faces is None else frame.faces


def open_face_mesh(settings: MeshSettings, models: MeshModels) -> FaceMesh:
    """Open the backend that the settings name.

    Raises:
        ConfigError: no such backend, or a model cannot be loaded.
        UnavailableError: the backend's library is not installed.
    """
    # Only the chosen backend is imported: mediapipe alone costs a hundred megabytes.
    if settings.backend == "litert":
        from edge.face_mesh.litert import LiteRTFaceMesh

        return LiteRTFaceMesh(settings, models)
    if settings.backend == "mediapipe":
        from edge.face_mesh.mediapipe import MediaPipeFaceMesh

        return MediaPipeFaceMesh(settings, models)
    raise ConfigError(f"mesh.backend = {settings.backend!r}: choose one of {', '.join(BACKENDS)}")
