"""State that lasts over restarts: readable by the device only, and only with a folder from systemd."""

from __future__ import annotations

import logging
import os
import stat
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.bundle import bundle as bundles
from edge.classifier.baseline import Baseline
from edge.daemon import state_directory
from edge.errors import OutputError
from tests.support.released import LANDMARK_BUNDLE

if TYPE_CHECKING:
    from pathlib import Path

FEATURES = bundles.load(LANDMARK_BUNDLE).features
with np.load(LANDMARK_BUNDLE / bundles.GOLDEN) as golden:
    FACES = golden["landmarks"].astype(np.float32)
MEASURED = "2025-03-14T15:09:26.535Z"
WHOLE = Baseline(FACES[0], MEASURED).dump()


@pytest.fixture
def state(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    return tmp_path


def test_a_baseline_is_private_and_can_be_deleted(state, caplog):
    assert state_directory.load_baseline() is None
    old = os.umask(0)
    try:
        assert state_directory.save_baseline(Baseline.of(FACES, FEATURES, MEASURED))
    finally:
        os.umask(old)
    (file,) = state.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = state_directory.load_baseline()
    assert found is not None
    assert found.measured == MEASURED
    assert state_directory.save_baseline(None)
    assert state_directory.save_baseline(None), "it may be missing already"
    assert not list(state.iterdir())
    assert not caplog.records


def test_without_a_folder_nothing_is_saved(monkeypatch):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert not state_directory.save_baseline(Baseline(FACES[0]))
    assert state_directory.load_baseline() is None


def test_a_damaged_file_is_reported_once_and_not_touched(state, caplog):
    (state / state_directory.BASELINE).write_bytes(WHOLE[:-9])
    with caplog.at_level(logging.WARNING):
        assert state_directory.load_baseline() is None
    assert len(caplog.records) == 1
    assert str(state / state_directory.BASELINE) in caplog.text
    assert (state / state_directory.BASELINE).read_bytes() == WHOLE[:-9]


def test_a_failed_write_leaves_the_old_file(state, monkeypatch):
    state_directory.save_baseline(Baseline(FACES[0], MEASURED))
    monkeypatch.setenv("STATE_DIRECTORY", str(state / state_directory.BASELINE))  # not a folder
    with pytest.raises(OutputError, match=r"can't write to .* \(Not a directory\)"):
        state_directory.save_baseline(Baseline(FACES[1]))
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    assert state_directory.load_baseline() is not None


@pytest.mark.usefixtures("state")
def test_a_pause_is_saved_until_it_ends():
    assert not state_directory.load_paused()
    state_directory.save_paused(paused=True)
    assert state_directory.load_paused()
    state_directory.save_paused(paused=False)
    state_directory.save_paused(paused=False)
    assert not state_directory.load_paused()


def test_a_pause_that_cannot_be_saved_is_a_warning(state, monkeypatch, caplog):
    (state / "file").touch()
    monkeypatch.setenv("STATE_DIRECTORY", str(state / "file"))
    state_directory.save_paused(paused=True)
    assert "the pause won't outlast a restart" in caplog.text


def test_the_first_of_several_folders_is_used(state, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", f"{state}:/elsewhere")
    assert state_directory.path() == state
