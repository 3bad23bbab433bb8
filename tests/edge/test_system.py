"""What the machine says of itself, read from files as a Raspberry Pi has them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from edge import system

REPOSITORY = Path(__file__).parents[2]


def write(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return root


def test_temperature_is_in_degrees(tmp_path):
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", "48312\n")
    assert system.cpu_temperature_c(tmp_path) == 48.312


def test_what_the_machine_does_not_tell_is_unknown(tmp_path):
    assert system.cpu_temperature_c(tmp_path) is None
    assert system.throttling(tmp_path) == (None, None)
    assert system.rss_mb(root=tmp_path) is None


def test_throttling_of_now_is_told_from_throttling_of_the_past(tmp_path):
    name = "sys/devices/platform/soc/soc:firmware/get_throttled"
    assert system.throttling(write(tmp_path, name, "50005\n")) == (True, True)
    assert system.throttling(write(tmp_path, name, "50000\n")) == (False, False)
    assert system.throttling(write(tmp_path, name, "1\n")) == (False, True)
    assert system.throttling(write(tmp_path, name, "nonsense\n")) == (None, None)


def test_this_process_has_a_size():
    assert 5 < system.rss_mb() < 5000


def test_the_code_of_the_start_is_released_and_everything_still_works():
    program = """
import cv2, numpy as np
from edge import system
before = system.rss_mb()
system.release_startup_code()
after = system.rss_mb()
rotation = np.linalg.svd(np.eye(3))[0]
small = cv2.resize(np.full((64, 64, 3), 7, np.uint8), (8, 8))
print(before - after, abs(np.linalg.det(rotation)), small.mean())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    released, determinant, mean = map(float, done.stdout.split())
    assert released > 5
    assert (round(determinant, 6), mean) == (1.0, 7.0)
