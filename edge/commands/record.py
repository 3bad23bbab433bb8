"""`emotion-edge record`: landmark sequences, without pictures, for bug reports and tests."""

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
    """Declare the options."""
    parser.epilog = (
        "example: emotion-edge record --camera v4l2:/dev/video0 --seconds 30 smile.landmarks\n"
        "         emotion-edge run --camera recording:smile.landmarks"
    )
    add_settings_arguments(parser, camera=True)
    parser.add_argument("file", metavar="FILE", help="the recording; it must not exist")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long (default: Ctrl-C)")


def run(args: argparse.Namespace) -> int:
    """Record until the time is up, the source ends, or Ctrl-C."""
    from edge import bundle as bundles
    from edge import mesh_models
    from edge.camera import open_camera
    from edge.errors import EndOfStreamError
    from edge.face_mesh import faces_in, open_face_mesh
    from edge.recording import RecordingWriter

    settings = load_settings(args)
    frames = faces = 0
    with (
        contextlib.closing(open_face_mesh(settings.mesh, bundles.mesh_in_use(settings))) as mesh,
        contextlib.closing(open_camera(settings.camera)) as camera,
        contextlib.ExitStack() as file,
        contextlib.suppress(EndOfStreamError, KeyboardInterrupt),
    ):
        writer: RecordingWriter | None = None
        end = time.monotonic() + args.seconds
        while time.monotonic() < end:
            frame = camera.read(timeout_s=1.0)
            if frame is None:
                continue
            if writer is None:  # not before the first frame tells the size
                height, width = frame.rgb.shape[:2]
                mesh_sha256 = mesh_models.MEMBERS[mesh_models.LANDMARKER]
                writer = RecordingWriter(Path(args.file), width=width, height=height, mesh_sha256=mesh_sha256)
                file.enter_context(writer)
                print(f"recording landmarks of {camera.name} to {args.file}; Ctrl-C ends it", flush=True)
            found = faces_in(frame, mesh)
            writer.write(dataclasses.replace(frame, faces=found))
            frames, faces = frames + 1, faces + len(found)
    print(f"{args.file}: {frames} frames, {faces} faces")
    return 0
