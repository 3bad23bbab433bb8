from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from host_training.cli import main
from host_training.data import keypoints, parquet, tables
from host_training.data.keypoints import concatenate, take
from host_training.reporting import describe

if TYPE_CHECKING:
    from host_training.data.keypoints import Table

PUBLISHED = Path(__file__).parents[3] / "model" / "keypoints" / "ferplus.parquet"


def test_rows_faces_and_people_are_counted_by_data_set_and_split(table: Table):
    count = len(table)
    other = dataclasses.replace(
        table,
        data_set=np.full(count, "other"),
        split=np.full(count, "test"),
        subject=np.array(["a", "b"] * (count // 2)),
    )

    text = describe.text(concatenate([table, other]))

    rows, found = (table.split == "train").sum(), (table.found & (table.split == "train")).sum()
    assert f"| tiny | train | {rows} | {found} | {found / rows:.1%} | unknown |" in text
    assert f"| other | test | {count} | {table.found.sum()} | {table.found.mean():.1%} | 2 |" in text


def test_labels_are_counted_as_voted_and_as_the_data_set_has_them(table: Table):
    text = describe.text(dataclasses.replace(table, label=np.full(len(table), 4, np.int8)))

    voted, own = text.split("the data set's own label:")
    assert "| anger | 24 | 12 | 12 |" in voted
    assert f"| anger | {(table.split == 'train').sum()} |" in own
    assert "| fear | 0 | 0 | 0 |" in own


def test_the_data_card_describes_the_published_table(capsys: pytest.CaptureFixture[str]):
    assert main(["describe", str(PUBLISHED)]) == 0

    assert capsys.readouterr().out in (PUBLISHED.parent / "README.md").read_text()


@pytest.fixture(scope="module")
def published() -> Table:
    return parquet.read(PUBLISHED)


def test_the_published_table_is_small_and_keeps_its_test_rows_to_itself(
    published: Table, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(parquet, "read", lambda _path: published)  # once is enough
    table, _ = tables.load(PUBLISHED)

    assert PUBLISHED.stat().st_size <= 25_000_000
    assert table.found[table.split == "test"].mean() >= 0.98
    pictures = {split: set(table.group[table.split == split].tolist()) for split in keypoints.SPLITS}
    assert not pictures["test"] & (pictures["train"] | pictures["validation"])
    assert not pictures["train"] & pictures["validation"]


def test_the_published_table_can_be_read_as_its_card_says(
    published: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    table = take(published, np.arange(0, len(published), 50))  # of all rows the code takes seconds
    parquet.write(table, tmp_path / PUBLISHED.name)
    code = (PUBLISHED.parent / "README.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    names: dict[str, np.ndarray] = {}

    exec(code, names)  # noqa: S102 - it is the code that the card hands out

    np.testing.assert_allclose(names["landmarks"][table.found], table.landmarks[table.found], atol=1e-3)
