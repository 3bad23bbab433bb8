"""How far landmarks drift between regions, on faces and on what only resembles one.

Faces of the validation rows are pasted into scenes without people. Photographs without faces are shown at many sizes
and angles; what passes there as a face up to this check counts. Usage:

    python -m tests.benchmarks.steadiness --pictures fer2013:fer2013.csv --faces 150 --views 300 photographs/
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from edge.camera.images import image_files, read_image
from edge.face_mesh import open_face_mesh
from edge.face_mesh.detector import Detector
from edge.face_mesh.landmarker import Landmarker
from edge.face_mesh.models import cache_folder, find
from edge.face_mesh.steadiness import MAX_DRIFT, drift
from edge.face_mesh.tiles import layout
from edge.face_mesh.tracking import Region
from edge.settings import MeshSettings
from host_training.data import parquet
from host_training.evaluation import scenes
from host_training.evaluation.robustness import drawn
from host_training.importers.pictures import pictures_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.random import Generator
    from numpy.typing import NDArray

    from edge.face_mesh.models import MeshModels

TABLE = Path("model/keypoints/ferplus.parquet")
BUNDLE = Path("model/fused")
SIZE = (640, 480)
SETTINGS = MeshSettings()
HEIGHTS = 18.0, 70.0
NOISE = 3.0
"""Standard deviation of the noise, grey levels."""
SHARES = (0, 1, 5, 50, 95, 99, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description="How far landmarks drift, on faces and on what resembles one.")
    parser.add_argument("photographs", nargs="+", type=Path, help="pictures without faces, or folders of them")
    parser.add_argument("--pictures", action="append", required=True, metavar="SET:PATH")
    parser.add_argument("--faces", type=int, default=150, metavar="N")
    parser.add_argument("--views", type=int, default=300, metavar="N", help="of the photographs")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    checks, rng = _Checks(find([cache_folder()])), np.random.default_rng(0)
    faces = [drift for rgb, region in _faces(args, checks.models, rng) for drift in checks.drifts(rgb, [region])]
    files = [file for path in args.photographs for file in image_files(path)]
    views = tqdm(_views(files, args.views, rng), total=args.views, unit=" views")
    others = [drift for rgb in views for drift in checks.drifts(rgb, checks.candidates(rgb))]
    print(f"drift, shares of the face's height; limit {MAX_DRIFT}")
    for name, drifts in (("faces", faces), ("others", others)):
        shares = "  ".join(f"{share} %: {np.percentile(drifts, share):.3f}" for share in SHARES) if drifts else "-"
        passed = sum(each < MAX_DRIFT for each in drifts)
        print(f"{name:<7} {len(drifts):4}, below the limit {passed:4}   {shares}")


class _Checks:
    """What a new face has to pass before this check."""

    def __init__(self, models: MeshModels) -> None:
        self.models = models
        self._detector, self._landmarker = Detector(models.detector), Landmarker(models.landmarker)

    def candidates(self, rgb: NDArray[np.uint8]) -> Iterator[Region]:
        for tile in (tile for level in layout(*SIZE, SETTINGS.min_face) for tile in level):
            yield from self._detector(rgb, tile, min_confidence=SETTINGS.min_detection, most=4)

    def drifts(self, rgb: NDArray[np.uint8], regions: Iterable[Region]) -> Iterator[float]:
        """Of what passes as a face at `regions`, once each."""
        seen: list[Region] = []
        for region in regions:
            again = self._detector.again(rgb, region, min_confidence=SETTINGS.min_detection)
            for _ in range(2):
                if again is not None:
                    landmarks, presence = self._landmarker(rgb, again)
                    again = Region.of_landmarks(landmarks) if presence >= SETTINGS.min_presence else None
            if again is not None and not any(again.shows_the_same(other) for other in seen):
                seen.append(again)
                yield drift(self._landmarker, rgb, landmarks)


def _faces(args: argparse.Namespace, models: MeshModels, rng: Generator) -> Iterator[tuple[NDArray[np.uint8], Region]]:
    """Pictures with a face, uint8[480, 640, 3], and where it is."""
    table = parquet.read(TABLE)
    pictures = pictures_of(table, args.pictures)
    _, _, rows = drawn([BUNDLE], table, pictures, args.faces, "validation")
    places = list(scenes.load(None, open_face_mesh(SETTINGS, models)).values())
    for row in tqdm(rows.tolist(), unit=" faces"):
        if not np.isfinite(table.landmarks[row]).all():
            continue
        height = float(np.exp(rng.uniform(*np.log(HEIGHTS))))
        grey = np.asarray(cv2.cvtColor(pictures[row].load(), cv2.COLOR_RGB2GRAY), np.uint8)
        scene = scenes.fitted(places[rng.integers(len(places))], SIZE)
        place = rng.uniform(60, SIZE[0] - 60), rng.uniform(60, SIZE[1] - 60)
        shown, landmarks = scenes.cutout(grey, table.landmarks[row], height).pasted(scene, place)
        yield _noisy(np.repeat(shown[..., None], 3, axis=2).astype(np.float32), rng), Region.of_landmarks(landmarks)


def _views(files: list[Path], number: int, rng: Generator) -> Iterator[NDArray[np.uint8]]:
    """The photographs in turn, each at random in size, angle, place, side and light, uint8[480, 640, 3]."""
    for i in range(number):
        rgb = read_image(files[i % len(files)])
        height, width = rgb.shape[:2]
        pivot = width * rng.uniform(0.2, 0.8), height * rng.uniform(0.2, 0.8)
        turn = cv2.getRotationMatrix2D(pivot, rng.uniform(-25, 25), rng.uniform(0.8, 2.2) * SIZE[0] / width)
        turn[:, 2] += np.array([SIZE[0] / 2 - pivot[0], SIZE[1] / 2 - pivot[1]])
        view = cv2.warpAffine(rgb, turn, SIZE, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
        shown = view[:, ::-1] if rng.random() < 0.5 else view
        yield _noisy(shown * np.float32(rng.uniform(0.6, 1.2)), rng)


def _noisy(rgb: NDArray[np.float32], rng: Generator) -> NDArray[np.uint8]:
    return np.clip(rgb + rng.normal(0, NOISE, (*rgb.shape[:2], 1)), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
