"""Prints the differences between the two backends on a clip, as JSON. test_parity.py runs it without a network."""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.face_mesh import models as mesh_models
from edge.face_mesh import open_face_mesh
from edge.face_mesh.litert import LiteRTFaceMesh
from edge.settings import MeshSettings
from edge.values import Frame

if TYPE_CHECKING:
    from edge.face_mesh import FaceMesh


def main(clip: str) -> None:
    capture = cv2.VideoCapture(clip)
    fps = capture.get(cv2.CAP_PROP_FPS) or 25.0
    frames: list[Frame] = []
    while (read := capture.read())[0]:
        rgb = np.asarray(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), np.uint8)
        frames.append(Frame(rgb, round(1000 * len(frames) / fps) / 1000))
    models = mesh_models.find([mesh_models.cache_folder()])
    found = {}
    # mediapipe searches every frame, so litert does, too: each look costs the same on every machine.
    settings, look_s = MeshSettings(max_faces=1, search_share=1.0), itertools.count(0.0, 0.002).__next__
    meshes: dict[str, FaceMesh] = {
        "litert": LiteRTFaceMesh(settings, models, cpu_clock=look_s),
        "mediapipe": open_face_mesh(replace(settings, backend="mediapipe"), models),
    }
    for backend, mesh in meshes.items():
        found[backend] = [mesh.process(frame) for frame in frames]
        mesh.close()
    pairs = list(zip(found["litert"], found["mediapipe"], strict=True))
    distances = [np.linalg.norm(a[0].landmarks[:, :2] - b[0].landmarks[:, :2], axis=1) for a, b in pairs if a and b]
    result = {
        "frames": len(pairs),
        "faces": len(distances),
        "presence_equal": float(np.mean([bool(a) == bool(b) for a, b in pairs])),
        "median_px": float(np.median(distances)) if distances else None,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
