"""JAFFE, Japanese female facial expressions (Lyons et al. 1998): 213 pictures of ten women."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from host_training.data.source import ImageFile, Row, Source
from host_training.importers.layout import pictures, unknown_layout

if TYPE_CHECKING:
    from pathlib import Path

    from host_training.data.source import Options

SUMMARY = "JAFFE: the folder with KA.AN1.39.tiff and so on"
OPTIONS: frozenset[str] = frozenset()
LAYOUTS = ("the folder with KA.AN1.39.tiff and so on",)

CODES = {
    "AN": "anger",
    "DI": "disgust",
    "FE": "fear",
    "HA": "happiness",
    "NE": "neutral",
    "SA": "sadness",
    "SU": "surprise",
}
NAME = re.compile(rf"(?P<subject>[A-Z]{{2}})\.(?P<code>{'|'.join(CODES)})\d*\.", re.IGNORECASE)
"""Pattern of file names: subject, expression with its number, and a serial number."""


def load(path: Path, _options: Options) -> Source:
    """Read the folder.

    Raises:
        OSError: it cannot be read.
        SourceError: no picture is named like those of the data set.
    """
    source = Source("jaffe", [])
    for file, _ in pictures(path, source.dropped):
        named = NAME.match(file.name)
        if named is None:
            source.dropped["the file's name is not like KA.AN1.39.tiff"] += 1
        else:
            place, label = file.relative_to(path).as_posix(), CODES[named["code"].upper()]
            source.rows.append(Row(place, ImageFile(file), label, subject=named["subject"].upper()))
    if not source.rows:
        raise unknown_layout(path, LAYOUTS, source.dropped)
    return source
