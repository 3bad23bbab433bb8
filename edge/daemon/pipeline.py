"""Camera, face mesh and classifier, as the settings choose them."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from typing import TYPE_CHECKING

from edge.bundle.locate import Installation
from edge.camera import name_of, open_reopening_camera
from edge.camera.closed import ClosedCamera
from edge.camera.reopening import ReopeningCamera
from edge.classifier.reader import Reader
from edge.face_mesh import faces_in, open_face_mesh
from edge.face_mesh.distance import Places

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge.bundle.bundle import Bundle
    from edge.camera import Camera
    from edge.classifier.baseline import Baseline
    from edge.face_mesh.models import MeshModels
    from edge.settings import Settings
    from edge.values import Face, Frame, Reading

log = logging.getLogger(__name__)


class Pipeline:
    """Opens the three, replaces them when the settings change, and closes them."""

    def __init__(
        self, settings: Settings, *, allow_demo: bool = True, paused: bool = False, baseline: Baseline | None = None
    ) -> None:
        """Load the models, then open the camera.

        Args:
            settings: of camera, mesh and model.
            allow_demo: whether the camera `auto` may fall back to the demo. If not, as in the service, a network camera
                that does not answer yet is waited for.
            paused: whether the camera stays closed until `resume`.
            baseline: neutral baseline of the person in view; None: unknown.

        Raises:
            ConfigError: bundle, mesh models or camera are not usable as configured.
            EdgeError: see `open_camera` and `open_face_mesh`.
        """
        self._settings = settings
        self._allow_demo = allow_demo
        self._dropped_before = 0
        self._first_track = 0
        self._last_track = 0
        self._reader = Reader()
        self._places = Places()
        # Models first: if one fails, the lamp of the camera need not come on.
        self.baseline = baseline
        """Kept even if the bundle in use doesn't support one: the next may."""
        self.installation = Installation.of(settings)
        self.bundle = self._with_baseline(self.installation.load(recording=settings.camera.is_recording))
        self._mesh = open_face_mesh(settings.mesh, self.installation.mesh_models())
        try:
            self.camera = self._open_camera(settings, paused=paused, patient=not allow_demo)
        except BaseException:
            self._mesh.close()
            raise

    @property
    def paused(self) -> bool:
        """Whether the camera is closed on purpose."""
        return isinstance(self.camera, ClosedCamera)

    @property
    def waiting(self) -> bool:
        """Whether the camera is a network camera that is lost: starting the daemon again would not bring it back."""
        lost = isinstance(self.camera, ReopeningCamera) and self.camera.waiting
        return lost and self._settings.camera.is_network

    @property
    def baseline_measured(self) -> str | None:
        """When the neutral baseline in use was measured; None: none is in use."""
        return self.baseline.measured if self.baseline is not None and self.bundle.supports_baseline else None

    @property
    def demo(self) -> bool:
        """Whether the built-in demo takes the place of a camera."""
        return self.camera.name == "demo"

    @property
    def demo_reason(self) -> str:
        """Why it does, although nobody asked for it; empty: somebody did, or it doesn't."""
        return getattr(self.camera, "reason", "")

    @property
    def aim(self) -> tuple[int, str]:
        """Rotation and flip in use, see `CameraSettings`."""
        return self._settings.camera.rotation, self._settings.camera.flip

    @property
    def dropped(self) -> int:
        """Frames that were replaced before they were processed, over all cameras since the start."""
        return self._dropped_before + self.camera.dropped

    def find(self, frame: Frame) -> tuple[Face, ...]:
        """The faces in the next frame, each with its place. No track id is ever used twice."""
        found = faces_in(frame, self._mesh)
        faces = [dataclasses.replace(face, track_id=self._first_track + face.track_id) for face in found]
        self._last_track = max((self._last_track, *(face.track_id for face in faces)))
        field_of_view = self._settings.camera.field_of_view or frame.field_of_view
        places = self._places(faces, frame.size, field_of_view, frame.captured_at)
        return tuple(dataclasses.replace(face, place=place) for face, place in zip(faces, places, strict=True))

    def read(self, faces: Sequence[Face], frame: Frame) -> list[Reading]:
        """The classifier's readings of the faces in a frame."""
        return self._reader.read(self.bundle.classifier, faces, frame.rgb)

    def set_baseline(self, baseline: Baseline | None) -> None:
        """Use another neutral baseline from the next frame on; None: none."""
        self.baseline, self.bundle = baseline, self.bundle.with_baseline(baseline)

    def reload(self, settings: Settings) -> bool:
        """Load the bundle again, and reopen camera and mesh if their settings differ.

        Returns:
            Whether faces are tracked anew: no track continues.

        Raises:
            EdgeError: something is not usable; nothing has changed then.
        """
        installation = Installation.of(settings)
        bundle = installation.load(recording=settings.camera.is_recording)
        models = installation.mesh_models()
        anew = (settings.camera, settings.mesh) != (self._settings.camera, self._settings.mesh)
        if anew:
            # Another camera shows another scene, where the old mesh would look for the faces of this one.
            with self._tracking_anew(settings, models):
                self._replace_camera(settings)
        self.bundle, self._settings, self.installation = self._with_baseline(bundle), settings, installation
        return anew

    def set_aim(self, rotation: int, flip: str) -> None:
        """Turn and mirror the picture in another way until the next reload; faces are tracked anew.

        Raises:
            EdgeError: the camera can't be opened again; the aim is as before.
        """
        camera = dataclasses.replace(self._settings.camera, rotation=rotation, flip=flip)
        settings = dataclasses.replace(self._settings, camera=camera)
        with self._tracking_anew(settings, self.installation.mesh_models()):
            self._replace_camera(settings)
        self._settings = settings

    def pause(self) -> None:
        """Close the camera until `resume`."""
        before = self.camera
        before.close()
        self._dropped_before += before.dropped
        self.camera = ClosedCamera(before.name)

    def resume(self) -> None:
        """Open the camera again; faces are tracked anew.

        Raises:
            EdgeError: it can't be opened, and stays paused.
        """
        with self._tracking_anew(self._settings, self.installation.mesh_models()):
            self.camera = self._open_camera(self._settings, paused=False)

    def close(self) -> None:
        """Close the camera, then the mesh."""
        self.camera.close()
        self._mesh.close()

    def _with_baseline(self, bundle: Bundle) -> Bundle:
        if self.baseline is not None and not bundle.supports_baseline:
            log.warning("model %s does not support a neutral baseline: the measured one is not in use", bundle.id)
        return bundle.with_baseline(self.baseline)

    def _open_camera(self, settings: Settings, *, paused: bool, patient: bool = False) -> Camera:
        if paused:
            return ClosedCamera(name_of(settings.camera))
        return open_reopening_camera(settings.camera, allow_demo=self._allow_demo, patient=patient)

    @contextlib.contextmanager
    def _tracking_anew(self, settings: Settings, models: MeshModels) -> Iterator[None]:
        """Continue with another mesh, and with track ids that were never used before, if the block succeeds."""
        mesh = open_face_mesh(settings.mesh, models)
        try:
            yield
        except BaseException:
            mesh.close()
            raise
        self._mesh.close()
        self._mesh, self._first_track = mesh, self._last_track

    def _replace_camera(self, settings: Settings) -> None:
        if settings.camera == self._settings.camera:
            return
        before = self.camera
        if before.live:
            # A device that we hold can't be opened again. If the new one fails, the old one reopens at the next read.
            before.close()
        self.camera = self._open_camera(settings, paused=self.paused)
        self._dropped_before += before.dropped
        before.close()
