from __future__ import annotations

import dataclasses
import shutil
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge import bundle as edge_bundle
from edge import classifier
from edge.errors import DataError, NoInputError
from host_training.evaluation.engines import by_reference, compare, float_of, float_path, load_float, save_float
from host_training.training.network import Layer

if TYPE_CHECKING:
    from pathlib import Path

    from edge.bundle import Bundle
    from host_training.data.keypoints import Table


@pytest.fixture
def bundle(bundle_folder: Path, tmp_path: Path) -> Bundle:
    """A bundle with its float network beside it, both free to be spoilt."""
    shutil.copytree(bundle_folder, tmp_path / "emotion")
    shutil.copy(float_path(bundle_folder), float_path(tmp_path / "emotion"))
    return edge_bundle.load(tmp_path / "emotion")


def small_network() -> list[Layer]:
    rng = np.random.default_rng(0)
    shapes = ((5, 4), (4, 3))
    return [Layer(rng.random(shape, np.float32), rng.random(shape[1], np.float32)) for shape in shapes]


# The file


def test_a_float_network_comes_back_as_it_was(tmp_path: Path):
    save_float(small_network(), tmp_path / "net.npz")

    for before, after in zip(small_network(), load_float(tmp_path / "net.npz"), strict=True):
        np.testing.assert_array_equal(before.kernel, after.kernel)
        np.testing.assert_array_equal(before.bias, after.bias)
        assert after.kernel.dtype == after.bias.dtype == np.float32


def test_the_same_network_is_the_same_file_whenever_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_float(small_network(), tmp_path / "one.npz")
    later = time.localtime(time.time() + 1e6)
    monkeypatch.setattr(time, "localtime", lambda *_: later)

    save_float(small_network(), tmp_path / "other.npz")

    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()


def test_a_float_network_lies_beside_its_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert float_path(tmp_path / "emotion") == tmp_path / "emotion.float.npz"
    (tmp_path / "emotion").mkdir()
    monkeypatch.chdir(tmp_path / "emotion")

    assert float_path(type(tmp_path)()) == tmp_path / "emotion.float.npz"


def test_a_missing_file_is_no_input(tmp_path: Path):
    with pytest.raises(NoInputError, match=r"no\.npz: No such file"):
        load_float(tmp_path / "no.npz")


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"kernel_0": np.ones((5, 4))},
        {"kernel_0": np.ones((5, 4)), "bias_0": np.ones(3)},
        {"kernel_0": np.ones((5, 4)), "bias_0": np.ones(4), "kernel_1": np.ones((5, 3)), "bias_1": np.ones(3)},
        {"weights": np.ones(5), "bias_0": np.ones(3)},
        {"kernel_0": np.array(["a"]), "bias_0": np.array(["b"])},
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, arrays: dict):
    np.savez(tmp_path / "net.npz", **arrays)

    with pytest.raises(DataError, match="not a float network"):
        load_float(tmp_path / "net.npz")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 and no more"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "net.npz").write_bytes(content)

    with pytest.raises(DataError, match="not a float network"):
        load_float(tmp_path / "net.npz")


# Whose network it is


def test_the_float_network_of_a_bundle_fits_it(bundle: Bundle):
    layers = float_of(bundle)

    assert layers[0].kernel.shape[0] == bundle.features.size
    assert layers[-1].bias.shape == (len(bundle.labels),)


def test_the_float_network_of_another_bundle_is_refused(bundle: Bundle):
    save_float(small_network(), float_path(bundle.folder))

    with pytest.raises(DataError, match=r"emotion\.float\.npz is not the float network of tiny-"):
        float_of(bundle)


def test_a_bundle_that_was_packed_without_one_has_none(bundle: Bundle):
    provenance = {key: value for key, value in bundle.manifest["provenance"].items() if key != "float_sha256"}
    bare = dataclasses.replace(bundle, manifest={**bundle.manifest, "provenance": provenance})

    with pytest.raises(NoInputError, match="was packed without its float network"):
        float_of(bare)


# What it says


def test_the_reference_says_what_the_edge_says(bundle: Bundle, table: Table):
    vectors, _ = bundle.features(table.landmarks[table.found])
    path = bundle.folder / edge_bundle.NETWORK
    model = classifier.network(path, bundle.features.size, len(bundle.labels))
    step = model.output_quantisation[0] or 1e-4

    difference = np.abs(by_reference(path, vectors) - classifier.logits(model, vectors))

    assert difference.max() <= 2 * step + 1e-6
    assert difference.mean() < step / 4


def test_a_network_that_says_something_else_is_told_by_its_agreement(bundle: Bundle, table: Table):
    layers = float_of(bundle)
    found = table.found & (table.split == "test")
    label = table.votes[found].argmax(axis=1)
    last = layers[-1]
    turned = [*layers[:-1], Layer(np.roll(last.kernel, 1, axis=1), np.roll(last.bias, 1))]

    wrong, _, edges = compare(bundle, turned, table.landmarks[found], label, list(range(8)))

    assert edges.accuracy > 0.5
    assert wrong.accuracy < 0.2
    assert wrong.agreement < 0.1


def test_only_the_labels_in_question_can_be_said(bundle: Bundle, table: Table):
    found = table.found & (table.split == "test")
    label = np.zeros(found.sum(), np.intp)

    engines = compare(bundle, float_of(bundle), table.landmarks[found], label, [2, 3])

    said_2 = bundle.classifier.probabilities(table.landmarks[found])[:, [2, 3]].argmax(axis=1) == 0
    assert engines[-1].accuracy == pytest.approx(said_2.mean())
    assert engines[-1].agreement == 1


def test_a_missed_face_is_an_error_of_every_engine(bundle: Bundle, table: Table):
    found = np.flatnonzero(table.found & (table.split == "test"))
    label = table.votes[found].argmax(axis=1)
    landmarks = np.concatenate([table.landmarks[found], np.full((len(found), 478, 3), np.nan, np.float32)])

    seen = compare(bundle, float_of(bundle), table.landmarks[found], label, list(range(8)))
    half_missed = compare(bundle, float_of(bundle), landmarks, np.tile(label, 2), list(range(8)))

    assert [each.accuracy for each in half_missed] == pytest.approx([each.accuracy / 2 for each in seen])
    assert [each.agreement for each in half_missed] == [each.agreement for each in seen]


def test_without_a_face_there_is_nothing_to_compare_on(bundle: Bundle):
    landmarks = np.full((3, 478, 3), np.nan, np.float32)

    with pytest.raises(DataError, match="no face was found"):
        compare(bundle, float_of(bundle), landmarks, np.zeros(3, np.intp), list(range(8)))
