"""Measures the error of the distance of faces, on rendered heads at known distances.

The heads are random people of ICT-FaceKit (https://github.com/USC-ICT/ICT-FaceKit, MIT), turned up to 30 degrees and
anywhere in a picture of 640x480. Each is measured in one frame, without smoothing.

make distance KIT=ICT-FaceKit
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from edge.camera import optics
from edge.errors import DataError, EdgeError
from edge.face_mesh.distance import PUPILS_M, distance_m
from edge.face_mesh.landmarker import Landmarker
from edge.face_mesh.models import cache_folder, find
from edge.face_mesh.tracking import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

SIZE = 640, 480
CAMERAS = {
    # The sensor of Camera Module 3 is wider than the picture, which therefore shows three quarters of it.
    "Camera Module 2": optics.LENSES["imx219"],
    "Camera Module 3": optics.part(optics.LENSES["imx708"], 0.75),
    "Camera Module 3 Wide": optics.part(optics.LENSES["imx708_wide"], 0.75),
}
DISTANCES_M = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0)
HEADS = 20
VIEWS = 4
"""Pictures of each head at each distance."""
PUPILS_SD_M = 0.00383
"""Standard deviation of the distance between the pupils, m (Dodgson 2004)."""
YAW, PITCH, ROLL = (math.radians(degrees) for degrees in (30, 15, 10))
"""Largest turns of a head."""
OFF_CENTRE = 0.6
"""Largest distance of a face from the middle of the picture, as a share of half its width and height."""
MIN_PRESENCE = 0.5
SEED = 3

FINE = 400
"""Width, px, of a head when it is drawn, at least. The picture is then scaled down, as a sensor integrates light."""

HIDDEN = {"M_EyeOcclusion", "M_EyeBlend", "M_LacrimalFluid", "M_EyeLashes"}
COLOURS = {"M_Teeth": (230, 225, 215), "M_GumsTongue": (150, 70, 70), "M_BackHead": (190, 145, 124)}
SKIN, BROW, LIP = (196, 150, 128), (70, 50, 40), (165, 85, 85)
WHITE, IRIS, PUPIL = (235, 230, 225), (70, 48, 35), (8, 6, 6)
EYE = 3.28, 3.61
"""Centre of the left pupil of the neutral head, cm."""
EYE_FRONT = 8.5
"""Depth, cm, in front of which the eyeballs are seen."""
IRIS_RADIUS, PUPIL_RADIUS = 0.585, 0.22


class Kit:
    """The heads, in cm: x to their left, y up, z ahead."""

    def __init__(self, folder: Path) -> None:
        model = folder / "FaceXModel"
        self._neutral, faces, materials = _read(model / "generic_neutral_mesh.obj", polygons=True)
        names = sorted(model.glob("identity*.obj"))
        if not names:
            raise DataError(f"{model} has no identities")
        self._identities = np.stack([_read(name)[0] - self._neutral for name in names])
        drawn = np.array([material not in HIDDEN for material in materials])
        self.faces = faces[drawn]
        self.colours = _painted(self._neutral[self.faces].mean(axis=1), [m for m in materials if m not in HIDDEN])
        eyes = np.array([material.startswith("M_Iris") for material in materials])
        points = np.unique(faces[eyes])
        depth = self._neutral[points, 2]
        front = points[depth > depth.max() - 0.15]
        self._pupils = [front[side * self._neutral[front, 0] > 0] for side in (-1, 1)]

    def head(self, rng: np.random.Generator, pupils_m: float) -> Array:
        """A random head, float32[N, 3] m, whose pupils have this distance, with the origin between them."""
        weights = rng.normal(size=len(self._identities)).astype(np.float32)
        points = self._neutral + np.tensordot(weights, self._identities, 1)
        right, left = (points[pupil].mean(axis=0) for pupil in self._pupils)
        scale = pupils_m / np.linalg.norm(right - left)
        return np.asarray((points - (right + left) / 2) * scale, np.float32)


def _read(path: Path, *, polygons: bool = False) -> tuple[Array, NDArray[np.int32], list[str]]:
    """Points, quadrangles and the material of each of a Wavefront OBJ file."""
    points, faces, materials, material = [], [], [], ""
    with path.open(encoding="utf-8") as file:
        for line in file:
            kind, _, rest = line.partition(" ")
            if kind == "v":
                points.append(rest.split()[:3])
            elif polygons and kind == "usemtl":
                material = rest.strip()
            elif polygons and kind == "f":
                corners = [int(corner.partition("/")[0]) - 1 for corner in rest.split()]
                faces.append((corners + corners[-1:])[:4])
                materials.append(material)
    return np.array(points, np.float32), np.array(faces, np.int32), materials


def _painted(centres: Array, materials: list[str]) -> Array:
    """float32[N, 3]: colours of the polygons of the neutral head, which has no textures."""
    x, y, z = np.abs(centres[:, 0]), centres[:, 1], centres[:, 2]
    colours = np.array([COLOURS.get(material, SKIN) for material in materials], np.float32)
    face = np.array([material == "M_Face" for material in materials])
    brow = 5.1 + 0.5 * np.sin((x - 1.3) / 3.9 * np.pi)
    colours[face & (((x - 3.25) / 1.95) ** 2 < 1) & (((y - brow) / 0.38) ** 2 < 1)] = BROW
    colours[face & ((x / 2.6) ** 2 + (y + 3.3) ** 2 < 1)] = LIP
    eye = np.array([material.startswith(("M_Sclera", "M_Iris")) for material in materials])
    radius = np.hypot(x - EYE[0], y - EYE[1])
    colours[eye] = WHITE
    colours[eye & (z > EYE_FRONT) & (radius < IRIS_RADIUS)] = IRIS
    colours[eye & (z > EYE_FRONT) & (radius < PUPIL_RADIUS)] = PUPIL
    return colours


def _rotation(yaw: float, pitch: float, roll: float) -> Array:
    turns = [((0, 2), yaw), ((1, 2), pitch), ((0, 1), roll)]
    whole = np.eye(3)
    for (i, j), angle in turns:
        one = np.eye(3)
        one[i, i] = one[j, j] = math.cos(angle)
        one[i, j], one[j, i] = -math.sin(angle), math.sin(angle)
        whole = one @ whole
    return whole.astype(np.float32)


def draw(kit: Kit, head: Array, at: Array, focal_px: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture, uint8[480, 640, 3], of a head whose eyes are `at`, float32[3] m: to the right, down, ahead."""
    width, height = SIZE
    points = head * np.array([1, -1, -1], np.float32) + at
    places = points[:, :2] / points[:, 2:] * focal_px + (width / 2, height / 2)
    low = np.clip(np.floor(places.min(axis=0)), 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(places.max(axis=0)), 1, (width, height)).astype(int)
    fine = max(2, math.ceil(FINE / max(1, high[0] - low[0])))

    corners = points[kit.faces]
    normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    centres = corners.mean(axis=1)
    seen = np.flatnonzero((normals * centres).sum(axis=1) < 0)
    light = np.array([0.3, -0.5, -0.8], np.float32) / np.float32(0.99)
    colours = kit.colours * rng.uniform(0.4, 1.1) * (0.35 + 0.65 * np.clip(normals @ light, 0, 1))[:, None]
    colours = np.clip(colours, 0, 255)

    picture = np.repeat(np.linspace(120, 170, height), width).reshape(height, width, 1).repeat(3, axis=2)
    part = picture[low[1] : high[1], low[0] : high[0]]
    large = np.ascontiguousarray(part.repeat(fine, axis=0).repeat(fine, axis=1).astype(np.uint8))
    # fillConvexPoly counts from the middle of a pixel, in sixteenths; the farthest is drawn first.
    polygons = np.round(((places - low) * fine - 0.5) * 16).astype(np.int32)[kit.faces]
    for i in seen[np.argsort(-np.linalg.norm(centres[seen], axis=1))]:
        cv2.fillConvexPoly(large, polygons[i], colours[i].tolist(), shift=4)
    part[:] = cv2.resize(large, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_AREA)
    picture += rng.normal(0, 3, picture.shape)
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def measured(landmarker: Landmarker, picture: NDArray[np.uint8], at: Array, field_of_view: float) -> float | None:
    """The distance of the head in a picture, m, as of a face that is followed; None: it is not seen."""
    focal_px = SIZE[0] / 2 / math.tan(math.radians(field_of_view) / 2)
    x, y = at[:2] / at[2] * focal_px + np.array(SIZE) / 2
    region = Region(float(x), float(y), float(0.22 * focal_px / at[2]), 0.0)
    for _ in range(3):
        landmarks, presence = landmarker(picture, region)
        region = Region.of_landmarks(landmarks)
    return distance_m(landmarks, SIZE, field_of_view) if presence >= MIN_PRESENCE else None


def main(folder: Path) -> None:
    """Print the table."""
    kit, landmarker = Kit(folder), Landmarker(find([cache_folder()]).landmarker)
    rng = np.random.default_rng(SEED)
    heads = [kit.head(rng, PUPILS_M) for _ in range(HEADS)]
    # The distances between pupils of so many adults, at equal steps of probability.
    adults = [NormalDist(PUPILS_M, PUPILS_SD_M).inv_cdf((i + 0.5) / HEADS) / PUPILS_M for i in range(HEADS)]
    lines = [
        "| camera, 640x480 | m | median | 95 % within | 95 % of adults within | not seen |",
        "|---|---|---|---|---|---|",
    ]
    bar = tqdm(total=len(CAMERAS) * len(DISTANCES_M) * HEADS * VIEWS, disable=None)
    for name, field_of_view in CAMERAS.items():
        focal_px = SIZE[0] / 2 / math.tan(math.radians(field_of_view) / 2)
        for metres in DISTANCES_M:
            errors, of_adults, lost = [], [], 0
            for head, adult in zip(heads, rng.permutation(adults), strict=True):
                for _ in range(VIEWS):
                    across, down = rng.uniform(-OFF_CENTRE, OFF_CENTRE, 2) * SIZE / 2 / focal_px
                    ray = np.array([across, down, 1.0], np.float32)
                    at = np.asarray(ray / np.linalg.norm(ray) * metres, np.float32)
                    turned = head @ _rotation(*(rng.uniform(-most, most) for most in (YAW, PITCH, ROLL))).T
                    found = measured(landmarker, draw(kit, turned, at, focal_px, rng), at, field_of_view)
                    bar.update()
                    if found is None:
                        lost += 1
                        continue
                    errors.append(found / metres - 1)
                    # A larger head as much farther away gives the same picture.
                    of_adults.append(found / (metres * adult) - 1)
            high, of_all = (np.percentile(np.abs(each), 95) for each in (errors, of_adults))
            lines.append(
                f"| {name} | {metres:g} | {round(100 * np.median(errors)):+d} % | {100 * high:.0f} % "
                f"| {100 * of_all:.0f} % | {lost} of {HEADS * VIEWS} |"
            )
    bar.close()
    print("\n".join(lines))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except OSError as error:
        print(f"measure_distance: {error.filename}: {error.strerror}; name the folder of ICT-FaceKit", file=sys.stderr)
        sys.exit(os.EX_NOINPUT)
    except (EdgeError, ValueError, IndexError) as error:
        print(f"measure_distance: not the models of ICT-FaceKit: {error}", file=sys.stderr)
        sys.exit(os.EX_DATAERR)
