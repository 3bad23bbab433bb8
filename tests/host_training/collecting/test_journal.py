from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import edge
from edge.errors import DataError, OutputError, UnavailableError
from host_training.collecting.journal import Journal
from host_training.collecting.samples import Sample, Take
from tests.support.people import files_of, kill, small_disk

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
        return [sample.frame for sample in journal.samples()]


def test_reads_back_what_was_added(path: Path, faces: NDArray[np.float32]):
    written(path, faces, ONE, ONE, TWO)

    with Journal(path) as journal:
        samples = journal.samples()
        assert [(s.take, s.frame, s.group) for s in samples] == [
            (ONE, 0, -(2**62)),
            (ONE, 1, -(2**62) + 1),
            (TWO, 2, -(2**62) + 2),
        ]
        assert [(s.presence, s.brightness, s.sharpness) for s in samples] == [(0.875, 0.5, 0.25)] * 3
        np.testing.assert_array_equal([s.landmarks for s in samples], faces[:3])
        assert journal.damaged == 0


def test_undo_removes_a_take_and_frees_its_number(path: Path, faces: NDArray[np.float32]):
    written(path, faces, ONE, TWO, ONE)
    with Journal(path) as journal:
        journal.undo(ONE)
        journal.add(sample(faces, ONE, 5))

    assert frames(path) == [1, 5]


def test_a_torn_last_row_loses_no_earlier_row(path: Path, faces: NDArray[np.float32]):
    log = path.with_name(f"{path.name}-wal")
    journal = Journal(path)
    journal.add(sample(faces, ONE, 0))
    journal.add(sample(faces, ONE, 1))
    two = log.stat().st_size
    journal.add(sample(faces, ONE, 2))
    kill(journal)
    database, whole = path.read_bytes(), log.read_bytes()
    for tail in (*(whole[two:size] for size in range(two, len(whole), 397)), bytes(4096), os.urandom(4096)):
        path.write_bytes(database)
        log.write_bytes(whole[:two] + tail)
        with Journal(path) as journal:
            assert [s.frame for s in journal.samples()] == [0, 1]
            journal.add(sample(faces, ONE, 3))
        assert frames(path) == [0, 1, 3]


def test_a_corrupt_byte_costs_one_row_and_is_reported(path: Path, faces: NDArray[np.float32]):
    written(path, faces, ONE, ONE, ONE)
    data = bytearray(path.read_bytes())
    middle = data.index(zlib.compress(faces[1].tobytes(), level=1)[:100]) + 50
    data[middle] ^= 0xFF
    path.write_bytes(data)

    with Journal(path) as journal:
        assert [s.frame for s in journal.samples()] == [0, 2]
        assert journal.damaged == 1


def test_reports_a_damaged_database_and_keeps_it(path: Path, faces: NDArray[np.float32]):
    written(path, faces, *[ONE] * 16)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])

    with pytest.raises(DataError, match=r"is damaged; move it away, or try `sqlite3 .*\.journal \.recover`") as error:
        frames(path)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == data[: len(data) // 2]


LAUNCHER = """
import os, signal, sys
from pathlib import Path
from host_training.collecting.journal import Journal

do = Journal._do
left = int(sys.argv[2])

def counted(self, *arguments):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return do(self, *arguments)

Journal._do = counted
Journal(Path(sys.argv[1]))
"""
"""Begins a journal, and is killed after so many statements."""


@pytest.mark.parametrize("statements", range(9))
def test_a_journal_in_the_making_is_not_in_the_way(path: Path, faces: NDArray[np.float32], statements: int):
    done = subprocess.run([sys.executable, "-c", LAUNCHER, path, str(statements)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL

    assert frames(path) == []
    written(path, faces, ONE)
    assert frames(path) == [0]


@pytest.mark.parametrize("text", ["hello\n", "{}\n", "[1]\n", "null\n", "hello"])
def test_another_file_in_its_place_is_left_alone(path: Path, text: str):
    path.write_text(text)

    with pytest.raises(DataError, match="not a journal"):
        Journal(path)
    assert path.read_text() == text


def test_another_database_in_its_place_is_left_alone(path: Path):
    change(path, "CREATE TABLE precious (things)")
    before = path.read_bytes()

    with pytest.raises(DataError, match="not a journal"):
        Journal(path)
    assert files_of(path) == [path]
    assert path.read_bytes() == before


def test_a_journal_of_another_mesh_is_left_alone(path: Path, faces: NDArray[np.float32]):
    written(path, faces, ONE)
    change(path, "UPDATE made_with SET mesh = 'another'")

    with pytest.raises(DataError, match="another version"):
        Journal(path)


def change(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


def test_only_one_program_at_a_time_has_it(path: Path, faces: NDArray[np.float32]):
    open_it: list[str | Path] = [sys.executable, "-c", LAUNCHER, path, "1000"]
    with Journal(path) as journal:
        with pytest.raises(UnavailableError, match="another program collects into the same table"):
            Journal(path)
        other = subprocess.run(open_it, cwd=ROOT, capture_output=True, text=True, check=False)
        assert "UnavailableError" in other.stderr
        journal.add(sample(faces, ONE, 0))
    assert frames(path) == [0]


MANY = """
import sys
from pathlib import Path
import numpy as np
from edge.errors import UnavailableError
from host_training.collecting.journal import Journal
from host_training.collecting.samples import Sample, Take

first, path = int(sys.argv[1]), Path(sys.argv[2])
landmarks = np.zeros((478, 3), "f")
frame = first
while frame < first + 40:
    try:
        with Journal(path) as journal:
            journal.add(Sample(Take("anna", "monday", first, 0), frame, frame, .5, .5, .5, landmarks))
            frame += 1
            if frame % 3 == 0:
                print(*(sample.frame for sample in journal.samples()))
                journal.clear()
    except UnavailableError:
        pass
"""
"""Adds rows, one each time it gets hold of the journal; prints those that it takes out of it."""


def test_programs_that_fight_for_it_lose_no_row(path: Path):
    command = [sys.executable, "-c", MANY]
    runs = [
        subprocess.Popen([*command, str(first), path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for first in (1000, 2000)
    ]
    taken = [int(word) for run in runs for word in run.communicate()[0].split()]

    assert [run.returncode for run in runs] == [0, 0]
    assert sorted(taken + frames(path)) == [*range(1000, 1040), *range(2000, 2040)]


def test_removes_an_empty_journal(path: Path, faces: NDArray[np.float32]):
    written(path, faces)
    assert not path.exists()
    written(path, faces, ONE)
    with Journal(path) as journal:
        journal.clear()
        journal.add(sample(faces, TWO, 1))
    assert frames(path) == [1]
    with Journal(path) as journal:
        journal.clear()
    assert files_of(path) == []


def test_removes_an_empty_journal_on_a_full_disk(tmp_path: Path, faces: NDArray[np.float32]):
    with small_disk(tmp_path / "disk", "1M") as disk:
        with Journal(disk / "journal") as journal:
            for frame in range(16):
                journal.add(sample(faces, ONE, frame))
            (disk / "rest").write_bytes(bytes(shutil.disk_usage(disk).free - 40_000))
            journal.clear()
        assert list(disk.iterdir()) == [disk / "rest"]


def test_reports_a_missing_folder(tmp_path: Path):
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
