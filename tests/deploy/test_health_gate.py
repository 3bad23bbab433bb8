"""The health gate: verdicts from payloads, over a real broker, and with a real daemon that changes its bundle."""

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
BEFORE = Before(MODEL, MODEL, None, 15.0, 15.0)


def verdict_after(*messages: tuple[Topic, bytes], before: Before = BEFORE, expected: str = NEW, retained: bool = False):
    """The verdict after messages of which only the last may be decisive, or None."""
    gate = HealthGate("pi", before, expected)
    verdicts = [gate.receive(kind, payload, retained=retained) for kind, payload in messages]
    assert all(verdict is None for verdict in verdicts[:-1]), "only the last one is decisive"
    return verdicts[-1]


def verdict_at_timeout(*messages: tuple[Topic, bytes], before: Before = BEFORE, retained: bool = True) -> Verdict:
    gate = HealthGate("pi", before, NEW)
    for kind, payload in messages:
        assert gate.receive(kind, payload, retained=retained) is None
    return gate.time_out(60.0)


SWITCHED: tuple[tuple[Topic, bytes], ...] = ((AVAILABILITY, ONLINE), (INFO, info(model=NEW)))


def test_a_device_that_runs_the_expected_bundle_as_fast_as_before_passes():
    verdict = verdict_after(*SWITCHED, (HEALTH, health(NEW, 14.5)))
    assert verdict == Verdict("pi", True, f"it runs {NEW} at 14.5 frames/s, 15 before", 14.5, 15.0)


@pytest.mark.parametrize(
    ("fps", "target_fps", "ok"),
    [(12.0, 15.0, True), (11.9, 15.0, False), (8.1, 10.0, True), (7.9, 10.0, False), (12.0, 30.0, True)],
)
def test_fps_is_compared_with_before_relative_to_the_target(fps: float, target_fps: float, ok: bool):
    messages = *SWITCHED, (HEALTH, health(NEW, fps, target_fps))
    assert (verdict_after(*messages) is not None) == ok
    if not ok:
        reason = verdict_at_timeout(*messages).reason
        assert f"reaches {fps:.3g} frames/s" in reason
        assert "15 before" in reason


@pytest.mark.parametrize(("fps", "ok"), [(0.1, True), (0.0, False)])
def test_without_a_previous_rate_any_rate_above_0_passes(fps: float, ok: bool):
    assert (verdict_after(*SWITCHED, (HEALTH, health(NEW, fps)), before=Before()) is not None) == ok


def test_health_of_the_previous_bundle_does_not_count():
    assert verdict_after(*SWITCHED, (HEALTH, health(MODEL, 15.0))) is None
    reason = verdict_at_timeout(*SWITCHED, (HEALTH, health(MODEL, 15.0))).reason
    assert "no health with it" in reason


def test_health_of_an_earlier_run_of_the_expected_bundle_does_not_count():
    """The rollback was so quick that the other bundle published no health."""
    gate = HealthGate("pi", Before(MODEL, NEW, None, 15.0, 15.0), NEW)
    assert all(gate.receive(kind, payload, retained=True) is None for kind, payload in SWITCHED)
    assert gate.receive(HEALTH, health(NEW, 15.0), retained=True) is None
    assert "no health with it" in gate.time_out(60.0).reason
    assert gate.receive(HEALTH, health(NEW, 14.0), retained=False).ok


def test_a_slow_moment_fails_only_at_the_time_out():
    slow, fast = (HEALTH, health(NEW, 5.0)), (HEALTH, health(NEW, 15.0))
    assert verdict_after(*SWITCHED, slow, fast).ok
    assert not verdict_at_timeout(*SWITCHED, slow).ok


def test_a_paused_device_passes_without_frames():
    state_and_health = (STATE, state(None, paused=True)), (HEALTH, health(NEW, 0.0))
    assert verdict_after(*SWITCHED, *state_and_health).reason == f"it runs {NEW}, and is paused"
    assert not verdict_at_timeout(*SWITCHED, state_and_health[1]).ok


def test_a_reported_problem_fails_at_once():
    refusal = info(problem="model bundle x:\n the signature is not by a trusted key")
    verdict = verdict_after((AVAILABILITY, ONLINE), (INFO, refusal))
    assert not verdict.ok
    assert verdict.reason == "it reports: model bundle x: the signature is not by a trusted key"
    assert not verdict_after((INFO, info(model=NEW, problem="it is slow"))).ok


def test_a_retained_problem_from_before_the_switch_does_not_count():
    old: tuple[Topic, bytes] = (INFO, info(problem="settings"))
    before = Before(MODEL, MODEL, "settings", 15.0, 15.0)
    gate = HealthGate("pi", before, NEW)
    assert gate.receive(*old, retained=True) is None
    assert not gate.receive(*old, retained=False).ok
    assert not verdict_after(old, retained=True).ok, "the problem is new"


def test_a_device_that_goes_offline_fails_and_one_that_was_offline_gets_time():
    assert verdict_after(*SWITCHED, (AVAILABILITY, OFFLINE)).reason == "it went offline"
    gate = HealthGate("pi", BEFORE, NEW)
    assert gate.receive(AVAILABILITY, OFFLINE, retained=True) is None
    assert verdict_at_timeout((AVAILABILITY, OFFLINE)).reason == "it is offline"
    gate.receive(*SWITCHED[1], retained=False)
    gate.receive(HEALTH, health(NEW, 15.0), retained=False)
    assert gate.receive(AVAILABILITY, ONLINE, retained=False).ok


def test_a_device_that_already_ran_the_bundle_only_has_to_be_online():
    for problem in (None, "an old one"):
        verdict = verdict_after((AVAILABILITY, ONLINE), (INFO, info(problem=problem)), expected=MODEL)
        assert verdict.ok
        assert verdict.reason == f"it ran {MODEL} before"


def test_the_verdict_at_the_time_out_names_what_is_missing():
    assert "it reported nothing within 60 s" in verdict_at_timeout().reason
    assert (
        verdict_at_timeout((AVAILABILITY, ONLINE), (INFO, info())).reason == f"it runs {MODEL}, not {NEW}, after 60 s"
    )
    assert (
        "doesn't report whether it is online"
        in verdict_at_timeout((AVAILABILITY, b"?"), (INFO, info(model=NEW))).reason
    )


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", b"[", b"{}", b'{"model": 7, "fps": "many", "problem": {}}', b"[" * 60_000]
)
def test_invalid_payloads_decide_nothing(payload: bytes):
    assert not verdict_at_timeout((AVAILABILITY, ONLINE), (INFO, payload), (HEALTH, payload)).ok


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
    """Start health gates that end with the test."""
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


def subscriptions(broker) -> int:
    """How many subscribers have received all retained messages so far."""
    return broker.log.read_text().count("Sending UNSUBACK")


def result(process: subprocess.Popen) -> tuple[int, dict[str, dict], str]:
    out, errors = process.communicate(timeout=60)
    return process.returncode, {row["device"]: row for row in map(json.loads, out.splitlines())}, errors


def test_each_verdict_is_printed_as_soon_as_it_is_clear(broker, publisher, gate):
    for device in ("pi", "attic", "bystander"):
        publish(publisher, device, device_payloads())
    process = gate(broker.url, "pi", "attic", "pi")
    until(lambda: subscriptions(broker), "the gate is subscribed")
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
    status, verdicts, errors = result(process)
    assert (status, errors) == (0, "")
    assert not verdicts["attic"]["ok"]
    assert verdicts["attic"]["reason"] == "it reports: the signature is wrong"


def test_the_gate_times_out(broker, publisher, gate):
    publish(publisher, "pi", device_payloads())
    status, verdicts, errors = result(gate(broker.url, "--timeout", "1", "pi", "nowhere"))
    assert (status, errors) == (0, "")
    assert verdicts["pi"]["reason"] == f"it runs {MODEL}, not {NEW}, after 1 s"
    assert "it reported nothing" in verdicts["nowhere"]["reason"]
    assert not any(verdict["ok"] for verdict in verdicts.values())


def test_a_device_that_already_ran_the_bundle_passes_at_once(broker, publisher, gate):
    publish(publisher, "pi", device_payloads())
    status, verdicts, _ = result(gate(broker.url, "--timeout", "600", "pi", expect=MODEL))
    assert status == 0
    assert verdicts["pi"]["ok"]


def test_a_missing_broker_is_reported_in_one_line(gate):
    status, verdicts, errors = result(gate("mqtt://127.0.0.1:9", "pi"))
    assert (status, verdicts) == (os.EX_UNAVAILABLE, {})
    assert errors.startswith("health_gate.py: ")
    assert len(errors.splitlines()) == 1


def test_the_gate_reconnects_when_the_broker_restarts(broker, publisher, gate):
    publish(publisher, "pi", device_payloads())
    process = gate(broker.url, "pi")
    until(lambda: subscriptions(broker) == 1, "the gate is subscribed")
    broker.stop()
    broker.start()
    until(lambda: subscriptions(broker) == 2, "the gate is subscribed again")
    until(publisher.is_connected, "the publisher is back")
    publish(publisher, "pi", device_payloads(info=info(model=NEW), health=health(NEW)))
    status, verdicts, errors = result(process)
    assert (status, errors) == (0, "")
    assert verdicts["pi"]["ok"]


def test_a_broker_that_stays_away_is_reported_in_one_line(broker, publisher, gate):
    publish(publisher, "pi", device_payloads())
    process = gate(broker.url, "--timeout", "3", "pi")
    until(lambda: subscriptions(broker), "the gate is subscribed")
    broker.stop()
    status, verdicts, errors = result(process)
    assert (status, verdicts) == (os.EX_UNAVAILABLE, {})
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "status"),
    [(None, os.EX_NOINPUT), (b"\xff", os.EX_NOINPUT), (b"[]\n", os.EX_DATAERR), (b'{"device": "pi"}\n', os.EX_DATAERR)],
)
def test_an_invalid_file_of_before_is_reported_in_one_line(broker, gate, tmp_path, content, status):
    file = tmp_path / "other.json"
    if content is not None:
        file.write_bytes(content)
    returned, verdicts, errors = result(gate(broker.url, "pi", file=file))
    assert (returned, verdicts) == (status, {})
    assert "other.json" in errors
    assert "status --json" in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["--timeout", "0", "pi"], ["--timout", "1", "pi"]])
def test_a_wrong_command_line_is_a_usage_error(gate, arguments):
    status, _, errors = result(gate("mqtt://127.0.0.1:9", *arguments))
    assert status == os.EX_USAGE
    assert len(errors.splitlines()) == 1


def test_a_real_daemon_gets_a_verdict_after_a_reload(broker, gate, tmp_path):
    """With the two bundles of the checkout, and then with a missing one."""
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
            until(lambda: listener.payloads("health"), "the daemon publishes health", 60)
        before = tmp_path / "status.json"
        status = [sys.executable, "-m", "edge", "status", "--json", "--mqtt", broker.url]
        before.write_bytes(subprocess.run(status, capture_output=True, check=True, cwd=REPOSITORY).stdout)
        assert json.loads(before.read_text())["model"] == old

        earlier = subscriptions(broker)
        process = gate(broker.url, "test", expect=new, file=before)
        until(lambda: subscriptions(broker) > earlier, "the gate is subscribed")
        use(ids[new])
        daemon.send_signal(signal.SIGHUP)
        _, verdicts, errors = result(process)
        # Its speed on a busy machine doesn't matter here.
        assert verdicts["test"]["ok"] or "frames/s" in verdicts["test"]["reason"], errors
        assert verdicts["test"]["fps"] is not None

        process = gate(broker.url, "test", expect=old)
        until(lambda: subscriptions(broker) > earlier + 1, "the gate is subscribed")
        use(tmp_path / "nothing")
        daemon.send_signal(signal.SIGHUP)
        _, verdicts, _ = result(process)
        assert not verdicts["test"]["ok"]
        assert "it reports: " in verdicts["test"]["reason"]
    finally:
        daemon.kill()
        daemon.wait()
