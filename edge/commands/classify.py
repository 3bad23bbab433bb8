"""`emotion-edge classify`: read the expressions in pictures."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

from edge.cli import add_settings_arguments, load_settings
from edge.errors import EdgeError, UsageError
from edge.paths import home_path
from edge.redaction import without_password
from edge.values import UNCERTAIN

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from edge.settings import ExpressionSettings
    from edge.values import Reading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.epilog = (
        "example: emotion-edge classify --json holiday.jpg pictures/\n"
        "         emotion-edge classify --model build/models/mine holiday.jpg"
    )
    add_settings_arguments(parser, model=True)
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", type=_path, help="a picture, or a folder to search for pictures"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per line and picture")
    parser.add_argument(
        "--max-faces", type=int, default=20, help="limit of faces for each picture (default: %(default)s)"
    )


def _path(text: str) -> Path:
    if not text:
        raise UsageError("the path is empty; give a picture or a folder")
    if "://" in text:
        raise UsageError(f"{without_password(text)!r} is an address, not a file: download it first")
    return home_path(text)


def run(args: argparse.Namespace) -> int:
    """Read every picture. Exit status 1 if one can't be read."""
    from edge.bundle.locate import Installation
    from edge.camera.images import read_image
    from edge.face_mesh import open_face_mesh
    from edge.face_mesh.distance import place_of

    settings = load_settings(args)
    installation = Installation.of(settings)
    bundle, models = installation.load(), installation.mesh_models()
    mesh = open_face_mesh(dataclasses.replace(settings.mesh, max_faces=args.max_faces), models)
    status = 0
    try:
        for path, error in _pictures(args.paths):
            result: dict[str, Any] = {"source": str(path)}
            try:
                if error is not None:
                    raise error
                rgb = read_image(path)
                height, width = rgb.shape[:2]
                field_of_view = settings.camera.field_of_view or None
                faces = [
                    dataclasses.replace(face, place=place_of(face.landmarks, (width, height), field_of_view))
                    for face in mesh.still(rgb)
                ]
                readings = bundle.classifier.read(faces, rgb)
            except EdgeError as problem:
                status = 1
                result["error"] = str(problem)
            else:
                result["faces"] = [_face(reading, bundle.labels, settings.expression) for reading in readings]
            _show(result, as_json=args.json)
    finally:
        mesh.close()
    return status


def _pictures(paths: list[Path]) -> Iterator[tuple[Path, EdgeError | None]]:
    """Every picture under the paths, each with None, and every path without any, with the reason."""
    from edge.camera.images import image_files

    for path in paths:
        if not path.is_dir():
            yield path, None
            continue
        try:
            for file in image_files(path):
                yield file, None
        except EdgeError as error:
            yield path, error


def _face(reading: Reading, labels: tuple[str, ...], settings: ExpressionSettings) -> dict[str, Any]:
    shares = reading.probabilities.tolist()
    best = max(range(len(labels)), key=shares.__getitem__)
    sure = shares[best] >= settings.enter and reading.quality >= settings.min_quality
    place = reading.place
    distance_m = None if place is None else place.distance_m
    return {
        "expression": labels[best] if sure else UNCERTAIN,
        "confidence": round(shares[best], 4),
        "probabilities": {label: round(share, 4) for label, share in zip(labels, shares, strict=True)},
        "position": None if place is None else {"x": round(place.x, 4), "y": round(place.y, 4)},
        "distance_m": None if distance_m is None else round(distance_m, 2),
        "box": [round(value, 1) for value in reading.box],
        "quality": round(reading.quality, 4),
    }


def _show(result: dict[str, Any], *, as_json: bool) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    if as_json:
        text = json.dumps(result, ensure_ascii=False)
        if text.encode(encoding, "replace").decode(encoding) != text:  # a file name, or the terminal, is not UTF-8
            text = json.dumps(result)
        print(text, flush=True)
    elif "error" in result:
        print(f"emotion-edge: {result['error']}", file=sys.stderr)
    else:
        faces = [f"{face['expression']} {face['confidence']:.2f}" for face in result["faces"]]
        source = result["source"].encode(encoding, "backslashreplace").decode(encoding)
        print(f"{source}: {', '.join(faces) or 'no face'}", flush=True)
