"""The LiteRT backend agrees with the mediapipe package, which runs in a process without a network."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

REPOSITORY = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("models")


@pytest.fixture(scope="module")
def compare():
    if importlib.util.find_spec("mediapipe") is None:
        pytest.skip("mediapipe is not installed")
    offline = ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*offline, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system doesn't allow network namespaces (unshare --map-root-user --net)")

    def run(clip: Path) -> dict:
        command = [*offline, sys.executable, "-m", "tests.support.parity", str(clip)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
        if "the mediapipe backend cannot start" in done.stderr:
            pytest.skip(done.stderr.strip().splitlines()[-1])
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("clip", ["smile.avi", "single_face.mp4"])
def test_landmarks_of_a_tracked_face_agree_to_a_twentieth_of_a_pixel(compare, media, clip):
    result = compare(media(clip))
    assert result["faces"] == result["frames"] > 70
    assert result["median_px"] < 0.05


@pytest.mark.parametrize("clip", ["arrival.avi", "noface_face.mov"])
def test_a_face_appears_in_the_same_frames(compare, media, clip):
    result = compare(media(clip))
    assert result["presence_equal"] >= 0.99
    assert 50 < result["faces"] < result["frames"]
    assert result["median_px"] < 0.05


@pytest.mark.parametrize("clip", ["nobody.avi", "no_face.mp4"])
def test_both_find_no_face_without_one(compare, media, clip):
    result = compare(media(clip))
    assert result["presence_equal"] >= 0.99
    assert result["faces"] == 0


def test_landmarks_of_the_moving_demo_agree(compare, demo, tmp_path):
    clip = tmp_path / "demo.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 15.0, (640, 480))
    for frame in demo(2, 8):
        writer.write(cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))
    writer.release()
    result = compare(clip)
    assert result["faces"] == result["frames"] == 90
    assert result["median_px"] < 0.05
