from __future__ import annotations

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from edge.errors import DataError, NoInputError
from host_training.compare import cnn
from host_training.compare.contender import TrainingData
from host_training.compare.crops import SIZE, Pictures
from host_training.data.keypoints import take
from host_training.data.source import Pixels
from host_training.data.votes import targets_of

pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")


@pytest.fixture(scope="module", autouse=True)
def _eager():
    """Few steps of a deep network are cheaper than its graph; `test_command` trains one as a graph."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def untrained(name="MobileNet", side=64, **arguments):
    keras.utils.set_random_seed(7)
    return getattr(keras.applications, name)(
        weights=None, input_shape=(side, side, 3), **{"include_top": False, **arguments}
    )


def stored_as_keras_distributes_it(model, path):
    """The legacy layout: a group a layer, with the names in attributes."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        file.attrs["keras_version"], file.attrs["backend"] = b"2.0.5", b"tensorflow"
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{index}:0" for index in range(len(layer.weights))]
            group.attrs["weight_names"] = [name.encode() for name in names]
            # As Keras 2 had it: what is trained first.
            for name, value in zip(names, layer.trainable_weights + layer.non_trainable_weights, strict=True):
                group[name] = value.numpy()


@pytest.fixture(scope="session")
def mobilenet():
    model = untrained()
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # As found by hand: with 1, nothing would be left of a picture after 27 layers of random weights.
            layer.moving_variance.assign(np.full(layer.moving_variance.shape, 0.04))
    return model


@pytest.fixture(scope="session")
def weights(mobilenet, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mobilenet.weights.h5"
    mobilenet.save_weights(path)
    return path


def stored(model, suffix, folder):
    path = folder / f"weights{suffix}"
    {".h5": lambda: stored_as_keras_distributes_it(model, path), ".weights.h5": lambda: model.save_weights(path)}.get(
        suffix, lambda: model.save(path)
    )()
    return path


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
def test_the_backbone_has_the_weights_of_the_file(mobilenet, tmp_path, suffix):
    loaded = cnn.backbone("MobileNet", stored(mobilenet, suffix, tmp_path))

    assert len(loaded.weights) == len(mobilenet.weights) > 100
    for mine, theirs in zip(loaded.weights, mobilenet.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy(), err_msg=mine.path)
    assert loaded.input_shape == (None, SIZE, SIZE, 3)


def test_every_backbone_has_a_last_block_and_layers_before_it():
    for name, about in cnn.BACKBONES.items():
        layers = [layer.name for layer in untrained(name).layers if layer.weights]
        last = [each.startswith(about.last_block) for each in layers]
        first = last.index(True)
        assert first > 0, name
        assert all(last[first:]), name
        assert hasattr(keras.applications, about.module)


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
def test_the_weights_of_another_network_are_refused_in_one_line(tmp_path, suffix, recwarn):
    path = stored(untrained("MobileNet", alpha=0.5), suffix, tmp_path)

    with pytest.raises(DataError, match=r"not the weights of MobileNet without its top .*include_top=False$") as caught:
        cnn.backbone("MobileNet", path)

    assert "\n" not in str(caught.value)
    assert not [each for each in recwarn if each.category is UserWarning]


def test_a_file_with_the_top_is_refused(tmp_path):
    path = tmp_path / "mobilenet_1_0_224_tf.h5"
    stored_as_keras_distributes_it(untrained(include_top=True, side=32, classes=5), path)

    with pytest.raises(DataError, match="not the weights of MobileNet without its top"):
        cnn.backbone("MobileNet", path)


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
def test_a_file_with_some_of_the_layers_is_refused(mobilenet, tmp_path, suffix):
    half = keras.Model(mobilenet.input, mobilenet.get_layer("conv_pw_6_relu").output)

    with pytest.raises(DataError, match="not the weights of MobileNet without its top"):
        cnn.backbone("MobileNet", stored(half, suffix, tmp_path))


@pytest.mark.parametrize("name", ["broken.h5", "broken.weights.h5", "broken.keras", "weights.bin"])
def test_refuses_files_without_weights(tmp_path, name):
    (tmp_path / name).write_bytes(b"<html>404</html>")

    with pytest.raises(DataError, match=f"{name}: not the weights of VGG16"):
        cnn.backbone("VGG16", tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(NoInputError, match=r"none\.h5: No such file"):
        cnn.backbone("MobileNet", tmp_path / "none.h5")


@pytest.fixture(scope="session")
def few(table):
    """Two labels, a dozen rows."""
    chosen = [
        np.flatnonzero((table.split == split) & table.found & (table.label == label))[:count]
        for split, counts in (("train", (6, 3)), ("validation", (2, 1)), ("test", (2, 2)))
        for label, count in enumerate(counts)
    ]
    return take(table, np.concatenate(chosen))


@pytest.fixture(scope="session")
def pictures(few):
    """Bright ones of one label, dark ones of the other, a little uneven."""
    rng = np.random.default_rng(0)
    return Pictures(
        few,
        {
            row: Pixels(rng.integers(0, 60, (120, 120), dtype=np.uint8) + np.uint8(180 * label))
            for row, label in enumerate(few.label.tolist())
        },
    )


@pytest.fixture(scope="session")
def data(few):
    return TrainingData.of(few, targets_of(few, ["neutral", "happiness"]))


@pytest.fixture(scope="session")
def tuned(weights, pictures, data):
    return cnn.tuned("MobileNet", weights, pictures, data, seed=1, epochs=2)


def test_training_changes_only_the_head_and_the_last_block(tuned, mobilenet):
    (base,) = [layer for layer in tuned.layers if layer.name.startswith("mobilenet")]
    (bias,) = [each for each in tuned.get_layer("head").weights if each.path.endswith("bias")]
    last = cnn.BACKBONES["MobileNet"].last_block

    assert np.abs(bias.numpy()).min() > 0  # it began at 0
    for layer in mobilenet.layers:
        mine = base.get_layer(layer.name) if layer.weights else layer
        same = [np.array_equal(a, b) for a, b in zip(mine.get_weights(), layer.get_weights(), strict=True)]
        if layer.name.startswith(last) and "_bn" not in layer.name:
            assert same == [False] * len(layer.weights), layer.name
        else:
            assert all(same), layer.name


def test_it_reads_pictures_and_gives_distributions(weights, pictures, few, data, tuned):
    contender = cnn.cnn("MobileNet", weights, pictures, few.ids.tolist(), 2)
    trained = contender.fit(data, 1)

    said = trained.probabilities(few)

    assert contender.why_not == ""
    assert said.shape == (len(few), 2)
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)
    crops = keras.applications.mobilenet.preprocess_input(pictures.crops(few, "test").astype(np.float32))
    np.testing.assert_allclose(said, tuned.predict(crops, verbose=0), atol=1e-5)  # and the seed alone decides
    assert trained.parameters == tuned.count_params()


def test_asks_for_missing_weights_or_pictures(weights, pictures, few):
    ids = few.ids.tolist()

    assert cnn.cnn("VGG16", None, pictures, ids).why_not == "no weights given: --backbone VGG16 --weights FILE"
    assert cnn.cnn("MobileNet", weights, None, ids).why_not == "no pictures given: --pictures NAME:PATH"
    assert "2 rows have no picture, other/1 among them" in (
        cnn.cnn("MobileNet", weights, pictures, ["other/1", *ids, "other/2"]).why_not
    )


def test_wrong_weights_are_known_before_anything_is_trained(pictures, few, tmp_path):
    with pytest.raises(NoInputError):
        cnn.cnn("MobileNet", tmp_path / "none.h5", pictures, few.ids.tolist())


def test_batches_shuffle_and_mirror_in_each_epoch():
    crops = np.zeros((100, SIZE, SIZE, 3), np.uint8)
    crops[:, 0, 0] = np.arange(100)[:, None] + 1
    batches = cnn.Batches("MobileNet", crops, np.arange(100), seed=3)

    def epoch():
        values, labels = zip(*(batches[index] for index in range(len(batches))), strict=True)
        pixels = np.rint((np.concatenate(values) + 1) * 127.5).astype(int)[:, 0, :, 0]
        batches.on_epoch_end()
        return pixels[:, 0] > 0, pixels.max(axis=1), np.concatenate(labels)

    straight, value, label = epoch()
    again = epoch()

    np.testing.assert_array_equal(value, label + 1)
    assert sorted(label.tolist()) == list(range(100))
    assert 25 < straight.sum() < 75
    assert (label != again[2]).any()
    assert (straight != again[0]).any()
