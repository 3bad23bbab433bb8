from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import edge
from edge.errors import DataError, OutputError, UnavailableError
from host_training.collecting.journal import Journal
from host_training.collecting.samples import Sample, Take

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(edge.__file__).parents[1]
ONE, TWO = Take("anna", "monday", 1, 0), Take("anna", "monday", 2, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".mine.parquet.journal"


def sample(faces: NDArray[np.float32], take: Take, frame: int) -> Sample:
    return Sample(take, frame, -(2**62) + frame, 0.875, 0.5, 0.25, faces[frame])


def written(path: Path, faces: NDArray[np.float32], *takes: Take) -> None:
    with Journal(path) as journal:
        for frame, take in enumerate(takes):
            journal.add(sample(faces, take, frame))


def frames(path: Path) -> list[int]:
    with Journal(path) as journal:
        return [sample.frame for sample in journal.samples]


def test_what_was_added_is_read_as_it_was(path: Path, faces: NDArray[np.float32]):
    written(path, faces, ONE, ONE, TWO)

    with Journal(path) as journal:
        assert [(s.take, s.frame, s.group) for s in journal.samples] == [
            (ONE, 0, -(2**62)),
            (ONE, 1, -(2**62) + 1),
            (TWO, 2, -(2**62) + 2),
        ]
        assert [(s.presence, s.brightness, s.sharpness) for s in journal.samples] == [(0.875, 0.5, 0.25)] * 3
        np.testing.assert_array_equal([s.landmarks for s in journal.samples], faces[:3])
        assert journal.damaged == 0


def test_a_take_that_was_undone_is_gone_and_its_number_may_come_again(path: Path, faces: NDArray[np.float32]):
    written(path, faces, ONE, TWO, ONE)
    with Journal(path) as journal:
        journal.undo(ONE)
        journal.add(sample(faces, ONE, 5))

    assert frames(path) == [1, 5]


def test_whatever_a_crash_leaves_of_the_last_row_those_before_are_read_and_more_can_come(
    path: Path, faces: NDArray[np.float32]
):
    written(path, faces, ONE, ONE)
    two = path.stat().st_size
    with Journal(path) as journal:
        journal.add(sample(faces, ONE, 2))
    whole = path.read_bytes()
    for size in range(two, len(whole), 97):
        path.write_bytes(whole[:size])
        with Journal(path) as journal:
            assert [s.frame for s in journal.samples] == [0, 1]
            assert journal.damaged == size - two
            journal.add(sample(faces, ONE, 3))
        assert frames(path) == [0, 1, 3]


def test_a_byte_that_went_wrong_costs_one_row_and_is_told(path: Path, faces: NDArray[np.float32]):
    written(path, faces, ONE, ONE, ONE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)

    with Journal(path) as journal:
        assert [s.frame for s in journal.samples] == [0, 2]
        assert journal.damaged > 1000


@pytest.mark.parametrize("tail", [b"\x00" * 4096, b"\xff" * 4096, os.urandom(64), b"\x10\x00\x00\x00"])
def test_rubbish_at_the_end_is_left_out(path: Path, faces: NDArray[np.float32], tail: bytes):
    written(path, faces, ONE)
    with path.open("ab") as file:
        file.write(tail)

    assert frames(path) == [0]
    assert frames(path) == [0]


@pytest.mark.parametrize("size", [0, 1, 40])
def test_of_a_header_in_the_making_nothing_is_lost(path: Path, faces: NDArray[np.float32], size: int):
    written(path, faces, ONE)
    path.write_bytes(path.read_bytes()[:size])

    assert frames(path) == []
    written(path, faces, ONE)
    assert frames(path) == [0]


@pytest.mark.parametrize("text", ["hello\n", "{}\n", "[1]\n", "null\n", "hello"])
def test_another_file_in_its_place_is_left_alone(path: Path, text: str):
    path.write_text(text)

    with pytest.raises(DataError, match="no journal"):
        Journal(path)
    assert path.read_text() == text


def test_a_journal_of_another_mesh_is_left_alone(path: Path, faces: NDArray[np.float32]):
    written(path, faces, ONE)
    head, _, rest = path.read_bytes().partition(b"\n")
    path.write_bytes(json.dumps({**json.loads(head), "mesh": "0" * 64}).encode() + b"\n" + rest)

    with pytest.raises(DataError, match="another version"):
        Journal(path)


def test_only_one_program_at_a_time_has_it(path: Path, faces: NDArray[np.float32]):
    with Journal(path), pytest.raises(UnavailableError, match="another program collects into the same table"):
        Journal(path)
    written(path, faces, ONE)
    assert frames(path) == [0]


def test_one_that_holds_nothing_is_not_left_behind(path: Path, faces: NDArray[np.float32]):
    written(path, faces)
    assert not path.exists()
    written(path, faces, ONE)
    with Journal(path) as journal:
        journal.clear()
        journal.add(sample(faces, TWO, 1))
    assert frames(path) == [1]
    with Journal(path) as journal:
        journal.clear()
    assert not path.exists()


def test_a_folder_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(OutputError, match="No such file"):
        Journal(tmp_path / "no" / "journal")


def test_a_kill_in_the_middle_costs_nothing_that_was_added(path: Path):
    script = f"""
import numpy as np
from pathlib import Path
from host_training.collecting.journal import Journal
from host_training.collecting.samples import Sample, Take
rng = np.random.default_rng(0)
journal = Journal(Path({str(path)!r}))
for frame in range(10**9):
    journal.add(Sample(Take("anna", "monday", 1, 0), frame, frame, .5, .5, .5, rng.normal(size=(478, 3)).astype("f")))
    print(frame, flush=True)
"""
    run = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    for line in run.stdout:
        if int(line) == 20:
            run.send_signal(signal.SIGKILL)
            break
    told = [20, *map(int, run.stdout.read().split())]
    run.wait()
    run.stdout.close()

    assert frames(path)[: told[-1] + 1] == list(range(told[-1] + 1))
