from __future__ import annotations

import json
import os
import shutil
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.bundle import bundle as bundles
from edge.camera.images import read_image
from edge.errors import ConfigError
from edge.face_mesh import models, open_face_mesh
from edge.settings import MeshSettings
from host_training.cli import main
from host_training.data import parquet
from host_training.data.labels import LABELS
from host_training.evaluation.engines import float_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from host_training.data.keypoints import Table

PORTRAIT = resources.files("edge").joinpath("camera/demo/assets/demo-portrait.jpg")
BACKDROP = resources.files("edge").joinpath("camera/demo/assets/demo-backdrop.png")


@pytest.fixture
def pictures(tmp_path: Path):
    """A portrait, and a picture without a face, in folders named after expressions."""
    try:
        models.find([models.cache_folder()])
    except ConfigError as error:
        pytest.fail(f"{error} (make test does it)")
    for folder, picture in (("happy", PORTRAIT), ("neutral", BACKDROP)):
        (tmp_path / "pictures" / folder).mkdir(parents=True)
        (tmp_path / "pictures" / folder / picture.name).write_bytes(picture.read_bytes())
    return tmp_path / "pictures"


@pytest.fixture
def evaluated(bundle_folder: Path, capsys: pytest.CaptureFixture[str]):
    """What `emotion-train evaluate --json` prints about the bundle."""

    def run(data: Path, *options: str):
        assert main(["evaluate", "--bundle", str(bundle_folder), "--data", str(data), "--json", *options]) == 0
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def refused(bundle_folder: Path, capsys: pytest.CaptureFixture[str]):
    """The exit status of a command that fails, and its complaint, which must be one line."""

    def run(data: Path, *options: str, bundle: Path = bundle_folder):
        status = main(["evaluate", "--bundle", str(bundle), "--data", str(data), *options])
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("emotion-train: ")]
        assert len(said) == 1
        return status, said[0]

    return run


# A table


def test_evaluates_the_test_rows_of_a_table(evaluated: Callable, table_path: Path, table: Table):
    figures = evaluated(table_path)

    assert figures["split"] == "test"
    assert figures["rows"] == (table.split == "test").sum()
    assert figures["accuracy"] > 0.5
    assert [engine["name"].split()[0] for engine in figures["engines"]] == ["float", "int8,", "int8,"]


def test_options_select_rows_and_labels(evaluated: Callable, table_path: Path):
    figures = evaluated(table_path, "--split", "validation", "--labels", "fear,anger", "--truth", "label")

    assert (figures["split"], figures["labels"], figures["truth"]) == ("validation", ["anger", "fear"], "label")


def test_prints_a_readable_table(bundle_folder: Path, table_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["evaluate", "--bundle", str(bundle_folder), "--data", str(table_path)]) == 0

    page = capsys.readouterr().out
    assert page.startswith("test: 96 rows, a face found in 98.96%; truth: people's votes")
    assert all(name in page for name in (*LABELS, "macro-F1", "coverage", "TensorFlow's interpreter"))


def test_evaluates_without_the_float_network_and_says_so(
    bundle_folder: Path, table_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.copytree(bundle_folder, tmp_path / "alone")

    assert main(["evaluate", "--bundle", str(tmp_path / "alone"), "--data", str(table_path), "--json"]) == 0

    said = capsys.readouterr()
    assert json.loads(said.out)["engines"] is None
    assert f"not compared with the float network: {float_path(tmp_path / 'alone')}: cannot be read" in said.err


# A folder


def test_evaluates_all_pictures_of_a_folder(evaluated: Callable, pictures: Path):
    figures = evaluated(pictures)

    assert (figures["rows"], figures["found"]) == (2, 1)
    assert figures["confusion"][LABELS.index("neutral")][-1] == 1
    assert figures["support"] == {name: int(name in ("neutral", "happiness")) for name in LABELS}
    assert figures["slices"]["size"][0]["rows"] == 1
    assert figures["accuracy_interval"] == [0, 1]


def test_reports_what_it_leaves_out_of_a_folder(
    bundle_folder: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
):
    shutil.copytree(pictures / "happy", pictures / "holiday")

    assert main(["evaluate", "--bundle", str(bundle_folder), "--data", str(pictures)]) == 0

    said = capsys.readouterr()
    assert "left out 1 pictures: the folder 'holiday' is not a known expression" in said.err
    assert said.out.startswith("test: 2 rows")


def test_maps_folder_names_to_labels(evaluated: Callable, pictures: Path):
    (pictures / "happy").rename(pictures / "holiday")

    figures = evaluated(pictures, "--label", "holiday=surprise", "--label", "neutral=-")

    assert (figures["rows"], figures["support"]["surprise"]) == (1, 1)


def test_evaluates_crops_of_a_folder_as_a_device_would(
    crop_folder: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
):
    (pictures / "happy" / "too").mkdir()
    shutil.copy(pictures / "happy" / PORTRAIT.name, pictures / "happy" / "too")

    assert main(["evaluate", "--bundle", str(crop_folder), "--data", str(pictures), "--json"]) == 0

    figures = json.loads(capsys.readouterr().out)
    (row,) = (row for row in figures["confusion"] if sum(row) == 2)
    rgb = read_image(pictures / "happy" / PORTRAIT.name)
    mesh = open_face_mesh(MeshSettings(max_faces=1), models.find([models.cache_folder()]))
    (reading,) = bundles.load(crop_folder).classifier.read(mesh.still(rgb), rgb)
    assert (figures["rows"], figures["found"]) == (3, 2)
    assert row[reading.probabilities.argmax(axis=None)] == 2


def test_evaluates_crops_where_no_face_is_found(crop_folder: Path, pictures: Path, capsys: pytest.CaptureFixture[str]):
    shutil.rmtree(pictures / "happy")

    assert main(["evaluate", "--bundle", str(crop_folder), "--data", str(pictures), "--json"]) == 0

    figures = json.loads(capsys.readouterr().out)
    assert (figures["rows"], figures["found"], figures["accuracy"]) == (1, 0, 0)


# Bad input


def test_a_missing_bundle_is_78(refused: Callable, table_path: Path, tmp_path: Path):
    status, said = refused(table_path, bundle=tmp_path / "none")

    assert status == os.EX_CONFIG
    assert "manifest.json cannot be read" in said


def test_missing_data_are_66(refused: Callable, tmp_path: Path):
    status, said = refused(tmp_path / "none.parquet")

    assert status == os.EX_NOINPUT
    assert "none.parquet: No such file" in said


def test_a_file_that_is_no_table_is_65(refused: Callable, tmp_path: Path):
    (tmp_path / "holiday.jpg").write_bytes(PORTRAIT.read_bytes())

    assert refused(tmp_path / "holiday.jpg")[0] == os.EX_DATAERR


def test_an_empty_split_exits_with_65_and_names_the_others(
    refused: Callable, tmp_path: Path, changed: Callable[..., Table], table: Table
):
    parquet.write(changed(split=np.full(len(table), "train")), tmp_path / "train.parquet")

    status, said = refused(tmp_path / "train.parquet")

    assert status == os.EX_DATAERR
    assert "rows of train have (--split)" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--labels", "neutral,joy"), "unknown label 'joy'; choose neutral, happiness"),
        (("--labels", "neutral"), "at least two labels"),
        (("--labels", ""), "unknown label ''"),
        (("--split", "dev"), "invalid choice: 'dev'"),
        (("--truth", "mine"), "invalid choice: 'mine'"),
    ],
)
def test_wrong_options_are_64(refused: Callable, table_path: Path, options: tuple[str, ...], message: str):
    status, said = refused(table_path, *options)

    assert status == os.EX_USAGE
    assert message in said


def test_a_folder_has_no_splits_to_choose_from(refused: Callable, pictures: Path):
    status, said = refused(pictures, "--split", "train")

    assert status == os.EX_USAGE
    assert "in a folder every picture counts" in said


@pytest.mark.parametrize("label", ["holiday", "=fear", "happy="])
def test_a_folder_name_needs_a_label(refused: Callable, pictures: Path, label: str):
    status, said = refused(pictures, "--label", label)

    assert status == os.EX_USAGE
    assert "give OLD=LABEL" in said


def test_a_folder_name_has_only_one_label(refused: Callable, pictures: Path):
    status, said = refused(pictures, "--label", "a=fear", "--label", "a=anger")

    assert status == os.EX_USAGE
    assert "gives 'a' two labels, fear and anger" in said


def test_a_table_has_its_labels(refused: Callable, table_path: Path):
    status, said = refused(table_path, "--label", "holiday=fear")

    assert status == os.EX_USAGE
    assert "--label is for folders" in said


def test_a_folder_whose_pictures_have_no_label_is_65(refused: Callable, tmp_path: Path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "me.jpg").write_bytes(PORTRAIT.read_bytes())

    assert refused(tmp_path / "pictures")[0] == os.EX_DATAERR


def test_an_empty_folder_is_65(refused: Callable, tmp_path: Path):
    (tmp_path / "pictures").mkdir()

    assert refused(tmp_path / "pictures")[0] == os.EX_DATAERR


def test_the_help_has_an_example(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])

    assert "example: emotion-train evaluate --bundle model/fused --data" in capsys.readouterr().out
