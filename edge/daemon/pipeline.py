"""Camera, face mesh and classifier, as the settings choose them: what turns the world into readings."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

from edge.bundle.locate import Installation
from edge.camera import open_lasting_camera
from edge.camera.closed import ClosedCamera
from edge.face_mesh import faces_in, open_face_mesh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.bundle.bundle import Bundle
    from edge.camera import Camera
    from edge.classifier.baseline import Baseline
    from edge.face_mesh import FaceMesh
    from edge.settings import Settings
    from edge.values import Face, Frame, Reading

log = logging.getLogger(__name__)


class Pipeline:
    """Opens the three, exchanges them when the settings change, and closes them."""

    def __init__(
        self, settings: Settings, *, allow_demo: bool = True, paused: bool = False, baseline: Baseline | None = None
    ) -> None:
        """Load the models, then open the camera.

        Args:
            settings: of camera, mesh and model.
            allow_demo: whether the camera `auto` may end at the demo where no camera is found.
            paused: whether it stays closed until `resume`.
            baseline: the neutral face of whom it is going to see; None: not known.

        Raises:
            ConfigError: bundle, mesh models or camera are not usable as configured.
            EdgeError: see `open_camera` and `open_face_mesh`.
        """
        self._settings = settings
        self._allow_demo = allow_demo
        self._dropped_before = 0
        self._first_track = 0
        self._last_track = 0
        # Models first: a camera that is not going to be used should not light its lamp.
        self.baseline = baseline
        """Also where the bundle takes none: another one may."""
        self.installation = Installation.of(settings)
        self.bundle = self._with_baseline(self.installation.load(recording=settings.camera.is_recording))
        self._mesh = open_face_mesh(settings.mesh, self.installation.mesh_models())
        try:
            self.camera = self._open_camera(settings, paused=paused)
        except BaseException:
            self._mesh.close()
            raise

    @property
    def paused(self) -> bool:
        """Whether the camera is closed on purpose."""
        return isinstance(self.camera, ClosedCamera)

    @property
    def baseline_measured(self) -> str | None:
        """When the neutral face was measured that the bundle takes into account; None: it takes none."""
        return self.baseline.measured if self.baseline is not None and self.bundle.supports_baseline else None

    @property
    def dropped(self) -> int:
        """Frames that nobody looked at in time, over all cameras."""
        return self._dropped_before + self.camera.dropped

    def find(self, frame: Frame) -> tuple[Face, ...]:
        """The faces of the next frame; a track is never used twice."""
        found = faces_in(frame, self._mesh)
        faces = tuple(dataclasses.replace(face, track_id=self._first_track + face.track_id) for face in found)
        self._last_track = max((face.track_id for face in faces), default=self._last_track)
        return faces

    def read(self, faces: Sequence[Face], frame: Frame) -> list[Reading]:
        """What the classifier says about the faces of a frame."""
        return self.bundle.classifier.read(faces, frame.rgb)

    def set_baseline(self, baseline: Baseline | None) -> None:
        """From the next frame on, read a person whose neutral face is known; None: anybody."""
        self.baseline, self.bundle = baseline, self.bundle.with_baseline(baseline)

    def reload(self, settings: Settings) -> bool:
        """Load the bundle again, and open again what other settings ask for.

        Returns:
            Whether faces are followed anew: no track goes on.

        Raises:
            EdgeError: something is not usable; then everything is as it was.
        """
        installation = Installation.of(settings)
        bundle = installation.load(recording=settings.camera.is_recording)
        models = installation.mesh_models()
        anew = (settings.camera, settings.mesh) != (self._settings.camera, self._settings.mesh)
        if anew:
            # Another camera shows another scene, and a mesh would look there for the faces of this one.
            mesh = open_face_mesh(settings.mesh, models)
            try:
                self._exchange_camera(settings)
            except BaseException:
                mesh.close()
                raise
            self._follow_anew(mesh)
        self.bundle, self._settings, self.installation = self._with_baseline(bundle), settings, installation
        return anew

    def pause(self) -> None:
        """Close the camera until `resume`."""
        before = self.camera
        before.close()
        self._dropped_before += before.dropped
        self.camera = ClosedCamera(before.name)

    def resume(self) -> None:
        """Open the camera again; faces are followed anew.

        Raises:
            EdgeError: it cannot be opened; it is still paused.
        """
        mesh = open_face_mesh(self._settings.mesh, self.installation.mesh_models())
        try:
            self.camera = self._open_camera(self._settings, paused=False)
        except BaseException:
            mesh.close()
            raise
        self._follow_anew(mesh)

    def close(self) -> None:
        """Close the camera, then the mesh."""
        self.camera.close()
        self._mesh.close()

    def _with_baseline(self, bundle: Bundle) -> Bundle:
        if self.baseline is not None and not bundle.supports_baseline:
            log.warning("model %s cannot be told of a neutral face, so the calibration is not in use", bundle.id)
        return bundle.with_baseline(self.baseline)

    def _open_camera(self, settings: Settings, *, paused: bool) -> Camera:
        if paused:
            return ClosedCamera(settings.camera.source)
        return open_lasting_camera(settings.camera, allow_demo=self._allow_demo)

    def _follow_anew(self, mesh: FaceMesh) -> None:
        """Let another mesh find the faces, with tracks that were never used before."""
        self._mesh.close()
        self._mesh, self._first_track = mesh, self._last_track

    def _exchange_camera(self, settings: Settings) -> None:
        if settings.camera == self._settings.camera:
            return
        before = self.camera
        if before.live:
            # Nobody else can open a device that we hold. If it comes to nothing, it opens itself when it is read.
            before.close()
        self.camera = self._open_camera(settings, paused=self.paused)
        self._dropped_before += before.dropped
        before.close()
