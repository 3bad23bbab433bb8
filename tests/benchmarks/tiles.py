"""How small a face the detector finds in tiles of each size, and what looking everywhere costs.

Faces of the validation rows are pasted into scenes without people. Usage:

    python -m tests.benchmarks.tiles --pictures fer2013:fer2013.csv --faces 80
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from edge.face_mesh import open_face_mesh
from edge.face_mesh.detector import Detector
from edge.face_mesh.models import cache_folder, find
from edge.face_mesh.tiles import SHARE, Tile, layout
from edge.settings import MeshSettings
from host_training.data import parquet
from host_training.evaluation import scenes
from host_training.evaluation.robustness import drawn
from host_training.importers.pictures import pictures_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

TABLE = Path("model/keypoints/ferplus.parquet")
BUNDLE = Path("model/fused")
SIZE = (640, 480)
HEIGHTS = (16, 20, 24, 32, 40, 56, 80, 112, 160, 240)
TILES = (80, 112, 128, 160, 192, 320)
NEAR = 0.5
"""Distance of a find from the face, as a share of its height, up to which it is the face."""


def main() -> None:
    parser = argparse.ArgumentParser(description="How small a face the detector finds in tiles of each size.")
    parser.add_argument("--pictures", action="append", required=True, metavar="SET:PATH")
    parser.add_argument("--faces", type=int, default=80, metavar="N")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    models = find([cache_folder()])
    detector = Detector(models.detector)
    table = parquet.read(TABLE)
    pictures = pictures_of(table, args.pictures)
    _, _, rows = drawn([BUNDLE], table, pictures, args.faces, "validation")
    places = [scenes.fitted(each, SIZE) for each in scenes.load(None, open_face_mesh(MeshSettings(), models)).values()]
    # The tiles of one size are those of the daemon's search for faces of a quarter of it.
    layouts = {"whole picture": [Tile.whole(*SIZE)]}
    for size in TILES:
        level = layout(*SIZE, size * SHARE)[-1]
        layouts[f"{len(level)} of {size} px"] = level
    layouts["all of the search"] = [tile for level in layout(*SIZE, MeshSettings().min_face) for tile in level]
    hits: dict[tuple[str, int], list[bool]] = {}
    cpu_s: dict[str, list[float]] = {}
    rng = np.random.default_rng(0)
    for row in tqdm(rows.tolist(), desc="looking", unit=" faces"):
        grey = np.asarray(cv2.cvtColor(pictures[row].load(), cv2.COLOR_RGB2GRAY), np.uint8)
        for height in HEIGHTS:
            face = scenes.cutout(grey, table.landmarks[row], height)
            at = [rng.uniform(half, side - half) for half, side in zip(face.half, SIZE, strict=True)]
            shown, landmarks = face.pasted(places[row % len(places)], (at[0], at[1]))
            rgb = np.asarray(cv2.cvtColor(shown, cv2.COLOR_GRAY2RGB), np.uint8)
            centre = landmarks[:, :2].mean(axis=0)
            for name, tiles in layouts.items():
                started = time.thread_time()
                found = _found(detector, rgb, tiles)
                cpu_s.setdefault(name, []).append(time.thread_time() - started)
                near = any(np.hypot(*(place - centre)) <= NEAR * height for place in found)
                hits.setdefault((name, height), []).append(near)
    print("| tiles | " + " | ".join(f"{height} px" for height in HEIGHTS) + " | ms |")
    print("|---" * (len(HEIGHTS) + 2) + "|")
    for name in layouts:
        shares = " | ".join(f"{np.mean(hits[name, height]):.0%}" for height in HEIGHTS)
        print(f"| {name} | {shares} | {1e3 * statistics.median(cpu_s[name]):.1f} |")


def _found(detector: Detector, rgb: NDArray[np.uint8], tiles: list[Tile]) -> list[NDArray[np.float64]]:
    regions = (region for tile in tiles for region in detector(rgb, tile, min_confidence=0.5, most=4))
    return [np.array([region.x, region.y]) for region in regions]


if __name__ == "__main__":
    main()
