from __future__ import annotations

import os
import re
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import psutil
import pytest

import edge
from edge.errors import ConfigError, OutputError, UnavailableError
from edge.face_mesh.models import cache_folder, find
from host_training.data import extract, parts
from host_training.data.conditions import light
from host_training.data.extract import UNREADABLE, measure
from host_training.data.keypoints import MESH
from host_training.data.labels import LABELS, VOTE_COLUMNS
from host_training.data.parts import Parts
from host_training.data.source import ImageFile, Pixels, Row, Source, fingerprint
from host_training.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from edge.face_mesh.models import MeshModels
    from host_training.data.keypoints import Table

PORTRAIT = Path(edge.__file__).parent / "camera" / "demo" / "assets" / "demo-portrait.jpg"


@pytest.fixture(scope="module")
def models():
    try:
        return find([cache_folder()])
    except ConfigError as error:
        pytest.skip(f"needs the face mesh models: {error}")


@pytest.fixture(scope="module")
def portrait(models: MeshModels):
    """A square round the face of the picture that ships with the demo, uint8[S, S, 3]."""
    from edge.face_mesh import open_face_mesh
    from edge.settings import MeshSettings

    picture = np.asarray(cv2.cvtColor(cv2.imread(str(PORTRAIT)), cv2.COLOR_BGR2RGB), np.uint8)
    face = open_face_mesh(MeshSettings(max_faces=1), models).still(picture)[0]
    low, high = face.landmarks[:, :2].min(axis=0), face.landmarks[:, :2].max(axis=0)
    half = 0.6 * (high - low).max(axis=None)
    x0, y0 = np.maximum((low + high) / 2 - half, 0).astype(int)
    return picture[y0 : y0 + int(2 * half), x0 : x0 + int(2 * half)]


@pytest.fixture(scope="module")
def small(portrait: NDArray[np.uint8]):
    """The face in grey, uint8[48, 48]."""
    return cv2.cvtColor(cv2.resize(portrait, (48, 48), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)


@pytest.fixture(scope="module")
def source(small: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("pictures")
    cv2.imwrite(str(folder / "a.png"), small)
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:500])
    votes = (8, 2, *(0,) * (len(VOTE_COLUMNS) - 2))
    return Source(
        "tiny",
        [
            Row("0", Pixels(small), "happiness", votes, "ann", "train"),
            Row("black", Pixels(np.zeros_like(small))),
            Row("a.png", ImageFile(folder / "a.png"), "fear", subject="ann", split="train"),
            Row("b.png", ImageFile(folder / "b.png"), "fear"),
            Row("none.png", ImageFile(folder / "none.png"), "fear"),
            Row("colour", Pixels(np.repeat(small[..., np.newaxis], 3, axis=2)), "contempt"),
            Row("box", ImageFile(folder / "a.png", (-5, 0, 53, 48))),
            Row("beside", ImageFile(folder / "a.png", (60, 0, 10, 10))),
        ],
    )


@pytest.fixture(scope="module")
def measured(source: Source, models: MeshModels, tmp_path_factory: pytest.TempPathFactory):
    return measure(source, models, parts=tmp_path_factory.mktemp("parts"), workers=1)


@pytest.fixture
def rows(measured: tuple[Table, Counter[str]]) -> Table:
    return measured[0]


def test_a_face_of_48_px_is_found_and_a_black_picture_has_none(rows: Table):
    assert rows.found.tolist() == [True, False, True, True, True]
    assert rows.presence[0] > 0.5
    assert rows.presence[1] == 0
    assert np.isnan([rows.brightness[1], rows.sharpness[1]]).all()


def test_landmarks_are_in_pixels_of_the_small_picture(rows: Table):
    eyes, chin = rows.landmarks[0, [468, 473]], rows.landmarks[0, 152]

    assert ((rows.landmarks[0, :, :2] > -5) & (rows.landmarks[0, :, :2] < 53)).all()
    assert eyes[0, 0] < 24 < eyes[1, 0]
    assert eyes[:, 1].max(axis=None) < 24 < chin[1]


def test_rows_keep_their_order_and_what_the_source_says(rows: Table):
    assert rows.ids.tolist() == ["tiny/0", "tiny/black", "tiny/a.png", "tiny/colour", "tiny/box"]
    assert rows.subject.tolist() == ["ann", "", "ann", "", ""]
    assert rows.split.tolist() == ["train", "", "train", "", ""]
    assert [LABELS[index] if index >= 0 else None for index in rows.label] == [
        "happiness",
        None,
        "fear",
        "contempt",
        None,
    ]
    assert rows.votes[0].tolist() == [8, 2, *[0] * 8]
    assert set(rows.mesh.tolist()) == {MESH}


def test_a_picture_from_memory_a_file_in_colour_and_with_its_box_is_measured_alike(rows: Table):
    for row in (2, 3, 4):
        np.testing.assert_array_equal(rows.landmarks[row], rows.landmarks[0])
        assert rows.group[row] == rows.group[0]


def test_reports_unreadable_pictures(
    source: Source, models: MeshModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    _, dropped = measure(source, models, parts=tmp_path / "parts", workers=1)

    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out")]
    assert dropped == Counter({UNREADABLE: 3})
    assert ["b.png" in said[0], "none.png" in said[1], "lies outside" in said[2]] == [True] * 3


def test_a_data_set_of_which_nothing_can_be_read_is_refused(source: Source, models: MeshModels, tmp_path: Path):
    with pytest.raises(SourceError, match=r"no picture can be read .*b\.png is truncated"):
        measure(Source("tiny", source.rows[3:5]), models, parts=tmp_path / "parts", workers=1)


def test_names_that_no_table_can_hold_are_refused_before_the_work(source: Source, models: MeshModels, tmp_path: Path):
    twice = Source("tiny", [source.rows[0], source.rows[0]])
    odd = Source("tiny", [Row(os.fsdecode(b"caf\xe9.png"), source.rows[0].picture)])

    with pytest.raises(SourceError, match="'0' occurs twice"):
        measure(twice, models, parts=tmp_path / "parts")
    with pytest.raises(SourceError, match=r"'caf\\udce9.png': the name is not in UTF-8"):
        measure(odd, models, parts=tmp_path / "parts")
    assert not (tmp_path / "parts").exists()


def test_two_processes_measure_what_one_does(small: NDArray[np.uint8], models: MeshModels, tmp_path: Path):
    turned = [np.ascontiguousarray(np.roll(small, shift, axis=1)) for shift in range(5)]
    source = Source("tiny", [Row(str(n), Pixels(picture)) for n, picture in enumerate(turned)])

    one, _ = measure(source, models, parts=tmp_path / "one", workers=1)
    two, _ = measure(source, models, parts=tmp_path / "two", workers=2)

    np.testing.assert_array_equal(one.landmarks, two.landmarks)
    np.testing.assert_array_equal(one.group, two.group)


class TestFingerprint:
    def test_it_is_what_it_was(self):
        """Tables keep it: byte-equal pictures of two data sets, imported years apart, must have the same."""
        grey = np.arange(12, dtype=np.uint8).reshape(3, 4)

        assert fingerprint(np.repeat(grey[:, :, None], 3, axis=2)) == -2994896971030558176
        assert fingerprint(np.arange(36, dtype=np.uint8).reshape(3, 4, 3)) == -7141761117703517872

    def test_it_differs_with_one_pixel_and_with_the_shape(self):
        rgb = np.random.default_rng(0).integers(0, 255, (6, 4, 3), np.uint8)
        other = rgb.copy()
        other[5, 3, 2] += 1

        assert len({int(fingerprint(each)) for each in (rgb, other, rgb.reshape(4, 6, 3))}) == 3


class TestLight:
    def test_brightness_is_of_the_box_of_the_landmarks_alone(self):
        rgb = np.zeros((100, 100, 3), np.uint8)
        rgb[20:40, 30:70] = 51
        landmarks = np.array([[30, 20, 0], [70, 40, 9]], np.float32)

        assert light(rgb, landmarks) == pytest.approx((0.2, 0))

    def test_a_face_that_reaches_over_the_edge_is_judged_by_what_is_there(self):
        rgb = np.full((10, 10, 3), 255, np.uint8)

        assert light(rgb, np.array([[-3, -3, 0], [5, 5, 0]], np.float32))[0] == 1
        assert np.isnan(light(rgb, np.array([[20, 20, 0], [30, 30, 0]], np.float32))).all()

    def test_luminance_weighs_the_colours_as_the_eye_does(self):
        box = np.array([[0, 0, 0], [8, 8, 0]], np.float32)
        red, green, blue = (light(np.eye(3, dtype=np.uint8)[[[c] * 8] * 8] * 255, box)[0] for c in range(3))

        assert (red, green, blue) == pytest.approx((0.3, 0.59, 0.11), abs=0.01)

    def test_blur_lowers_sharpness_and_size_does_not_count(self, portrait: NDArray[np.uint8]):
        def sharpness(side: int, blur: float) -> float:
            scaled = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
            scaled = cv2.GaussianBlur(scaled, (0, 0), blur * side / 64) if blur else scaled
            return float(light(np.asarray(scaled, np.uint8), np.array([[0, 0, 0], [side, side, 0]], np.float32))[1])

        assert sharpness(256, 0) == pytest.approx(sharpness(128, 0), rel=0.15)
        assert sharpness(128, 2) < 0.2 * sharpness(128, 0)


@pytest.fixture
def many(small: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch):
    """Ten pictures, to be measured four at a time."""
    monkeypatch.setattr(extract, "CHUNK", 4)
    shifted = (np.ascontiguousarray(np.roll(small, shift - 5, axis=1)) for shift in range(10))
    return Source("tiny", [Row(str(n), Pixels(picture)) for n, picture in enumerate(shifted)])


def mark(folder: Path, number: int) -> None:
    """Change a part, so that it can be told whether it was used."""
    path = folder / f"{number:06}.npz"
    with np.load(path) as arrays:
        changed = dict(arrays) | {"presence": np.full_like(arrays["presence"], 0.125)}
    np.savez(path, **changed)


def test_skips_parts_that_are_done(many: Source, models: MeshModels, tmp_path: Path):
    first, _ = measure(many, models, parts=tmp_path / "parts", workers=1)
    mark(tmp_path / "parts", 1)
    (tmp_path / "parts" / "000000.npz").unlink()

    again, _ = measure(many, models, parts=tmp_path / "parts", workers=1)

    assert again.presence[4:8].tolist() == [0.125] * 4
    assert again.presence[[0, 1, 2, 3, 8, 9]].tolist() == first.presence[[0, 1, 2, 3, 8, 9]].tolist()
    np.testing.assert_array_equal(again.landmarks, first.landmarks)


@pytest.mark.parametrize("keep", [0, 100, 3000, -30])
def test_a_damaged_part_is_measured_again(many: Source, models: MeshModels, tmp_path: Path, keep: int):
    first, _ = measure(many, models, parts=tmp_path / "parts", workers=1)
    mark(tmp_path / "parts", 0)
    mark(tmp_path / "parts", 1)
    path = tmp_path / "parts" / "000001.npz"
    path.write_bytes(path.read_bytes()[:keep])

    again, _ = measure(many, models, parts=tmp_path / "parts", workers=1)

    assert again.presence[:4].tolist() == [0.125] * 4
    np.testing.assert_array_equal(again.presence[4:], first.presence[4:])


@pytest.mark.parametrize("change", ["pixels", "name", "fewer", "chunk", "file"])
def test_parts_of_another_job_are_not_used(
    many: Source,
    models: MeshModels,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: str,
):
    cv2.imwrite(str(tmp_path / "0.png"), many.rows[0].picture.values)
    many.rows[0] = Row("0", ImageFile(tmp_path / "0.png"))
    measure(many, models, parts=tmp_path / "parts", workers=1)
    for number in range(3):
        mark(tmp_path / "parts", number)
    if change == "pixels":
        many.rows[9] = Row("9", Pixels(255 - many.rows[9].picture.values))
    elif change == "name":
        many.rows[9] = Row("nine", many.rows[9].picture)
    elif change == "fewer":
        many.rows.pop()
    elif change == "chunk":
        monkeypatch.setattr(extract, "CHUNK", 5)
    else:
        os.utime(tmp_path / "0.png", (1, 1))

    again, _ = measure(many, models, parts=tmp_path / "parts", workers=1)

    assert 0.125 not in again.presence
    assert "discarding 3 parts of another job" in capsys.readouterr().err


def test_other_labels_and_splits_make_no_other_job(many: Source, models: MeshModels, tmp_path: Path):
    measure(many, models, parts=tmp_path / "parts", workers=1)
    mark(tmp_path / "parts", 2)
    many.rows[9] = Row("9", many.rows[9].picture, "fear", subject="ann", split="test")

    again, _ = measure(many, models, parts=tmp_path / "parts", workers=1)

    assert again.presence[9] == 0.125
    assert (again.split[9], again.subject[9]) == ("test", "ann")


def test_a_full_disk_loses_nothing(many: Source, models: MeshModels, tmp_path: Path):
    measure(many, models, parts=tmp_path / "parts", workers=1)
    mark(tmp_path / "parts", 0)
    (tmp_path / "parts" / "000001.npz").unlink()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OutputError, match=r"cannot be written .*; the finished parts stay there"):
            measure(many, models, parts=tmp_path / "parts", workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert sorted(path.name for path in (tmp_path / "parts").glob("*.npz")) == ["000000.npz", "000002.npz"]
    assert measure(many, models, parts=tmp_path / "parts", workers=1)[0].presence[0] == 0.125


def test_two_programs_do_not_work_on_one_job(many: Source, models: MeshModels, tmp_path: Path):
    with Parts(tmp_path / "parts", {}), pytest.raises(UnavailableError, match="another program works on the same job"):
        measure(many, models, parts=tmp_path / "parts", workers=1)


def test_removes_its_parts_once_the_table_is_written(tmp_path: Path):
    for name in ("a", "b"):
        with Parts(tmp_path / name, {}) as store:
            store.save(0, {"x": np.zeros(3)})
    (tmp_path / "b" / "mine.txt").write_text("keep")

    parts.remove(tmp_path / "a")
    parts.remove(tmp_path / "b")

    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["b", "b/mine.txt"]


LONG_RUN = """
import sys
from pathlib import Path
import numpy as np
from edge.face_mesh.models import cache_folder, find
from host_training.data import extract
from host_training.data.source import Pixels, Row, Source

extract.CHUNK = 8
picture = np.load(sys.argv[1])
rows = [Row(str(n), Pixels(np.ascontiguousarray(np.roll(picture, n % 8, axis=1)))) for n in range(96)]
try:
    table, _ = extract.measure(Source("tiny", rows), find([cache_folder()]), parts=Path(sys.argv[2]), workers=2)
    np.save(sys.argv[3], table.landmarks)
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


class LongRun:
    """96 pictures in 12 parts, in a program of its own, with two workers."""

    def __init__(self, folder: Path, result: str) -> None:
        self._said = folder / f"{result}.log"
        command = [sys.executable, "-c", LONG_RUN, *(str(folder / name) for name in ("small.npy", "parts", result))]
        env = {**os.environ, "PYTHONPATH": str(Path(edge.__file__).parents[1])}
        with self._said.open("w") as log:  # a pipe would wait for its workers too
            self.program = psutil.Popen(command, stderr=log, env=env)

    def end(self) -> str:
        """What it said, once it has come to its end."""
        self.program.wait(timeout=120)
        return self._said.read_text()


@pytest.fixture
def long_run(small: NDArray[np.uint8], tmp_path: Path) -> Iterator[Callable[[str], LongRun]]:
    np.save(tmp_path / "small.npy", small)
    running = []

    def start(result: str) -> LongRun:
        running.append(LongRun(tmp_path, result))
        return running[-1]

    yield start
    for run in running:
        if run.program.is_running():
            run.program.kill()


def wait_for(what: Callable[[], object]) -> None:
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)


def test_a_killed_run_resumes_with_the_same_result(long_run: Callable[[str], LongRun], tmp_path: Path):
    first = long_run("first.npy")
    wait_for(lambda: len(list((tmp_path / "parts").glob("*.npz"))) >= 3)
    workers = first.program.children(recursive=True)
    first.program.kill()
    _, alive = psutil.wait_procs(workers, timeout=30)
    for worker in alive:
        worker.kill()
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "parts").glob("*.npz")}

    second = long_run("second.npy")
    said = second.end()

    assert not alive  # its workers ended with it
    assert 3 <= len(done) < 12
    assert second.program.returncode == 0
    assert re.findall(r"(\d+)/96", said)[0] == str(8 * len(done))  # where the bar starts
    assert {path: path.stat().st_mtime_ns for path in done} == done
    parts.remove(tmp_path / "parts")
    long_run("whole.npy").end()
    np.testing.assert_array_equal(np.load(tmp_path / "second.npy"), np.load(tmp_path / "whole.npy"))


def test_a_dead_worker_is_one_line_and_keeps_finished_parts(long_run: Callable[[str], LongRun], tmp_path: Path):
    run = long_run("first.npy")
    wait_for(lambda: len(list((tmp_path / "parts").glob("*.npz"))) >= 2)
    for child in run.program.children():
        if "popen_loky" in " ".join(child.cmdline()):
            child.kill()
    said = run.end()

    lines = [line for line in said.splitlines() if line.startswith("UnavailableError")]
    assert [line.split(",")[0] for line in lines] == ["UnavailableError: a worker process died"]
    assert "Traceback" not in said
    assert len(list((tmp_path / "parts").glob("*.npz"))) >= 2
