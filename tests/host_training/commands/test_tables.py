"""`emotion-train import`, `merge` and `export`, as they are typed."""

from __future__ import annotations

import csv
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

import edge
from edge.errors import ConfigError
from edge.face_mesh.models import cache_folder, find
from host_training.cli import main
from host_training.data import export as plain_columns
from host_training.data import parquet, tables
from host_training.data.keypoints import SPLITS, TEST, TRAIN, VALIDATION, Table, take
from host_training.data.labels import LABELS, VOTE_COLUMNS
from host_training.importers import IMPORTERS
from tests.support.portraits import FILE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ROOT = Path(edge.__file__).parents[1]


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said on stderr, which must be one line; progress bars are overwritten by it."""
    said = capsys.readouterr().err.split("\r")[-1]
    assert said.startswith("emotion-train: ")
    assert said.count("\n") == 1
    return said


@pytest.fixture(scope="session")
def portrait():
    """The face of the demo's picture, in grey, uint8[64, 64]."""
    picture = cv2.imread(str(FILE), cv2.IMREAD_GRAYSCALE)
    side = min(picture.shape)
    return cv2.resize(picture[:side, :side], (64, 64), interpolation=cv2.INTER_AREA)


@pytest.fixture
def pictures(tmp_path: Path, portrait: NDArray[np.uint8]):
    """Five people with three pictures each, and one file that is no picture; three of the pictures show smiles."""
    try:
        find([cache_folder()])
    except ConfigError as error:
        pytest.skip(f"needs the face mesh models: {error}")
    folder = tmp_path / "pictures"
    for person in range(5):
        for number, label in enumerate(("happy", "sad", "smirk" if person < 3 else "happy")):
            (folder / label).mkdir(parents=True, exist_ok=True)
            shifted = np.roll(portrait, (person - 2, number), axis=(0, 1))
            cv2.imwrite(str(folder / label / f"p{person}_{number}.png"), shifted)
    (folder / "sad" / "p4_9.png").write_bytes(b"no picture")
    return folder


def imported(pictures: Path, *more: str) -> list[str]:
    return ["import", "folder", str(pictures), "--out", str(pictures.parent / "t.parquet"), "--workers", "1", *more]


class TestImport:
    def test_writes_a_table_and_reports_its_content(self, pictures: Path, capsys: pytest.CaptureFixture[str]):
        pattern = ("--subject-pattern", r"/(p\d)_", "--label", "smirk=contempt")

        assert main(imported(pictures, *pattern)) == 0

        said = capsys.readouterr()
        table = parquet.read(pictures.parent / "t.parquet")
        assert len(table) == 15
        assert sorted(set(table.subject.tolist())) == ["p0", "p1", "p2", "p3", "p4"]
        assert [int((table.label == LABELS.index(name)).sum()) for name in ("happiness", "sadness", "contempt")] == [
            7,
            5,
            3,
        ]
        assert [(table.split == split).sum() for split in SPLITS] == [9, 3, 3]  # three people, one, and one
        assert "left out 1: the picture cannot be read" in said.out
        assert "left out: " in said.err
        assert "p4_9.png is not a readable image" in said.err
        lines = [line.split() for line in said.out.splitlines()]
        assert ["all", "9", "3", "3", "15"] in lines
        assert ["happiness", *(str(((table.label == 1) & (table.split == s)).sum()) for s in SPLITS), "7"] in lines
        assert "5 people" in said.out
        assert f"a face found in {table.found.sum()} of 15" in said.out
        assert said.out.splitlines()[-1].startswith(f"wrote {pictures.parent / 't.parquet'} (")

    def test_leaves_no_temporary_files(self, pictures: Path):
        assert main(imported(pictures, "--label", "smirk=-")) == 0

        assert {path.name for path in pictures.parent.iterdir()} == {"pictures", "t.parquet"}

    def test_keeps_a_picture_of_two_splits_in_the_test(self, pictures: Path, capsys: pytest.CaptureFixture[str]):
        twin = pictures.parent / "twin"
        for split, person in (("train", 0), ("train", 1), ("test", 0)):
            (twin / split / "happy").mkdir(parents=True, exist_ok=True)
            shutil.copy(pictures / "happy" / f"p{person}_0.png", twin / split / "happy" / f"{person}.png")

        assert main(imported(twin)) == 0

        table = parquet.read(pictures.parent / "t.parquet")
        assert sorted(zip(table.split.tolist(), table.source.tolist(), strict=True)) == [
            (TEST, "test/happy/0.png"),
            (TRAIN, "train/happy/1.png"),
        ]
        said = capsys.readouterr().out
        assert "left out 1: the person or picture is also in the validation or test split" in said
        assert "there are no rows for validation" in said

    @pytest.mark.parametrize("split", SPLITS)
    def test_all_rows_can_be_put_in_one_split(self, pictures: Path, split: str):
        assert main(imported(pictures, "--split", split, "--label", "smirk=-")) == 0

        assert set(parquet.read(pictures.parent / "t.parquet").split.tolist()) == {split}

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--label", "smirk=joy"], "unknown label 'joy'; choose neutral"),
            (["--label", "smirk"], "give OLD=LABEL"),
            (["--label", "=fear"], "give OLD=LABEL"),
            (["--label", "a=fear", "--label", "a=anger"], "gives 'a' two labels, fear and anger"),
            (["--subject-pattern", "("], "'(' is not a regular expression"),
            (["--subject-pattern", "x(.)"], "finds nothing in"),
            (["--subject-pattern", ".", "--subject", "ann"], "not allowed with"),
            (["--split", "exam"], "invalid choice: 'exam'"),
            (["--workers", "0"], "'0' is not a number of at least 1"),
            (["--workers", "many"], "'many' is not a number of at least 1"),
            (["--cluster", "tcp://x:1"], "not allowed with"),
            (["--ferplus", "x.csv"], "takes no --ferplus"),
        ],
    )
    def test_wrong_usage_is_64(self, pictures: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str):
        assert main(imported(pictures, *more)) == os.EX_USAGE
        assert message in complaint(capsys)
        assert not (pictures.parent / "t.parquet").exists()

    def test_a_bad_address_exits_with_64_and_a_dead_scheduler_with_69(
        self, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ):
        from host_training.data import cluster

        monkeypatch.setattr(cluster, "WAIT_S", 1)
        words = [word for word in imported(pictures, "--label", "smirk=-") if word not in ("--workers", "1")]

        assert main([*words, "--cluster", "localhost"]) == os.EX_USAGE
        assert "is not an address" in capsys.readouterr().err.splitlines()[-1]
        pytest.importorskip("distributed", reason="needs Dask: pip install 'dask[distributed]'")
        assert main([*words, "--cluster", "tcp://127.0.0.1:9"]) == os.EX_UNAVAILABLE
        assert "no Dask scheduler answers" in capsys.readouterr().err.splitlines()[-1]

    def test_missing_mesh_models_are_78(self, pictures: Path, capsys: pytest.CaptureFixture[str]):
        assert main(imported(pictures, "--mesh", str(pictures), "--label", "smirk=-")) == os.EX_CONFIG
        assert "emotion-edge model fetch" in complaint(capsys)

    def test_a_missing_data_set_is_66(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        assert main(["import", "fer2013", str(tmp_path / "no.csv"), "--out", str(tmp_path / "t")]) == os.EX_NOINPUT
        assert "no.csv" in complaint(capsys)

    @pytest.mark.parametrize("name", ["file/t.parquet", "folder"])
    def test_a_table_that_cannot_be_written_is_73_before_anything_is_read(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
    ):
        (tmp_path / "file").write_text("")
        (tmp_path / "folder").mkdir()

        assert main(["import", "fer2013", "none.npz", "--out", str(tmp_path / name)]) == os.EX_CANTCREAT
        assert "cannot be written" in complaint(capsys)

    def test_the_help_names_every_data_set_with_its_summary_and_an_example(self, capsys: pytest.CaptureFixture[str]):
        with pytest.raises(SystemExit):
            main(["import", "--help"])

        said = capsys.readouterr().out
        for name, importer in IMPORTERS.items():
            assert f"{name} " in said
            assert importer.SUMMARY in said
        assert "example: emotion-train import fer2013" in said
        assert "same absolute path" in said

    def test_resumes_after_ctrl_c(self, pictures: Path, portrait: NDArray[np.uint8]):
        for number in range(250):
            turned = np.roll(portrait, (number // 30, number % 30), axis=(0, 1))
            cv2.imwrite(str(pictures / "sad" / f"x{number:03}.png"), turned)
        out = pictures.parent / "t.parquet"
        words = [sys.executable, "-m", "host_training", *imported(pictures, "--label", "smirk=-", "--workers", "2")]
        run = subprocess.Popen(
            words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        parts = out.with_name(f".{out.name}.parts")
        until = time.monotonic() + 60
        while len(list(parts.glob("*.npz"))) < 2 and time.monotonic() < until:
            time.sleep(0.05)

        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to the workers too
        _, said = run.communicate(timeout=60)

        assert run.returncode == 130
        assert said.splitlines()[-1] == "stopped; the same command resumes here"
        assert "Traceback" not in said
        done = len(list(parts.glob("*.npz")))
        again = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        assert f"{64 * done}/" in again.stderr
        assert len(parquet.read(out)) == 250 + 12


@pytest.fixture
def pair(tmp_path: Path, table: Table, changed: Callable[..., Table]):
    """Two tables of ten rows: the last of the first is a training row, and the picture of a test row of the second."""
    first = take(changed(data_set=np.full(len(table), "a")), np.arange(10))
    second = take(changed(data_set=np.full(len(table), "b")), np.arange(200, 210))
    first.group[9] = second.group[0]
    second.split[:] = np.array([TEST] * 4 + [VALIDATION] * 6)
    parquet.write(first, tmp_path / "a.parquet")
    parquet.write(second, tmp_path / "b.parquet")
    return [str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]


class TestCombine:
    def test_merges_all_rows_and_keeps_the_test_rows(
        self, pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        assert main(["merge", *pair, "--out", str(tmp_path / "all.parquet")]) == 0

        table = parquet.read(tmp_path / "all.parquet")
        one, other = (parquet.read(Path(path)) for path in pair)
        assert table.ids.tolist() == one.ids.tolist()[:9] + other.ids.tolist()
        np.testing.assert_array_equal(table.landmarks[:9], one.landmarks[:9])
        np.testing.assert_array_equal(table.landmarks[9:], other.landmarks)
        said = capsys.readouterr().out
        assert "left out 1: the person or picture" in said
        lines = [line.split() for line in said.splitlines()]
        assert ["train", "validation", "test", "all"] in lines
        assert ["a", "9", "0", "0", "9"] in lines
        assert ["b", "0", "6", "4", "10"] in lines
        assert ["all", "9", "6", "4", "19"] in lines

    def test_names_a_row_that_two_tables_have(
        self, pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        again = str(tmp_path / "again.parquet")
        parquet.write(take(parquet.read(Path(pair[0])), np.array([3, 4])), Path(again))

        assert main(["merge", *pair, again, "--out", str(tmp_path / "all.parquet")]) == os.EX_DATAERR
        assert f"{again}: a/3 is also in {pair[0]}" in complaint(capsys)
        assert not (tmp_path / "all.parquet").exists()

    def test_rows_of_two_people_with_the_same_names_are_told_apart(
        self, table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        some = dataclasses.replace(take(table, np.arange(4)), split=np.full(4, TRAIN))
        people = {"anna": (10, "anna"), "ben": (20, "ben"), "cora": (10, "cora")}
        for name, (group, subject) in people.items():
            mine = dataclasses.replace(some, group=np.arange(4) + group, subject=np.full(4, subject))
            parquet.write(mine, tmp_path / f"{name}.parquet")
        paths = [str(tmp_path / f"{name}.parquet") for name in people]

        assert main(["merge", *paths[:2], "--out", str(tmp_path / "two.parquet")]) == 0
        assert main(["merge", str(tmp_path / "two.parquet"), paths[2], "--out", str(tmp_path / "all.parquet")]) == 0

        ids, merged = some.ids.tolist(), parquet.read(tmp_path / "all.parquet")
        assert merged.ids.tolist() == [f"{each}{number}" for number in ("", "#2", "#3") for each in ids]
        assert merged.subject.tolist() == [name for name in people for _ in ids]
        assert "told apart 4 rows" in capsys.readouterr().out
        assert main(["merge", str(tmp_path / "all.parquet"), paths[1], "--out", str(tmp_path / "t")]) == os.EX_DATAERR
        assert f"{ids[0]} is also in {tmp_path / 'all.parquet'}" in complaint(capsys)

    def test_the_combination_of_one_table_is_that_table(self, pair: list[str], tmp_path: Path):
        assert main(["merge", pair[0], "--out", str(tmp_path / "same.parquet")]) == 0

        assert (tmp_path / "same.parquet").read_bytes() == Path(pair[0]).read_bytes()

    def test_one_of_them_can_be_replaced(self, pair: list[str]):
        assert main(["merge", *pair, "--out", pair[0]]) == 0

        assert len(parquet.read(Path(pair[0]))) == 19

    def test_applies_decisions_about_a_table(self, pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        (tmp_path / "a.decisions.csv").write_text("id,action,detail,reason\na/2,drop,,a cartoon\n")

        assert main(["merge", *pair, "--out", str(tmp_path / "all.parquet")]) == 0

        assert "a/2" not in parquet.read(tmp_path / "all.parquet").ids
        assert "a.decisions.csv" in capsys.readouterr().out

    def test_copies_of_one_photo_stay_known_and_pictures_too(self, pair: list[str], tmp_path: Path):
        (tmp_path / "a.decisions.csv").write_text(
            "id,action,detail,reason\na/2,same-as,a/5,decided: one photo\na/2,same-as,a/7,\na/3,drop,,\n"
        )

        for _ in range(2):
            assert main(["merge", *pair, "--out", str(tmp_path / "all.parquet")]) == 0

        merged, whole = parquet.read(tmp_path / "all.parquet"), parquet.read(Path(pair[0]))
        group_of = dict(zip(whole.ids.tolist(), whole.group.tolist(), strict=True))
        groups = dict(zip(merged.ids.tolist(), merged.group.tolist(), strict=True))
        assert {name: group for name, group in groups.items() if name in group_of}.items() <= group_of.items()
        joined, notes = tables.load(tmp_path / "all.parquet")
        together = joined.group[np.isin(joined.ids, ["a/2", "a/5", "a/7"])]
        assert len(set(together.tolist())) == 1
        assert notes == ["all.decisions.csv: 2 rows: now with the rows of the same photo"]

    def test_a_missing_table_is_66(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        assert main(["merge", str(tmp_path / "no.parquet"), "--out", str(tmp_path / "t")]) == os.EX_NOINPUT
        assert "no.parquet" in complaint(capsys)


@pytest.fixture
def exported(tmp_path: Path, table: Table) -> tuple[Table, Callable[[str], Path]]:
    """A table with a bit of everything, and what writes it as another kind of file."""
    some = take(table, np.array([0, 5, 191, 383]))  # no face was found in the third and the last
    some = dataclasses.replace(
        some, subject=np.array(["ann, the first", "", 'b"ob', ""]), label=np.array([0, -1, 7, 1], np.int8)
    )
    parquet.write(some, tmp_path / "t.parquet")

    def export(name: str) -> Path:
        assert main(["export", str(tmp_path / "t.parquet"), "--out", str(tmp_path / name)]) == 0
        return tmp_path / name

    return parquet.read(tmp_path / "t.parquet"), export


class TestExport:
    def test_exports_csv_in_px_with_empty_cells_for_unknown_values(self, exported: tuple[Table, Callable[[str], Path]]):
        table, export = exported
        with export("plain.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))

        assert list(rows[0])[-4:] == ["z476", "x477", "y477", "z477"]
        for column in ("data_set", "source", "split", "subject", "mesh"):
            assert [row[column] for row in rows] == getattr(table, column).tolist()
        assert [row["label"] for row in rows] == ["neutral", "", "contempt", "happiness"]
        assert [int(row["group"]) for row in rows] == table.group.tolist()
        assert [[int(row[f"votes_{name}"]) for name in VOTE_COLUMNS] for row in rows] == table.votes.tolist()
        assert [row["found"] for row in rows] == ["true", "true", "false", "false"]
        for number in (0, 17, 477):
            for axis, letter in enumerate("xyz"):
                read = float(rows[1][f"{letter}{number}"])
                assert read == pytest.approx(table.landmarks[1, number, axis], abs=0.0006)
                assert rows[2][f"{letter}{number}"] == ""
        assert rows[2]["brightness"] == ""
        assert float(rows[0]["brightness"]) == pytest.approx(table.brightness[0])

    def test_exports_no_more_digits_than_are_exact(self, exported: tuple[Table, Callable[[str], Path]]):
        _, export = exported
        with export("plain.csv").open(newline="", encoding="utf-8") as file:
            row = next(csv.DictReader(file))

        assert all(len(row[f"x{number}"].partition(".")[2]) <= 3 for number in range(478))

    def test_a_parquet_file_has_the_same_columns(self, exported: tuple[Table, Callable[[str], Path]]):
        table, export = exported
        data = pq.read_table(export("plain.parquet"))

        with export("plain.csv").open(newline="", encoding="utf-8") as file:
            assert data.schema.names == next(csv.reader(file))
        np.testing.assert_array_equal(data["y477"].to_numpy(), table.landmarks[:, 477, 1])
        assert data["x3"].null_count == 2
        assert data["label"].to_pylist() == ["neutral", None, "contempt", "happiness"]

    def test_an_npz_file_has_arrays(self, exported: tuple[Table, Callable[[str], Path]]):
        table, export = exported
        with np.load(export("plain.npz"), allow_pickle=False) as data:
            np.testing.assert_array_equal(data["landmarks"], table.landmarks)
            np.testing.assert_array_equal(data["votes"], table.votes)
            assert data["votes_columns"].tolist() == list(VOTE_COLUMNS)
            assert data["label"].tolist() == ["neutral", "", "contempt", "happiness"]
            assert data["source"].tolist() == table.source.tolist()

    def test_a_large_table_is_written_in_portions(self, tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(plain_columns, "ROWS", 100)
        for kind in ("csv", "parquet"):
            plain_columns.write(table, tmp_path / f"t.{kind}")

        assert pq.read_table(tmp_path / "t.parquet")["source"].to_pylist() == table.source.tolist()
        lines = (tmp_path / "t.csv").read_text().splitlines()
        assert [line.split(",")[1].strip('"') for line in lines] == ["source", *table.source.tolist()]

    def test_another_kind_of_file_is_64(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        assert main(["export", "t.parquet", "--out", str(tmp_path / "t.xlsx")]) == os.EX_USAGE
        assert "the name must end in .parquet, .csv or .npz" in complaint(capsys)

    def test_a_place_that_cannot_be_written_is_73(
        self, tmp_path: Path, table: Table, capsys: pytest.CaptureFixture[str]
    ):
        parquet.write(table, tmp_path / "t.parquet")

        arguments = ["export", str(tmp_path / "t.parquet"), "--out", str(tmp_path / "t.parquet" / "x.csv")]
        assert main(arguments) == os.EX_CANTCREAT
        assert "cannot be written" in complaint(capsys)


@pytest.mark.parametrize("command", ["import", "merge", "export"])
def test_every_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main([command, "--help"])

    assert f"example: emotion-train {command} " in capsys.readouterr().out
