"""A roll-out is judged by what the devices say: over a real broker, and by a real daemon that changes its bundle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from deploy.workstation.health_gate import Before, HealthGate, Verdict
from edge.bundle import bundle as bundles
from edge.bundle.locate import released
from edge.fleet.status import device_status
from edge.messages.payloads import OFFLINE, ONLINE
from edge.messages.topics import AVAILABILITY, HEALTH, INFO, STATE, Topic
from tests.support.broker import Listener, until
from tests.support.fleet_payloads import MODEL, device_payloads, health, info, publish, state

pytest_plugins = ["tests.support.broker"]

REPOSITORY = Path(__file__).parents[2]
GATE = REPOSITORY / "deploy" / "workstation" / "health_gate.py"
NEW = "next-0a1b2c3d"
HAD = Before(MODEL, MODEL, None, 15.0, 15.0)


def hear(*messages: tuple[Topic, bytes], before: Before = HAD, expected: str = NEW, retained: bool = False):
    """The verdict after some messages, or None."""
    gate = HealthGate("pi", before, expected)
    verdicts = [gate.hear(kind, payload, retained=retained) for kind, payload in messages]
    assert all(verdict is None for verdict in verdicts[:-1]), "clear only with the last one"
    return verdicts[-1]


def gives_up(*messages: tuple[Topic, bytes], before: Before = HAD, retained: bool = True) -> Verdict:
    gate = HealthGate("pi", before, NEW)
    for kind, payload in messages:
        assert gate.hear(kind, payload, retained=retained) is None
    return gate.give_up(60.0)


SWITCHED: tuple[tuple[Topic, bytes], ...] = ((AVAILABILITY, ONLINE), (INFO, info(model=NEW)))


def test_a_device_that_runs_the_expected_bundle_as_fast_as_before_is_well():
    verdict = hear(*SWITCHED, (HEALTH, health(NEW, 14.5)))
    assert verdict == Verdict("pi", True, f"it runs {NEW} at 14.5 frames/s, 15 before", 14.5, 15.0)


@pytest.mark.parametrize(
    ("fps", "target_fps", "ok"),
    [(12.0, 15.0, True), (11.9, 15.0, False), (8.1, 10.0, True), (7.9, 10.0, False), (12.0, 30.0, True)],
)
def test_fps_is_compared_with_before_as_far_as_the_device_may_look(fps: float, target_fps: float, ok: bool):
    heard = *SWITCHED, (HEALTH, health(NEW, fps, target_fps))
    assert (hear(*heard) is not None) == ok
    if not ok:
        reason = gives_up(*heard).reason
        assert f"reaches {fps:.3g} frames/s" in reason
        assert "15 before" in reason


@pytest.mark.parametrize(("fps", "ok"), [(0.1, True), (0.0, False)])
def test_without_a_before_any_frame_will_do(fps: float, ok: bool):
    assert (hear(*SWITCHED, (HEALTH, health(NEW, fps)), before=Before()) is not None) == ok


def test_the_fps_of_the_bundle_before_are_no_proof():
    assert hear(*SWITCHED, (HEALTH, health(MODEL, 15.0))) is None
    reason = gives_up(*SWITCHED, (HEALTH, health(MODEL, 15.0))).reason
    assert "no health with it" in reason


def test_the_fps_of_an_earlier_time_with_the_expected_bundle_are_no_proof():
    """It was rolled back so soon that no health was published with the other bundle."""
    gate = HealthGate("pi", Before(MODEL, NEW, None, 15.0, 15.0), NEW)
    assert all(gate.hear(kind, payload, retained=True) is None for kind, payload in SWITCHED)
    assert gate.hear(HEALTH, health(NEW, 15.0), retained=True) is None
    assert "no health with it" in gate.give_up(60.0).reason
    assert gate.hear(HEALTH, health(NEW, 14.0), retained=False).ok


def test_a_slow_moment_is_forgiven_until_time_runs_out():
    slow, fast = (HEALTH, health(NEW, 5.0)), (HEALTH, health(NEW, 15.0))
    assert hear(*SWITCHED, slow, fast).ok
    assert not gives_up(*SWITCHED, slow).ok


def test_a_paused_device_need_not_be_fast():
    state_and_health = (STATE, state(None, paused=True)), (HEALTH, health(NEW, 0.0))
    assert hear(*SWITCHED, *state_and_health).reason == f"it runs {NEW}, and is paused"
    assert not gives_up(*SWITCHED, state_and_health[1]).ok


def test_a_refusal_ends_the_wait_at_once():
    refusal = info(problem="model bundle x:\n the signature is not by a trusted key")
    verdict = hear((AVAILABILITY, ONLINE), (INFO, refusal))
    assert not verdict.ok
    assert verdict.reason == "it reports: model bundle x: the signature is not by a trusted key"
    assert not hear((INFO, info(model=NEW, problem="it is slow"))).ok


def test_a_problem_of_before_that_is_only_retained_is_none_of_the_switch():
    old: tuple[Topic, bytes] = (INFO, info(problem="settings"))
    before = Before(MODEL, MODEL, "settings", 15.0, 15.0)
    gate = HealthGate("pi", before, NEW)
    assert gate.hear(*old, retained=True) is None
    assert not gate.hear(*old, retained=False).ok
    assert not hear(old, retained=True).ok, "it is new"


def test_a_device_that_goes_offline_is_not_well_and_one_that_was_is_waited_for():
    assert hear(*SWITCHED, (AVAILABILITY, OFFLINE)).reason == "it went offline"
    gate = HealthGate("pi", HAD, NEW)
    assert gate.hear(AVAILABILITY, OFFLINE, retained=True) is None
    assert gives_up((AVAILABILITY, OFFLINE)).reason == "it is offline"
    gate.hear(*SWITCHED[1], retained=False)
    gate.hear(HEALTH, health(NEW, 15.0), retained=False)
    assert gate.hear(AVAILABILITY, ONLINE, retained=False).ok


def test_where_nothing_was_switched_online_is_enough():
    for problem in (None, "an old one"):
        verdict = hear((AVAILABILITY, ONLINE), (INFO, info(problem=problem)), expected=MODEL)
        assert verdict.ok
        assert verdict.reason == f"it ran {MODEL} before"


def test_what_is_missing_is_said_when_time_runs_out():
    assert "it reported nothing within 60 s" in gives_up().reason
    assert gives_up((AVAILABILITY, ONLINE), (INFO, info())).reason == f"it runs {MODEL}, not {NEW}, after 60 s"
    assert "does not report whether it is online" in gives_up((AVAILABILITY, b"?"), (INFO, info(model=NEW))).reason


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", b"[", b"{}", b'{"model": 7, "fps": "many", "problem": {}}', b"[" * 60_000]
)
def test_hostile_payloads_decide_nothing(payload: bytes):
    assert not gives_up((AVAILABILITY, ONLINE), (INFO, payload), (HEALTH, payload)).ok


# The program.


@pytest.fixture
def publisher(broker):
    with Listener(broker.port, "nothing") as listener:
        yield listener.client


@pytest.fixture
def before(tmp_path) -> Path:
    file = tmp_path / "before.json"
    rows = [device_status(device, device_payloads()) for device in ("pi", "attic")]
    file.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
    return file


@pytest.fixture
def gate(before):
    """Start judges that end with the test."""
    running: list[subprocess.Popen] = []

    def start(url: str, *arguments: str, expect: str = NEW, file: Path = before) -> subprocess.Popen:
        command = [sys.executable, str(GATE), "--mqtt", url, "--before", str(file), "--expect", expect, *arguments]
        running.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=before.parent,
                             env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
        )  # fmt: skip
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def answers(broker) -> int:
    """How often somebody who subscribed has been told all that is retained."""
    return broker.log.read_text().count("Sending UNSUBACK")


def ended(process: subprocess.Popen) -> tuple[int, dict[str, dict], str]:
    out, complaints = process.communicate(timeout=60)
    return process.returncode, {row["device"]: row for row in map(json.loads, out.splitlines())}, complaints


def test_each_device_is_an_object_and_a_line_as_soon_as_it_is_clear(broker, publisher, gate):
    for device in ("pi", "attic", "bystander"):
        publish(publisher, device, device_payloads())
    process = gate(broker.url, "pi", "attic", "pi")
    until(lambda: answers(broker), "the gate listens")
    publish(publisher, "bystander", {AVAILABILITY: OFFLINE, INFO: info(problem="mine")})
    publish(publisher, "pi", {INFO: info(model=NEW), HEALTH: health(NEW, 14.0)})
    first = json.loads(process.stdout.readline())
    assert first == {
        "device": "pi",
        "ok": True,
        "reason": f"it runs {NEW} at 14 frames/s, 14.9 before",
        "fps": 14.0,
        "fps_before": 14.9,
    }
    publish(publisher, "attic", {INFO: info(problem="the signature is wrong")})
    status, verdicts, complaints = ended(process)
    assert (status, complaints) == (0, "")
    assert not verdicts["attic"]["ok"]
    assert verdicts["attic"]["reason"] == "it reports: the signature is wrong"


def test_time_runs_out(broker, publisher, gate):
    publish(publisher, "pi", device_payloads())
    status, verdicts, complaints = ended(gate(broker.url, "--timeout", "1", "pi", "nowhere"))
    assert (status, complaints) == (0, "")
    assert verdicts["pi"]["reason"] == f"it runs {MODEL}, not {NEW}, after 1 s"
    assert "it reported nothing" in verdicts["nowhere"]["reason"]
    assert not any(verdict["ok"] for verdict in verdicts.values())


def test_nothing_switched_is_judged_at_once(broker, publisher, gate):
    publish(publisher, "pi", device_payloads())
    status, verdicts, _ = ended(gate(broker.url, "--timeout", "600", "pi", expect=MODEL))
    assert status == 0
    assert verdicts["pi"]["ok"]


def test_a_broker_that_is_away_at_the_start_is_one_line(gate):
    status, verdicts, complaints = ended(gate("mqtt://127.0.0.1:9", "pi"))
    assert (status, verdicts) == (os.EX_UNAVAILABLE, {})
    assert complaints.startswith("health_gate.py: ")
    assert len(complaints.splitlines()) == 1


def test_a_broker_that_restarts_meanwhile_is_found_again(broker, publisher, gate):
    publish(publisher, "pi", device_payloads())
    process = gate(broker.url, "pi")
    until(lambda: answers(broker) == 1, "the gate listens")
    broker.stop()
    broker.start()
    until(lambda: answers(broker) == 2, "the gate listens again")
    until(publisher.is_connected, "the publisher is back")
    publish(publisher, "pi", device_payloads(info=info(model=NEW), health=health(NEW)))
    status, verdicts, complaints = ended(process)
    assert (status, complaints) == (0, "")
    assert verdicts["pi"]["ok"]


def test_a_broker_that_stays_away_is_one_line(broker, publisher, gate):
    publish(publisher, "pi", device_payloads())
    process = gate(broker.url, "--timeout", "3", "pi")
    until(lambda: answers(broker), "the gate listens")
    broker.stop()
    status, verdicts, complaints = ended(process)
    assert (status, verdicts) == (os.EX_UNAVAILABLE, {})
    assert len(complaints.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "status"),
    [(None, os.EX_NOINPUT), (b"\xff", os.EX_NOINPUT), (b"[]\n", os.EX_DATAERR), (b'{"device": "pi"}\n', os.EX_DATAERR)],
)
def test_a_before_that_is_none_is_one_line(broker, gate, tmp_path, content, status):
    file = tmp_path / "other.json"
    if content is not None:
        file.write_bytes(content)
    returned, verdicts, complaints = ended(gate(broker.url, "pi", file=file))
    assert (returned, verdicts) == (status, {})
    assert "other.json" in complaints
    assert "status --json" in complaints
    assert len(complaints.splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["--timeout", "0", "pi"], ["--timout", "1", "pi"]])
def test_a_wrong_command_line_is_a_usage_error(gate, arguments):
    status, _, complaints = ended(gate("mqtt://127.0.0.1:9", *arguments))
    assert status == os.EX_USAGE
    assert len(complaints.splitlines()) == 1


def test_a_real_daemon_is_judged_by_its_reload(broker, gate, tmp_path):
    """With the two bundles of the checkout, and then one that is none."""
    config, ids = tmp_path / "own.toml", {}
    for folder in sorted(released().glob(f"*/{bundles.MANIFEST}")):
        ids[json.loads(folder.read_text())["id"]] = folder.parent
    old, new = list(ids)[:2]

    def use(folder: Path) -> None:
        config.write_text(f"[device]\nname = 'test'\n[mqtt]\nhealth_interval_s = 1\n[model]\nbundle = '{folder}'\n")

    use(ids[old])
    command = [sys.executable, "-m", "edge", "run", "--config", config, "--camera", "demo", "--mqtt", broker.url]
    daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=REPOSITORY)
    try:
        with Listener(broker.port, "emotion/#") as listener:
            until(lambda: listener.payloads("health"), "the daemon is well", 60)
        before = tmp_path / "said.json"
        status = [sys.executable, "-m", "edge", "status", "--json", "--mqtt", broker.url]
        before.write_bytes(subprocess.run(status, capture_output=True, check=True, cwd=REPOSITORY).stdout)
        assert json.loads(before.read_text())["model"] == old

        heard = answers(broker)
        process = gate(broker.url, "test", expect=new, file=before)
        until(lambda: answers(broker) > heard, "the gate listens")
        use(ids[new])
        daemon.send_signal(signal.SIGHUP)
        _, verdicts, complaints = ended(process)
        # How fast it is on a busy machine is no matter here.
        assert verdicts["test"]["ok"] or "frames/s" in verdicts["test"]["reason"], complaints
        assert verdicts["test"]["fps"] is not None

        process = gate(broker.url, "test", expect=old)
        until(lambda: answers(broker) > heard + 1, "the gate listens")
        use(tmp_path / "nothing")
        daemon.send_signal(signal.SIGHUP)
        _, verdicts, _ = ended(process)
        assert not verdicts["test"]["ok"]
        assert "it reports: " in verdicts["test"]["reason"]
    finally:
        daemon.kill()
        daemon.wait()
