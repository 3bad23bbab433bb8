from __future__ import annotations

import dataclasses
import hashlib
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.bundle import bundle as edge_bundle
from edge.classifier import network
from edge.errors import DataError, NoInputError
from host_training.data.inputs import Inputs, inputs_of, inputs_of_split
from host_training.evaluation.engines import by_reference, compare, float_of, float_path
from host_training.training import quantise
from host_training.training.float_network import FloatNetwork
from host_training.training.layers import Layer

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.bundle.bundle import Bundle
    from host_training.data.crops import CropStore
    from host_training.data.keypoints import Table


@pytest.fixture
def bundle(bundle_folder: Path, tmp_path: Path) -> Bundle:
    """A bundle and its float network; a test may damage both."""
    shutil.copytree(bundle_folder, tmp_path / "fused")
    shutil.copytree(float_path(bundle_folder).parent, tmp_path / "float")
    return edge_bundle.load(tmp_path / "fused")


def test_the_float_network_lies_in_a_folder_beside_its_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert float_path(tmp_path / "fused") == tmp_path / "float" / "fused.tflite"
    (tmp_path / "fused").mkdir()
    monkeypatch.chdir(tmp_path / "fused")

    assert float_path(type(tmp_path)()) == tmp_path / "float" / "fused.tflite"


# Whose network it is


def test_the_float_network_of_a_bundle_fits_it(bundle: Bundle):
    model = network.network(float_of(bundle), bundle.features, len(bundle.labels))

    assert model.dtype == np.float32


def test_the_float_network_of_another_bundle_is_refused(bundle: Bundle):
    float_path(bundle.folder).write_bytes(b"of another one")

    with pytest.raises(DataError, match=r"float/fused\.tflite: is not the float network of tiny-"):
        float_of(bundle)


def test_a_missing_one_is_no_input(bundle: Bundle):
    float_path(bundle.folder).unlink()

    with pytest.raises(NoInputError, match=r"float/fused\.tflite: cannot be read \(No such file"):
        float_of(bundle)


def with_float(bundle: Bundle, sha256: str) -> Bundle:
    """The bundle, with such a hash of its float network in the manifest."""
    provenance = dataclasses.replace(bundle.manifest.provenance, float_sha256=sha256)
    return dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, provenance=provenance))


def test_a_bundle_that_was_packed_without_one_has_none(bundle: Bundle):
    with pytest.raises(NoInputError, match="was packed without its float network"):
        float_of(with_float(bundle, ""))


# What it says


def faces_of(bundle: Bundle, table: Table, store: CropStore | None = None) -> tuple[Inputs, NDArray[np.intp]]:
    """The inputs of the test rows in which a face was found, and their labels."""
    inputs = inputs_of_split(bundle.features, table, "test", store)
    return inputs, table.votes[inputs.rows].argmax(axis=1)


def all_of(inputs: Inputs) -> NDArray[np.bool_]:
    return np.ones(len(inputs), bool)


def test_the_reference_says_what_the_edge_says(bundle: Bundle, table: Table):
    inputs = inputs_of(bundle.features, table, np.flatnonzero(table.found))
    path = bundle.folder / edge_bundle.NETWORK
    model = network.network(path, bundle.features, len(bundle.labels))
    step = model.output_quantisation[0] or 1e-4

    difference = np.abs(by_reference(path, inputs) - network.logits(model, inputs.vectors))

    assert difference.max() <= 2 * step + 1e-6
    assert difference.mean() < step / 4


def test_a_network_that_says_something_else_is_told_by_its_agreement(bundle: Bundle, table: Table):
    inputs, label = faces_of(bundle, table)
    # Whatever it sees, it says the first label.
    layer = Layer(np.zeros((bundle.features.size, 8), np.float32), np.eye(8, dtype=np.float32)[0])
    stubborn = quantise.to_tflite(FloatNetwork([layer], None), None)
    float_path(bundle.folder).write_bytes(stubborn)
    bundle = with_float(bundle, hashlib.sha256(stubborn).hexdigest())

    wrong, _, edges = compare(bundle, inputs, all_of(inputs), label, list(range(8)))

    assert edges.accuracy > 0.5
    assert wrong.accuracy < 0.2
    assert wrong.agreement < 0.2


def test_only_the_labels_in_question_can_be_said(bundle: Bundle, table: Table):
    inputs, label = faces_of(bundle, table)

    engines = compare(bundle, inputs, all_of(inputs), np.zeros_like(label), [2, 3])

    landmarks = table.landmarks[table.found & (table.split == "test")]
    said_2 = bundle.classifier.probabilities(landmarks)[:, [2, 3]].argmax(axis=1) == 0
    assert engines[-1].accuracy == pytest.approx(said_2.mean())
    assert engines[-1].agreement == 1


def test_a_missed_face_is_an_error_of_every_engine(bundle: Bundle, table: Table):
    inputs, label = faces_of(bundle, table)
    half = np.repeat([True, False], len(inputs))

    every = compare(bundle, inputs, all_of(inputs), label, list(range(8)))
    half_missed = compare(bundle, inputs, half, np.tile(label, 2), list(range(8)))

    assert [each.accuracy for each in half_missed] == pytest.approx([each.accuracy / 2 for each in every])
    assert [each.agreement for each in half_missed] == [each.agreement for each in every]


def test_without_a_face_there_is_nothing_to_compare_on(bundle: Bundle, table: Table):
    inputs = faces_of(bundle, table)[0][slice(0)]

    with pytest.raises(DataError, match="no face was found"):
        compare(bundle, inputs, np.zeros(3, bool), np.zeros(3, np.intp), list(range(8)))


@pytest.mark.parametrize("name", ["both_folder", "crop_folder"])
def test_they_agree_on_crops_too(request: pytest.FixtureRequest, name: str, store: CropStore):
    bundle = edge_bundle.load(request.getfixturevalue(name))
    inputs, label = faces_of(bundle, store.table, store)

    whole, reference, edges = compare(bundle, inputs, all_of(inputs), label, list(range(8)))

    assert reference.name == "int8, TensorFlow's interpreter"
    assert edges.accuracy > 0.5
    assert reference.agreement > 0.97
    assert whole.agreement > 0.97
