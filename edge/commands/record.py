"""`emotion-edge record`: record landmarks, without pictures, for bug reports and tests."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli import add_settings_arguments, load_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.epilog = (
        "example: emotion-edge record --camera v4l2:/dev/video0 --seconds 30 smile.landmarks\n"
        "         emotion-edge run --camera recording:smile.landmarks"
    )
    add_settings_arguments(parser, camera=True, model=True)
    parser.add_argument("file", metavar="FILE", type=Path, help="the recording, which must not exist yet")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="length of the recording (default: until Ctrl-C)"
    )


def run(args: argparse.Namespace) -> int:
    """Record until the time is up, the source ends, or a signal comes: SIGINT, or SIGTERM as from `timeout`."""
    from edge.bundle.locate import Installation
    from edge.camera import open_camera
    from edge.camera.recording_file import RecordingWriter, refuse_existing
    from edge.daemon.signals import Signals
    from edge.errors import EndOfStreamError, UnavailableError, UsageError
    from edge.face_mesh import faces_in, models, open_face_mesh

    if not args.seconds > 0:
        raise UsageError(f"--seconds must be above 0, not {args.seconds:g}")
    path: Path = args.file
    refuse_existing(path)
    settings = load_settings(args)
    installation = Installation.of(settings)
    if args.model is not None:
        installation.load()  # only its face mesh is used, if it has one, but a wrong folder must not pass unnoticed
    signals = Signals()
    signals.listen()
    faces, end = 0, float("inf")
    writer: RecordingWriter | None = None
    with (
        contextlib.closing(open_face_mesh(settings.mesh, installation.mesh_models())) as mesh,
        # The demo only if it is asked for: nobody would look for a drawn face in a recording.
        contextlib.closing(open_camera(settings.camera, allow_demo=False)) as camera,
        contextlib.ExitStack() as file,
        contextlib.suppress(EndOfStreamError),
    ):
        while not signals.stop and time.monotonic() < end:
            frame = camera.read(timeout_s=1.0)
            if frame is None:
                continue
            if writer is None:  # the first frame tells the size
                width, height = frame.size
                mesh_sha256 = models.MEMBERS[models.LANDMARKER]
                writer = file.enter_context(RecordingWriter(path, width=width, height=height, mesh_sha256=mesh_sha256))
                end = time.monotonic() + args.seconds
                print(f"recording landmarks of {camera.name} to {path}; stop with Ctrl-C", flush=True)
            found = faces_in(frame, mesh)
            writer.write(dataclasses.replace(frame, faces=found))
            faces += len(found)
    if writer is None:
        raise UnavailableError(
            f"{camera.name} delivered no frame, so nothing was recorded: try again, or another --camera"
        )
    aim = "" if faces else "; `emotion-edge run --preview --preview-picture` shows where the camera looks"
    print(f"{path}: {writer.frames} frames, {faces} faces{aim}")
    return 0
