"""The mediapipe package behind the same interface: the reference for the direct backend.

mediapipe 1.0 and later reports usage to its maker over the network. The service denies it everything but the
broker; elsewhere that is for the user to decide, and the daemon says so once.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from edge import hints
from edge.errors import ConfigError, UnavailableError
from edge.face_mesh import motion
from edge.face_mesh.tracking import Region, Sighting, Tracker
from edge.values import Face

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge.face_mesh.models import MeshModels
    from edge.settings import MeshSettings
    from edge.values import Frame

log = logging.getLogger(__name__)


class MediaPipeFaceMesh:
    """mediapipe's FaceLandmarker: VIDEO mode for streams, IMAGE mode for single pictures."""

    def __init__(self, settings: MeshSettings, models: MeshModels) -> None:
        """Start the graph.

        Raises:
            UnavailableError: mediapipe, or a system library that it needs, is missing.
            ConfigError: `face_landmarker.task` is missing.
        """
        try:
            import mediapipe as mp
            from mediapipe.tasks.python.core.base_options import BaseOptions
            from mediapipe.tasks.python.vision import face_landmarker
            from mediapipe.tasks.python.vision.core.vision_task_running_mode import VisionTaskRunningMode
        except (ImportError, OSError) as error:
            # Not for the service: it would bring a NumPy of its own, for which the distribution's picamera2 isn't made.
            hint = (
                ""
                if hints.on_device()
                else f"{hints.install('mediapipe')} and `sudo apt install libegl1 libgles2`, or "
            )
            raise UnavailableError(
                f"the mediapipe backend cannot start ({error}): {hint}set mesh.backend = 'litert'"
            ) from error
        if not models.task.is_file():
            raise ConfigError(f"{models.task} is missing: run `emotion-edge model fetch`")
        if int(mp.__version__.split(".")[0]) >= 1:
            log.warning("mediapipe %s reports usage to its maker wherever it can reach the network", mp.__version__)
        self._mp = mp
        self._modes = VisionTaskRunningMode
        self._landmarker_class: Any = face_landmarker.FaceLandmarker

        def options(mode: Any) -> Any:
            return face_landmarker.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(models.task)),
                running_mode=mode,
                num_faces=settings.max_faces,
                min_face_detection_confidence=settings.min_detection,
                min_face_presence_confidence=settings.min_presence,
                min_tracking_confidence=0.5,
            )

        self._options = options
        self._video = self._create(self._modes.VIDEO)
        self._image: Any = None
        self._tracker = Tracker()
        self._last_ms = -1

    def _create(self, mode: Any) -> Any:
        try:
            return self._landmarker_class.create_from_options(self._options(mode))
        except (RuntimeError, ValueError, OSError) as error:
            raise UnavailableError(f"mediapipe cannot start its face mesh: {str(error).splitlines()[0]}") from error

    def process(self, frame: Frame) -> tuple[Face, ...]:
        """See `FaceMesh.process`."""
        if frame.still:
            return self._numbered([face.landmarks for face in self.still(frame.rgb)], frame)
        self._tracker.begin(motion.small(frame.rgb))
        # It needs integer milliseconds that increase with every frame.
        self._last_ms = max(self._last_ms + 1, round(frame.captured_at * 1000))
        result = self._video.detect_for_video(self._picture(frame.rgb), self._last_ms)
        return self._numbered(_pixels(result, frame.rgb), frame)

    def _numbered(self, found: list[NDArray[np.float32]], frame: Frame) -> tuple[Face, ...]:
        sightings = [Sighting.of(frame.rgb, landmarks) for landmarks in found]
        numbers = self._tracker.step(sightings, frame.captured_at)
        # It drops faces below its threshold and reports no presence for the others.
        return tuple(Face(number, landmarks, 1.0) for number, landmarks in zip(numbers, found, strict=True))

    def still(self, rgb: NDArray[np.uint8]) -> tuple[Face, ...]:
        """See `FaceMesh.still`."""
        if self._image is None:
            self._image = self._create(self._modes.IMAGE)
        found = _pixels(self._image.detect(self._picture(rgb)), rgb)
        found.sort(key=lambda landmarks: -Region.of_landmarks(landmarks).size)
        return tuple(Face(n + 1, landmarks, 1.0) for n, landmarks in enumerate(found))

    def _picture(self, rgb: NDArray[np.uint8]) -> Any:
        return self._mp.Image(image_format=self._mp.ImageFormat.SRGB, data=np.ascontiguousarray(rgb))

    def close(self) -> None:
        """Stop the graphs, which must not outlive the interpreter."""
        for graph in (self._video, self._image):
            if graph is not None:
                graph.close()
        self._image = None


def _pixels(result: Any, rgb: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Landmarks in px, float32[478, 3] per face; mediapipe scales x and z by width, and y by height."""
    height, width = rgb.shape[:2]
    scale = np.array([width, height, width], np.float32)
    return [
        np.array([(point.x, point.y, point.z) for point in face], np.float32) * scale for face in result.face_landmarks
    ]
