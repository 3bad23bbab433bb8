"""The wheel works on its own: without a checkout, environment variables and fetched models."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import edge
from edge.face_mesh.models import cache_folder
from tests.support.broker import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

REPOSITORY = Path(__file__).parents[2]
LOCK = REPOSITORY / "deploy" / "constraints" / "lock.txt"
PORTRAIT = REPOSITORY / "edge" / "camera" / "demo" / "assets" / "demo-portrait.jpg"
BUNDLES = ("fused", "landmarks")
EXTRAS = "litert,broker"
LIMIT_S = 120.0


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheel and source distribution; the wheel is built from the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    build: list[str | Path] = [sys.executable, "-m", "build", "--outdir", folder, REPOSITORY]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    (wheel,) = dist.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_string(archive.read(name).decode())


@pytest.fixture(scope="session")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands in an environment with the wheel and its dependencies."""
    environment = tmp_path_factory.mktemp("environment") / "bare"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip: list[str | Path] = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--constraint", LOCK]
    done = subprocess.run([*pip, f"{wheel}[{EXTRAS}]"], capture_output=True, text=True, check=False, env=clean())
    assert done.returncode == 0, done.stderr[-2000:]
    return environment / "bin"


def clean(**variables: str) -> dict[str, str]:
    """Environment variables without traces of a checkout; those of pip and its certificates remain."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE", "EMOTION"))}
    return {**own, **variables}


class Sandbox:
    """An empty folder with its own home directory, and the commands of the wheel."""

    def __init__(self, commands: Path, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self._commands = commands
        self._running: list[subprocess.Popen[str]] = []

    def fetch(self) -> None:
        """Copy the face mesh models from the cache, in place of `emotion-edge model fetch`."""
        shutil.copytree(cache_folder(), self.cache / "emotion-edge" / "mesh")

    def run(self, *words: str | Path, program: str = "emotion-edge") -> subprocess.CompletedProcess[str]:
        """Run `emotion-edge WORDS` until it ends."""
        command = [self._commands / program, *words]
        return subprocess.run(command, capture_output=True, check=False, timeout=LIMIT_S, **self._surroundings)

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        """Start `emotion-edge WORDS`, with stderr in stdout."""
        command = [self._commands / "emotion-edge", *words]
        outputs: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self._running.append(subprocess.Popen(command, **outputs, **self._surroundings))
        return self._running[-1]

    def stop(self) -> None:
        for process in self._running:
            process.kill()
            process.communicate()

    @property
    def _surroundings(self) -> dict[str, Any]:
        environment = clean(HOME=str(self.folder), XDG_CACHE_HOME=str(self.cache), PYTHONUNBUFFERED="1")
        return {"cwd": self.folder, "env": environment, "text": True}


@pytest.fixture
def sandbox(commands: Path, tmp_path: Path) -> Iterator[Sandbox]:
    sandbox = Sandbox(commands, tmp_path)
    yield sandbox
    sandbox.stop()


def line_with(process: subprocess.Popen[str], pattern: str) -> str:
    """Read the output of a program up to the first line that matches."""
    seen = []
    for line in process.stdout:
        seen.append(line)
        if re.search(pattern, line):
            return line
    return pytest.fail(f"no line with {pattern!r}:\n{''.join(seen)}")


def test_twine_accepts_the_distributions(dist: Path) -> None:
    check: list[str | Path] = [sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir()]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_description_has_no_relative_links(metadata: Message) -> None:
    description = metadata.get_payload()
    assert isinstance(description, str)
    assert description.lstrip().startswith("# emotion-edge")
    assert re.findall(r"\]\((?!https?:)[^)]*\)", description) == []


def test_all_versions_agree(metadata: Message, dist: Path) -> None:
    assert metadata["Version"] == edge.__version__
    assert {path.name for path in dist.iterdir()} == {
        f"emotion_edge-{edge.__version__}-py3-none-any.whl",
        f"emotion_edge-{edge.__version__}.tar.gz",
    }


def test_the_wheel_contains_the_packages_and_both_released_bundles(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for bundle in BUNDLES:
            for path in (REPOSITORY / "model" / bundle).iterdir():
                assert archive.read(f"edge/model/{bundle}/{path.name}") == path.read_bytes()
    assert {name.partition("/")[0] for name in names} == {
        *("edge", "host_training", f"emotion_edge-{edge.__version__}.dist-info")
    }


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    listed = ["git", "-C", str(REPOSITORY), "ls-files", "edge", "host_training"]
    done = subprocess.run(listed, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    with zipfile.ZipFile(wheel) as archive:
        assert set(done.stdout.split()) - set(archive.namelist()) == set()


def test_the_source_distribution_has_everything_for_a_build(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert {"pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE"} <= names
    assert {f"model/{bundle}/manifest.json" for bundle in BUNDLES} <= names


def test_both_bundles_of_the_wheel_are_intact(sandbox: Sandbox) -> None:
    done = sandbox.run("model", "list", "--json")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {Path(each["folder"]).name for each in found} == set(BUNDLES)
    assert not [each for each in found if "error" in each]


def test_the_error_for_missing_face_mesh_models_names_the_command(sandbox: Sandbox) -> None:
    # A port of its own for the page: another may be in use on this machine, which would be said, too.
    done = sandbox.run("run", "--camera", "demo", "--preview", f"127.0.0.1:{free_port()}")
    assert done.returncode == 78
    assert "run `emotion-edge model fetch`" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_it_fetches_the_face_mesh_models_and_classifies_a_picture(sandbox: Sandbox) -> None:
    task = cache_folder() / "face_landmarker.task"
    done = sandbox.run("model", "fetch", "--from", task)
    assert done.returncode == 0, done.stderr

    shutil.copy(PORTRAIT, sandbox.folder / "holiday.jpg")
    done = sandbox.run("classify", "--json", "holiday.jpg")

    assert done.returncode == 0, done.stderr
    (face,) = json.loads(done.stdout)["faces"]
    assert face["expression"] == "happiness"


def test_it_runs_with_a_local_broker_and_can_be_watched(sandbox: Sandbox) -> None:
    sandbox.fetch()
    broker = f"mqtt://localhost:{free_port()}"
    daemon = sandbox.start("run", "--camera", "demo", "--local-broker", "--mqtt", broker)
    line_with(daemon, "connected to")

    watch = sandbox.start("watch", "--mqtt", broker)

    assert "face" in line_with(watch, r"happiness|surprise")
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(LIMIT_S) == 0


def test_run_watches_itself(sandbox: Sandbox) -> None:
    sandbox.fetch()
    broker = f"mqtt://localhost:{free_port()}"
    everything = sandbox.start("run", "--watch", "--camera", "demo", "--local-broker", "--mqtt", broker)
    assert "face 1" in line_with(everything, r"  new  ")


def test_the_hint_of_the_training_kit_names_packages_of_an_index(sandbox: Sandbox) -> None:
    done = sandbox.run("describe", "table.parquet", program="emotion-train")

    assert done.returncode == 69
    (error,) = done.stderr.splitlines()[1:]  # the first says what it does
    error, _, packages = error.partition("/bin/python -m pip install ")
    assert "No module named" in error
    names = {re.split(r"[^\w-]", word)[0] for word in shlex.split(packages)}
    assert {"scipy", "pyarrow", "scikit-learn"} <= names
    assert not [name for name in names if name.startswith(("emotion", "ai-edge", "numpy"))]
