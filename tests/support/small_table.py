"""A hundredth of the released keypoint table, to save time: python -m tests.support.small_table FILE."""

from __future__ import annotations

import sys
from pathlib import Path

from pyarrow import parquet

from host_training.data.parquet import METADATA_KEY

TABLE = Path(__file__).parents[2] / "model" / "keypoints" / "ferplus.parquet"


def write(path: Path) -> None:
    """Write the table. Its decisions are not copied."""
    with parquet.ParquetFile(TABLE) as whole:
        rows = whole.read().take(list(range(0, whole.metadata.num_rows, 100)))
        metadata = {METADATA_KEY: whole.metadata.metadata[METADATA_KEY]}
    parquet.write_table(rows.replace_schema_metadata(metadata), path)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
