"""`emotion-train crop` and `robustness`, as they are typed."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from host_training.cli import main
from host_training.data import crops, keypoints, parquet
from host_training.data.distortions import DISTORTIONS
from tests.support.portraits import FILE, mesh_models

ROOT = Path(__file__).parents[3]


def complaint(capsys):
    """What was said on stderr, which must be one line, below the progress."""
    said = capsys.readouterr().err.splitlines()
    assert [line.startswith("emotion-train: ") for line in said].count(True) == 1
    assert not any("Traceback" in line for line in said)
    return said[-1]


def measure(place):
    """Make the table. Its path is a whole one: the workers that measure may have been started elsewhere."""
    words = ["import", "folder", str(place / "photos"), "--split", "test", "--out", str(place / "mine.parquet")]
    assert main(words) == 0


@pytest.fixture
def place(tmp_path, capsys, monkeypatch):
    """A folder with two photos and a table of them; one person smiles, and of the other there is no face."""
    mesh_models()
    for label, name in (("happy", FILE), ("neutral", FILE.with_name("demo-backdrop.png"))):
        (tmp_path / "photos" / label).mkdir(parents=True)
        (tmp_path / "photos" / label / name.name).write_bytes(name.read_bytes())
    monkeypatch.chdir(tmp_path)
    measure(tmp_path)
    capsys.readouterr()
    return tmp_path


class TestFaces:
    def test_writes_a_store_and_reports_its_content(self, place, capsys):
        assert main(["crop", "--table", "mine.parquet", "--pictures", "folder:photos"]) == 0

        out = place / "build" / "mine.crops.npz"
        assert capsys.readouterr().out.startswith("wrote build/mine.crops.npz: 1 faces (0.0 MB)")
        assert crops.read(out, parquet.read(place / "mine.parquet")).held.tolist() == [True, False]

    def test_replaces_an_existing_store(self, place):
        (place / "my.crops.npz").write_text("old")

        assert main(["crop", "--table", "mine.parquet", "--pictures", "folder:photos", "--out", "my.crops.npz"]) == 0

        crops.read(place / "my.crops.npz", parquet.read(place / "mine.parquet"))

    def test_reports_faces_without_a_picture(self, place, capsys):
        other = place / "photos" / "happy" / "other.jpg"
        other.write_bytes(FILE.read_bytes())
        measure(place)
        other.unlink()

        assert main(["crop", "--table", "mine.parquet", "--pictures", "folder:photos"]) == 0

        assert "1 faces of the table have no picture in these data sets" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("options", "status", "words"),
        [
            (("--pictures", "folder:photos", "--out", "faces.npz"), os.EX_USAGE, "must end in .crops.npz, which git"),
            ((), os.EX_DATAERR, "no face of the table has a picture here"),
            (("--pictures", "photos"), os.EX_USAGE, "give a data set and its path"),
            (("--pictures", "folder:none"), os.EX_NOINPUT, "none: No such file"),
            (("--pictures", "folder:photos", "--table", "none.parquet"), os.EX_NOINPUT, "none.parquet: No such file"),
            (
                ("--pictures", "folder:photos", "--out", "mine.parquet/a.crops.npz"),
                os.EX_CANTCREAT,
                "cannot be written",
            ),
        ],
    )
    def test_reports_bad_options_in_one_line(self, place, capsys, options, status, words):
        assert main(["crop", "--table", "mine.parquet", *options]) == status

        assert words in complaint(capsys)
        assert not list(place.rglob("*.crops.npz"))

    def test_refuses_pictures_that_have_changed(self, place, capsys):
        picture = place / "photos" / "happy" / FILE.name
        picture.write_bytes(FILE.with_name("demo-backdrop.png").read_bytes())

        assert main(["crop", "--table", "mine.parquet", "--pictures", "folder:photos"]) == os.EX_DATAERR

        assert "not the picture that was measured" in complaint(capsys)


class TestRobustness:
    @pytest.fixture
    def robustness(self, place, bundle_folder):
        """Run the command on the photos."""
        assert (place / "mine.parquet").exists()
        words = ["robustness", "--bundle", str(bundle_folder), "--data", "mine.parquet"]
        return lambda *more: main([*words, *more])

    def test_figures_are_written_and_a_table_is_printed(self, robustness, place, capsys):
        assert robustness("--pictures", "folder:photos", "--out", "build/robustness.json") == 0

        document = json.loads((place / "build" / "robustness.json").read_text("utf-8"))
        page = capsys.readouterr().out
        assert document["rows"] == 2
        (figures,) = document["bundles"].values()
        assert figures["none"]["found"] == 0.5
        assert all(name in page for name in DISTORTIONS)

    def test_limits_the_number_of_rows(self, robustness, capsys):
        assert robustness("--pictures", "folder:photos", "--rows", "1") == 0

        assert capsys.readouterr().out.startswith("1 test pictures;")

    def test_the_range_is_written_beside_the_distortions(self, robustness, place, capsys):
        out = place / "robustness.json"
        shown = ("--pictures", "folder:photos", "--out", "robustness.json")
        assert robustness(*shown) == 0
        before = json.loads(out.read_text("utf-8"))
        assert "range" not in before

        assert robustness(*shown, "--part", "range", "--heights", "200,6", "--faces", "2", "--slowdown", "2") == 0

        after = json.loads(out.read_text("utf-8"))
        assert {name: value for name, value in after.items() if name != "range"} == before
        assert {each["face"] for each in after["range"]["conditions"]} == {6, 200}
        assert after["range"]["rows"] == 2
        assert "--part range --faces 2 --heights 200,6 --slowdown 2" in after["range"]["command"]
        assert "2 test faces in 2 scenes" in capsys.readouterr().out

        assert robustness(*shown) == 0
        assert json.loads(out.read_text("utf-8")) == after

    def test_both_parts_can_be_measured_at_once(self, robustness, place, capsys):
        every = ("--part", "all", "--heights", "200", "--faces", "1", "--rows", "1", "--out", "robustness.json")
        assert robustness("--pictures", "folder:photos", *every) == 0

        document = json.loads((place / "robustness.json").read_text("utf-8"))
        assert document["rows"] == document["range"]["rows"] == 1
        page = capsys.readouterr().out
        assert "1 test pictures;" in page
        assert "1 test faces in 2 scenes" in page

    @pytest.mark.parametrize("part", ["distortions", "range"])
    def test_the_rows_of_another_split_are_asked_for(self, robustness, part, capsys):
        assert robustness("--pictures", "folder:photos", "--split", "validation", "--part", part) == os.EX_DATAERR

        assert "no row of the validation split" in complaint(capsys)

    def test_scenes_with_a_face_are_refused(self, robustness, capsys):
        assert robustness("--pictures", "folder:photos", "--part", "range", "--scenes", "photos") == os.EX_DATAERR

        assert "has a face; scenes must have none" in complaint(capsys)

    @pytest.mark.parametrize(
        ("options", "status", "words"),
        [
            (("--pictures", "folder:photos", "--rows", "0"), os.EX_USAGE, "--rows: give 1 or more"),
            (("--pictures", "folder:photos", "--faces", "0"), os.EX_USAGE, "--faces: give 1 or more"),
            (("--pictures", "folder:photos", "--heights", "24,x"), os.EX_USAGE, "give whole px from 4 to 400"),
            (("--pictures", "folder:photos", "--heights", "3"), os.EX_USAGE, "give whole px from 4 to 400"),
            (("--pictures", "folder:photos", "--slowdown", "0.5"), os.EX_USAGE, "--slowdown: give 1 to 10"),
            (("--pictures", "folder:photos", "--slowdown", "nan"), os.EX_USAGE, "--slowdown: give 1 to 10"),
            (("--pictures", "folder:photos", "--split", "x"), os.EX_USAGE, "unknown split 'x'"),
            (
                ("--pictures", "folder:photos", "--part", "range", "--scenes", "none"),
                os.EX_NOINPUT,
                "none does not exist",
            ),
            ((), os.EX_DATAERR, "no labelled test row has a picture here"),
            (("--pictures", "folder:none"), os.EX_NOINPUT, "none: No such file"),
            (("--pictures", "folder:photos", "--bundle", "none"), os.EX_CONFIG, "model bundle none"),
            (("--pictures", "folder:photos", "--data", "none.parquet"), os.EX_NOINPUT, "none.parquet: No such file"),
            (("--pictures", "folder:photos", "--out", "photos"), os.EX_CANTCREAT, "it is a folder"),
        ],
    )
    def test_reports_bad_options_in_one_line(self, robustness, capsys, options, status, words):
        assert robustness(*options) == status

        assert words in complaint(capsys)


@pytest.mark.parametrize("command", ["crop", "robustness"])
def test_ctrl_c_leaves_no_half_file(command, place, bundle_folder):
    photos = place / "photos" / "happy"
    names = [f"happy/{number}.jpg" for number in range(2000)]
    for name in names:
        (place / "photos" / name).symlink_to(photos / FILE.name)
    table = parquet.read(place / "mine.parquet")
    many = keypoints.take(table, np.zeros(len(names), np.intp))
    parquet.write(dataclasses.replace(many, source=np.array(names)), place / "many.parquet")
    words = {
        "crop": ["--table", "many.parquet", "--out", "out.crops.npz"],
        "robustness": ["--bundle", str(bundle_folder), "--data", "many.parquet", "--out", "out.json"],
    }[command]
    before = sorted(place.iterdir())

    run = subprocess.Popen(
        [sys.executable, "-m", "host_training", command, *words, "--pictures", "folder:photos"],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    said = b""
    while not re.search(rb" [1-9]\d*/2000 ", said):
        said += os.read(run.stderr.fileno(), 1000) or pytest.fail(f"it ended before: {said!r}")
    run.send_signal(signal.SIGINT)
    said += run.communicate(timeout=60)[1]

    assert run.returncode == 130
    assert b"Traceback" not in said
    assert sorted(place.iterdir()) == before
