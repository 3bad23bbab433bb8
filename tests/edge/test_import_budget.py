"""`emotion-edge run` loads exactly the listed modules, because each costs start-up time and memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.broker import Listener, until

pytest_plugins = ["tests.support.broker"]
pytestmark = pytest.mark.usefixtures("models")

REPOSITORY = Path(__file__).parents[2]

OWN = {
    "edge": "cli errors expression files hints interpreter paths redaction secret_files settings terminal validation "
    "values",
    "edge.bundle": "bundle locate manifest signature",
    "edge.camera": "closed opencv optics orientation pace reopening demo demo.camera demo.face demo.portrait "
    "demo.script",
    "edge.classifier": "baseline calibration crop features network reader",
    "edge.commands": "run",
    "edge.daemon": "loop page pipeline expressions shadow reporter commands sensors governor metrics signals "
    "state_directory",
    "edge.device": "journal led system systemd versions",
    "edge.face_mesh": "assignment detector distance landmarker litert models motion one_euro search "
    "steadiness stills tiles tracking",
    "edge.messages": "commands home_assistant payloads topics untrusted",
    "edge.preview": "address timeline",
    "edge.mqtt": "address client delivery in_flight inbox notices outbox publisher reasons reconnect session "
    "subscriptions worker",
}
"""Rooms -> their modules that are loaded, exactly these."""

INTERPRETERS = {"ai_edge_litert", "tflite_runtime"}
"""Packages of which exactly one is installed."""
LIBRARIES = {"cv2", "numpy", "paho", *INTERPRETERS}
"""Third-party packages that may be loaded."""
INDIRECT = {"cython_runtime", "dns", "socks"}
"""Packages that the libraries themselves load: a part of Cython, and optional dependencies of paho-mqtt."""

LAZY = {"asyncio", "concurrent", "difflib", "filecmp", "multiprocessing", "sqlite3", "subprocess", "unittest", "xml"}
"""Modules of the standard library that only other commands, an open page or error messages need."""

PROGRAM = """
import os, sys
before = set(sys.modules)
{imports}
with open(sys.argv[1], "w") as file:
    file.write(" ".join(set(sys.modules) - before))
"""


def loaded_by(imports: str, file: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a process that runs `imports` and writes the names of the loaded modules to a file."""
    # Measuring coverage would load modules, too.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(imports=imports), str(file), *arguments],
        stdin=subprocess.DEVNULL, cwd=REPOSITORY, env=environment,
    )  # fmt: skip


def top(modules: set[str]) -> set[str]:
    """The top-level packages of modules, without private ones."""
    return {name for name in (module.partition(".")[0] for module in modules) if not name.startswith("_")}


def unlisted(found: set[str], listed: set[str]) -> str:
    """The message about modules that are not listed."""
    return (
        f"`emotion-edge run` loads {', '.join(sorted(found - listed))}: import it in the function that needs it, or "
        "put it on the list in tests/edge/test_import_budget.py and say why every device has to load it"
    )


@pytest.fixture(scope="module")
def libraries(tmp_path_factory) -> set[str]:
    """The modules that the libraries themselves load."""
    file = tmp_path_factory.mktemp("libraries") / "modules"
    lines = (
        "import cv2, logging, numpy, paho.mqtt.client, importlib.util\n"
        f"for name in {sorted(INTERPRETERS)}:\n"
        "    if importlib.util.find_spec(name):\n"
        "        importlib.import_module(name + '.interpreter')"
    )
    assert loaded_by(lines, file).wait(60) == 0
    return set(file.read_text().split())


@pytest.fixture
def loaded(tmp_path, broker) -> set[str]:
    """The modules of the daemon after it has published some events of the demo. Nobody has opened its page."""
    file, config = tmp_path / "modules", tmp_path / "own.toml"
    config.write_text('[device]\nname = "test"\n[mqtt]\nhealth_interval_s = 1.0\n[preview]\naddress = "127.0.0.1:0"\n')
    lines = "from edge.cli import main\nassert main(['run', *sys.argv[2:]]) == 0"
    with Listener(broker.port, "emotion/test/#") as listener:
        daemon = loaded_by(lines, file, "--config", str(config), "--camera", "demo", "--mqtt", broker.url)
        try:
            until(
                lambda: len(listener.payloads("event")) >= 2 and listener.payloads("health"),
                "the daemon publishes events and health",
            )
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(30) == 0
        finally:
            daemon.kill()
            daemon.wait()
    return set(file.read_text().split())


def test_a_run_loads_the_listed_modules_and_no_others(loaded, libraries):
    own = {module for module in loaded if module.partition(".")[0] == "edge"}
    listed = set(OWN) | {f"{room}.{name}" for room, names in OWN.items() for name in names.split()}
    assert own <= listed, unlisted(own, listed)
    assert own == listed, f"no longer loaded, remove from the list: {', '.join(sorted(listed - own))}"
    third_party = top(loaded) - sys.stdlib_module_names - INDIRECT - {"edge"}
    assert third_party <= LIBRARIES, unlisted(third_party, LIBRARIES)
    assert len(third_party & INTERPRETERS) == 1
    lazy = top(loaded - libraries) & LAZY
    assert not lazy, unlisted(lazy, set())


def test_the_message_about_a_new_module_says_what_to_do():
    assert unlisted({"numpy", "requests", "yaml"}, {"numpy"}) == (
        "`emotion-edge run` loads requests, yaml: import it in the function that needs it, or put it on the list in "
        "tests/edge/test_import_budget.py and say why every device has to load it"
    )
