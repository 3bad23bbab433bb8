"""The simulation of a fleet runs, and gives every figure."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.nightly

REPOSITORY = Path(__file__).parents[2]
DEVICES = 20


@pytest.mark.parametrize("options", [[], ["--tls"]])
def test_a_small_fleet_is_simulated(options):
    if not (shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")):
        pytest.skip("no mosquitto here: apt install mosquitto")
    arguments = ["--devices", str(DEVICES), "--seconds", "4", "--outage", "1", "--json", *options]
    command = [sys.executable, "-m", "tests.benchmarks.fleet_sim", *arguments]
    simulation = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
    try:
        out, complaints = simulation.communicate(timeout=300)
    finally:
        simulation.terminate()  # it stops its broker and devices
    assert (simulation.returncode, complaints) == (0, "")
    figures = json.loads(out)
    assert figures["devices"] == figures["status_online"] == DEVICES
    assert figures["retained"] >= 3 * DEVICES, "availability, info and state; health may come later"
    assert figures["messages_per_s"] > 1
    assert figures["delivered_percent"] == pytest.approx(100, abs=10)
    assert figures["all_again_s"] >= figures["half_again_s"] > 0
    assert 1 <= figures["busiest_second_connects"] <= DEVICES
    assert all(figure >= 0 for figure in figures.values())
