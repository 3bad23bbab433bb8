"""How often something that is not a face is published, per hour of pictures without faces.

    python -m tests.benchmarks.false_faces --minutes 60 walk.mp4 photographs/

Clips are played again and again. Across photographs the camera pans, with noise, so that everything changes and
everything is searched. The time is that of the pictures, at 15 frames/s; each gets its share of the minutes.
"""

from __future__ import annotations

import argparse
import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from edge.bundle import bundle as bundles
from edge.camera.images import image_files, read_image
from edge.classifier.reader import Reader
from edge.expression import ExpressionMachine
from edge.face_mesh.litert import LiteRTFaceMesh
from edge.face_mesh.models import cache_folder, find
from edge.settings import Settings
from edge.values import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BUNDLE = Path("model/fused")
SIZE = (640, 480)
FPS = 15
CLIPS = {".mp4", ".mov", ".avi", ".mkv"}
LARGER = 1.2
"""Size of a photograph relative to the picture that pans across it."""
SPEEDS = 0.9, 0.61
"""Angular speeds of the pan to the side and up, rad/s, without a common period, so that no two rounds are alike."""
NOISE = 3.0
"""Standard deviation of the noise, grey levels."""


def main() -> None:
    parser = argparse.ArgumentParser(description="How often something that is not a face is published.")
    parser.add_argument("paths", nargs="+", type=Path, help="clips, photographs and folders of them, without faces")
    parser.add_argument("--minutes", type=float, default=60.0)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    files = [file for path in args.paths for file in image_files(path)]
    frames_each = round(args.minutes * 60 * FPS / len(files))
    models, settings, bundle = find([cache_folder()]), Settings(), bundles.load(BUNDLE)
    total = 0
    with tqdm(total=frames_each * len(files), unit=" frames") as bar:
        for file in files:
            # The budget of the search doesn't depend on this machine: each look costs what it does on a fast one.
            mesh = LiteRTFaceMesh(settings.mesh, models, cpu_clock=itertools.count(0.0, 0.0015).__next__)
            reader, machine = Reader(), ExpressionMachine(bundle.labels, settings.expression)
            found = 0
            for i, rgb in enumerate(itertools.islice(_frames(file), frames_each)):
                faces = mesh.process(Frame(rgb, i / FPS))
                changes = machine.step(reader.read(bundle.classifier, faces, rgb), i / FPS)
                found += sum(change.kind == "new" for change in changes)
                bar.update()
            print(f"{file.name}: {found} in {frames_each / FPS / 60:.1f} min")
            total += found
    hourly = total / args.minutes * 60
    print(f"{total} in {args.minutes:g} minutes of {len(files)} files without faces: {hourly:.2f} an hour")


def _frames(file: Path) -> Iterator[NDArray[np.uint8]]:
    """Endless frames, uint8[480, 640, 3]."""
    if file.suffix.lower() in CLIPS:
        while True:
            capture = cv2.VideoCapture(str(file))
            while (read := capture.read())[0]:
                yield _filled(np.asarray(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), np.uint8), SIZE)
    large = _filled(read_image(file), (round(SIZE[0] * LARGER), round(SIZE[1] * LARGER)))
    rng = np.random.default_rng(0)
    noise = [rng.normal(0, NOISE, (SIZE[1], SIZE[0], 1)).astype(np.float32) for _ in range(8)]
    room = large.shape[1] - SIZE[0], large.shape[0] - SIZE[1]
    for i in itertools.count():
        x, y = (
            round(side / 2 * (1 + math.sin(i / FPS * speed))) for side, speed in zip(room, (0.9, 0.61), strict=True)
        )
        part = large[y : y + SIZE[1], x : x + SIZE[0]]
        yield np.clip(part + noise[i % len(noise)], 0, 255).astype(np.uint8)


def _filled(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The middle of a picture, scaled so that it fills a width and height."""
    scale = max(size[0] / rgb.shape[1], size[1] / rgb.shape[0])
    whole = max(size[0], round(rgb.shape[1] * scale)), max(size[1], round(rgb.shape[0] * scale))
    large = cv2.resize(rgb, whole, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (whole[0] - size[0]) // 2, (whole[1] - size[1]) // 2
    return np.ascontiguousarray(np.asarray(large, np.uint8)[top : top + size[1], left : left + size[0]])


if __name__ == "__main__":
    main()
