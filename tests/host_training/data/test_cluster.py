"""With a real scheduler and real workers, on this machine."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import edge
from edge.errors import ConfigError, UnavailableError, UsageError
from edge.face_mesh.models import MeshModels, cache_folder, find
from host_training.cli import main
from host_training.data import cluster as cluster_module
from host_training.data import extract, parquet
from host_training.data.cluster import ensure_address, fan_out
from host_training.data.extract import measure
from host_training.data.source import ImageFile, Pixels, Row, Source
from tests.support.portraits import FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(edge.__file__).parents[1]
THREADS = 2
START_S = 60.0

pytest.importorskip("distributed", reason="needs Dask: pip install 'dask[distributed]'")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """A scheduler, and workers as they are asked for; each is ended by its own process id."""

    def __init__(self, folder: Path) -> None:
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self._folder = folder
        port = int(self.address.split(":")[-1])
        self.scheduler = self._start("scheduler", "--port", str(port))
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        pytest.fail(f"no scheduler listens after {START_S} s")

    def worker(self, **environment: str) -> subprocess.Popen[bytes]:
        return self._start("worker", self.address, "--nthreads", str(THREADS), "--no-nanny", **environment)

    def _start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *words, "--no-dashboard", "--host", "127.0.0.1"]
        env = {**os.environ, "PYTHONPATH": f"{ROOT}:{self._folder}", "CUDA_VISIBLE_DEVICES": "", **environment}
        with (self._folder / f"{words[0]}.log").open("ab") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=env, cwd=self._folder))
        return self.processes[-1]

    def end(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.end()


@pytest.fixture
def models():
    try:
        return find([cache_folder()])
    except ConfigError as error:
        pytest.skip(f"needs the face mesh models: {error}")


@pytest.fixture
def jobs_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What jobs of the tests do, where the workers find it too."""
    (tmp_path / "jobs_of_tests.py").write_text(
        "import os, time\n"
        "def double(n): return 2 * n\n"
        "def slow(n): time.sleep(0.2); return n\n"
        "def die(n): os._exit(1)\n"
        "def complain(n):\n"
        "    from host_training.errors import TableError\n"
        "    raise TableError(f'job {n} is wrong')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("jobs_of_tests")
    del sys.modules["jobs_of_tests"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Shortens the wait for what will not come."""
    return lambda: monkeypatch.setattr(cluster_module, "WAIT_S", 1)


@pytest.mark.parametrize("address", ["", "localhost", "localhost:8786", "http://x:80", "tcp://x", "tcp://x:y"])
def test_refuses_malformed_addresses(address: str):
    with pytest.raises(UsageError, match="is not an address; give the one that `dask scheduler` prints"):
        ensure_address(address)


def test_a_scheduler_that_does_not_answer_is_one_line(impatient: Callable[[], None]):
    impatient()

    with pytest.raises(UnavailableError, match="no Dask scheduler answers there; start one with `dask scheduler`"):
        next(fan_out(f"tcp://127.0.0.1:{free_port()}", int, [(1,)]))


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_port_where_something_else_listens_is_one_line(impatient: Callable[[], None], greeting: bytes):
    impatient()
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            with suppress(OSError):
                while True:
                    kept.append(other.accept()[0])
                    kept[-1].sendall(greeting)

        kept: list[socket.socket] = []
        threading.Thread(target=greet, daemon=True).start()
        with pytest.raises(UnavailableError, match="no Dask scheduler answers"):
            next(fan_out(f"tcp://127.0.0.1:{other.getsockname()[1]}", int, [(1,)]))
        other.shutdown(socket.SHUT_RDWR)
    for connection in kept:
        connection.close()


def test_a_scheduler_without_workers_is_one_line(cluster: Cluster, jobs_module: Any, impatient: Callable[[], None]):
    worker = cluster.worker()
    assert list(fan_out(cluster.address, jobs_module.double, [(1,)])) == [2]
    worker.kill()
    worker.wait()
    impatient()

    with pytest.raises(UnavailableError, match="the scheduler has no workers; start some with `dask worker"):
        next(fan_out(cluster.address, int, [(1,)]))


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "distributed", None)

    with pytest.raises(UnavailableError, match=r"needs Dask: run `.*\[cluster\]"):
        next(fan_out("tcp://127.0.0.1:8786", int, [(1,)]))


def test_every_job_is_done_once_and_only_a_few_wait_there(cluster: Cluster, jobs_module: Any):
    cluster.worker()
    taken: list[int] = []

    def jobs() -> Iterator[tuple[int]]:
        for n in range(40):
            taken.append(n)
            yield (n,)

    results = fan_out(cluster.address, jobs_module.double, jobs())
    first = next(results)
    after_one = len(taken)

    assert sorted([first, *results]) == [2 * n for n in range(40)]
    assert after_one <= 2 * THREADS


def test_an_error_of_a_job_comes_back_as_it_was(cluster: Cluster, jobs_module: Any):
    from host_training.errors import TableError

    cluster.worker()

    with pytest.raises(TableError, match="job 3 is wrong"):
        list(fan_out(cluster.address, jobs_module.complain, [(3,)]))


def end_worker(cluster: Cluster) -> None:
    cluster.processes[1].kill()


def end_scheduler(cluster: Cluster) -> None:
    cluster.scheduler.kill()


@pytest.mark.parametrize(
    ("end", "message"), [(end_worker, "all workers have gone away"), (end_scheduler, "the scheduler has gone away")]
)
def test_a_cluster_that_dies_in_the_middle_is_one_line(
    cluster: Cluster,
    jobs_module: Any,
    capfd: pytest.CaptureFixture[str],
    impatient: Callable[[], None],
    end: Callable[[Cluster], None],
    message: str,
):
    cluster.worker()
    results = fan_out(cluster.address, jobs_module.slow, [(n,) for n in range(1000)])
    next(results)
    impatient()

    end(cluster)

    with pytest.raises(UnavailableError, match=message):
        list(results)
    assert "Traceback" not in capfd.readouterr().err


def test_a_worker_that_comes_back_takes_the_work_up_again(cluster: Cluster, jobs_module: Any):
    worker = cluster.worker()
    results = fan_out(cluster.address, jobs_module.slow, [(n,) for n in range(20)])
    first = next(results)
    worker.kill()
    cluster.worker()

    assert sorted([first, *results]) == list(range(20))


def test_a_job_that_kills_its_workers_is_one_line(cluster: Cluster, jobs_module: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster_module, "WAIT_S", START_S)  # four that start at once keep a machine busy
    for _ in range(4):
        cluster.worker()

    with pytest.raises(UnavailableError, match=r"the same job killed several workers|all workers have gone away"):
        list(fan_out(cluster.address, jobs_module.die, [(1,)]))


def test_a_scheduler_that_lacks_the_package_is_one_line(tmp_path: Path, jobs_module: Any):
    bare = tmp_path / "bare"
    bare.mkdir()
    cluster = Cluster(bare)
    try:
        cluster.worker()

        with pytest.raises(UnavailableError, match=r"No module named 'jobs_of_tests'.*extras train and cluster"):
            list(fan_out(cluster.address, jobs_module.double, [(1,)]))
    finally:
        cluster.end()


def test_measures_faces_as_on_this_machine(
    cluster: Cluster, models: MeshModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(extract, "CHUNK", 2)
    picture = portrait()
    rows = [Row(str(n), Pixels(np.ascontiguousarray(np.roll(picture, n - 4, axis=1)))) for n in range(9)]
    cluster.worker()

    there, _ = measure(Source("tiny", rows), models, parts=tmp_path / "there", cluster=cluster.address)

    here, _ = measure(Source("tiny", rows), models, parts=tmp_path / "here", workers=1)
    assert there.found.all()
    np.testing.assert_array_equal(there.landmarks, here.landmarks)
    np.testing.assert_array_equal(there.group, here.group)


def portrait() -> np.ndarray:
    import cv2

    picture = cv2.imread(str(FILE))
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def test_reports_a_picture_that_only_the_worker_lacks(
    cluster: Cluster, models: MeshModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")  # the worker is at home elsewhere
    shutil.copy(FILE, "a.jpg")
    cluster.worker()

    with pytest.raises(UnavailableError, match=r"lacks a picture \(a\.jpg.*at the same path there"):
        measure(
            Source("tiny", [Row("a", ImageFile(Path("a.jpg")))]), models, parts=tmp_path / "p", cluster=cluster.address
        )


def test_relative_paths_reach_a_worker_that_runs_in_another_directory(
    cluster: Cluster, models: MeshModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "here" / "pictures" / "happy").mkdir(parents=True)
    shutil.copy(FILE, tmp_path / "here" / "pictures" / "happy")
    (tmp_path / "here" / "mesh").symlink_to(models.folder)
    monkeypatch.chdir(tmp_path / "here")
    cluster.worker(XDG_CACHE_HOME=str(tmp_path / "empty"))  # the models are in --mesh only

    arguments = ["import", "folder", "pictures", "--mesh", "mesh", "--cluster", cluster.address, "--out", "t.parquet"]
    assert main(arguments) == 0

    assert parquet.read(Path("t.parquet")).found.tolist() == [True]


def test_a_worker_without_the_mesh_models_is_one_line(cluster: Cluster, tmp_path: Path):
    cluster.worker(XDG_CACHE_HOME=str(tmp_path / "empty"))
    source = Source("tiny", [Row("a", Pixels(np.zeros((48, 48), np.uint8)))])

    with pytest.raises(ConfigError, match=r": the face mesh models are missing \(looked in .*/nowhere, .*/empty/"):
        measure(source, MeshModels(tmp_path / "nowhere"), parts=tmp_path / "parts", cluster=cluster.address)
