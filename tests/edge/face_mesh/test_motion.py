"""Cuts are told from motion, and a face that changes from one that doesn't."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from edge.camera.images import read_image
from edge.face_mesh import motion
from edge.face_mesh.tracking import Region

FACE = Region(320, 240, 240, 0.0)


def noisy(rgb: np.ndarray, deviation: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, deviation, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("fps", [15.0, 7.5, 3.0])
def test_nothing_in_the_demo_is_a_cut(demo, fps):
    pictures = [motion.small(frame.rgb) for frame in demo(0, 30, fps)]
    assert not any(motion.is_cut(*pair) for pair in pairwise(pictures))


@pytest.mark.parametrize("clip", ["smile.avi", "arrival.avi", "single_face.mp4", "no_face.mp4"])
def test_nothing_in_a_clip_is_a_cut(media, clip):
    capture = cv2.VideoCapture(str(media(clip)))
    pictures = []
    while (read := capture.read())[0]:
        pictures.append(motion.small(np.asarray(read[1], np.uint8)))
    assert len(pictures) > 50
    assert not any(motion.is_cut(*pair) for pair in pairwise(pictures))


@pytest.mark.parametrize(
    "names",
    [
        ("group.png", "ben.png", "cat.jpg", "cup.jpg"),
        ("multi_face.jpg", "cat.jpg", "0-f1-su-ph.jpg", "15-f13-anc-ph.jpg"),
    ],
    ids=["free", "foreign"],
)
def test_photographs_are_cuts(media, names):
    pictures = [motion.small(np.asarray(cv2.resize(read_image(media(name)), (640, 480)), np.uint8)) for name in names]
    cuts = [motion.is_cut(a, b) for a in pictures for b in pictures if a is not b]
    assert np.mean(cuts) > 0.8


def test_light_that_is_switched_is_no_cut(demo):
    rgb = next(demo(1.0, 1.05)).rgb
    dark = (rgb * 0.5).astype(np.uint8)
    assert not motion.is_cut(motion.small(rgb), motion.small(dark))


@pytest.mark.parametrize("deviation", [0.0, 3.0, 6.0])
def test_noise_does_not_change_a_face(demo, deviation):
    rgb = next(demo(1.0, 1.05)).rgb
    thumbnails = [motion.thumbnail(noisy(rgb, deviation, seed), FACE) for seed in range(40)]
    assert np.mean([motion.has_changed(thumbnails[0], thumbnail) for thumbnail in thumbnails[1:]]) < 0.15


def test_the_first_frame_of_a_change_is_noticed(demo):
    frames = list(demo(3.0, 5.0))
    before = motion.thumbnail(frames[0].rgb, FACE)
    assert motion.has_changed(before, motion.thumbnail(frames[-1].rgb, FACE))
    smile = frames[0].rgb.copy()
    smile[290:300, 300:345] = 40
    assert motion.has_changed(before, motion.thumbnail(smile, FACE))


def test_a_face_that_has_left_has_changed(demo):
    there, gone = next(demo(20.0, 20.05)).rgb, next(demo(23.6, 23.65)).rgb
    assert motion.has_changed(motion.thumbnail(there, FACE), motion.thumbnail(gone, FACE))


def test_a_region_outside_of_the_picture_has_a_thumbnail(demo):
    rgb = next(demo(1.0, 1.05)).rgb
    assert motion.thumbnail(rgb, Region(-500, -500, 100, 0.0)).shape == (motion.THUMBNAIL, motion.THUMBNAIL)
    assert motion.thumbnail(rgb, Region(0, 0, 3, 0.0)).shape == (motion.THUMBNAIL, motion.THUMBNAIL)
