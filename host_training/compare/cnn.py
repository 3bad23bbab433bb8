"""Image networks by transfer learning: a backbone of keras.applications with its weights from a file, and a new head.

The usual way (https://keras.io/guides/transfer_learning): the frozen backbone turns every crop and its mirror image
into a vector, and the head is trained on these; then the backbone's last block is fine-tuned at a low learning rate,
its batch normalisation still frozen. Both stop when the validation loss stops falling, and keep the best weights.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from edge.errors import DataError, NoInputError
from host_training.compare.contender import Contender, Trained, TrainingData
from host_training.compare.crops import SIZE
from host_training.data.keypoints import TRAIN, VALIDATION, take
from host_training.quiet import quiet
from host_training.training.layers import seed_everything

with quiet():
    import keras

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from host_training.compare.crops import Pictures
    from host_training.data.keypoints import Table


@dataclass(frozen=True, slots=True)
class Backbone:
    """What is particular to one network of keras.applications."""

    module: str
    """Module of keras.applications that has its preprocessing."""
    last_block: tuple[str, ...]
    """First parts of the names of the layers that are fine-tuned."""


BACKBONES = {
    "VGG16": Backbone("vgg16", ("block5_",)),
    "VGG19": Backbone("vgg19", ("block5_",)),
    "ResNet50": Backbone("resnet50", ("conv5_block3_",)),
    "MobileNet": Backbone("mobilenet", ("conv_dw_13", "conv_pw_13")),
}

EPOCHS = 10
"""Maximum number of epochs, for the head and then for the last block."""
PATIENCE = 3
BATCH = 64
DROPOUT = 0.3
HEAD_RATE, TUNING_RATE = 1e-3, 1e-5
"""Learning rates of Adam; the second, from the guide, is low so that the ImageNet weights are not lost."""


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """Preprocessed crops, a batch at a time: all of them as floats would take four times the memory."""

    def __init__(
        self, name: str, crops: NDArray[np.uint8], label: NDArray[np.intp] | None = None, seed: int | None = None
    ) -> None:
        """Batches of crops, with or without labels.

        Args:
            name: one of `BACKBONES`.
            crops: uint8[N, SIZE, SIZE, 3].
            label: int[N]; None: batches without labels.
            seed: shuffles the crops and mirrors half of them, differently in each epoch; None: neither.
        """
        super().__init__()
        self._preprocess = getattr(keras.applications, BACKBONES[name].module).preprocess_input
        self._crops, self._label = crops, label
        self._random = None if seed is None else np.random.default_rng(seed)
        self._order, self._mirror = np.arange(len(crops)), np.zeros(len(crops), np.bool_)
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(len(self._crops) / BATCH)

    def __getitem__(self, index: int) -> Any:
        rows = self._order[index * BATCH : (index + 1) * BATCH]
        crops = self._crops[rows]
        mirrored = self._mirror[rows]
        crops[mirrored] = crops[mirrored, :, ::-1]
        batch = self._preprocess(crops.astype(np.float32))
        return (batch,) if self._label is None else (batch, self._label[rows])

    def on_epoch_end(self) -> None:
        """Draw order and mirror images of the next epoch."""
        if self._random is not None:
            self._order = self._random.permutation(len(self._crops))
            self._mirror = self._random.random(len(self._crops)) < 1 / 2


def cnn(
    name: str, weights: Path | None, pictures: Pictures | None, ids: Sequence[str], epochs: int = EPOCHS
) -> Contender:
    """An image network.

    Args:
        name: one of `BACKBONES`.
        weights: file of its weights without the top: `.h5` as Keras distributes it, `.weights.h5` or `.keras`.
        pictures: of the rows.
        ids: of all rows that it is trained or evaluated on.
        epochs: maximum, for the head and for the last block.

    Raises:
        NoInputError: there is no such file.
        DataError: it holds other weights.
    """
    why_not = ""
    if pictures is None:
        why_not = "no pictures given: --pictures NAME:PATH"
    elif missing := pictures.missing(ids):
        why_not = (
            f"{len(missing)} rows have no picture, {missing[0]} among them: --pictures NAME:PATH for each data set"
        )
    if weights is None:
        why_not = f"no weights given: --backbone {name} --weights FILE"
    else:
        backbone(name, weights)  # a wrong file is refused before anything is trained

    def fit(data: TrainingData, seed: int) -> Trained:
        if weights is None or pictures is None:  # `why_not` reports it, so this is not called
            raise NoInputError(f"{name}: {why_not}")
        model = tuned(name, weights, pictures, data, seed=seed, epochs=epochs)

        def probabilities(table: Table) -> NDArray[np.float32]:
            return _predict(model, Batches(name, pictures.crops(table, name)), name)

        return Trained(probabilities, model.count_params())

    about = f"image network, {SIZE} px, ImageNet weights; new head, last block fine-tuned"
    return Contender(name, about, "labels, pictures and mirror images", fit, why_not=why_not)


def backbone(name: str, weights: Path) -> Any:
    """The network without its top, with the weights of a file.

    Raises:
        NoInputError: there is no such file.
        DataError: it holds other weights.
    """
    model = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(SIZE, SIZE, 3))
    try:
        weights.open("rb").close()
    except OSError as error:
        raise NoInputError(f"{weights}: {error.strerror}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a wrong file causes many, and the error says it all
            model.load_weights(str(weights))
    except Exception as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{weights}: not the weights of {name} without its top ({why}); take the file for include_top=False"
        ) from error
    return model


def tuned(name: str, weights: Path, pictures: Pictures, data: TrainingData, *, seed: int, epochs: int) -> Any:
    """The trained network: the backbone with its last block fine-tuned, global average pooling, the head."""
    seed_everything(seed)
    base = backbone(name, weights)
    crops = {split: pictures.crops(take(data.table, data.rows(split)), name) for split in (TRAIN, VALIDATION)}
    label = {split: data.labels(split) for split in crops}
    inputs = keras.Input((SIZE, SIZE, 3))
    # `training=False`: batch normalisation keeps the statistics of ImageNet.
    vectors = keras.layers.GlobalAveragePooling2D()(base(inputs, training=False))
    head = keras.Sequential(
        [
            keras.Input(vectors.shape[1:]),
            keras.layers.Dropout(DROPOUT),
            keras.layers.Dense(len(data.targets.labels), activation="softmax"),
        ],
        name="head",
    )
    extractor, model = keras.Model(inputs, vectors), keras.Model(inputs, head(vectors))

    given = (crops[TRAIN], crops[TRAIN][:, :, ::-1], crops[VALIDATION])
    straight, mirrored, validation = (_predict(extractor, Batches(name, each), name) for each in given)
    rows = {"x": np.concatenate([straight, mirrored]), "y": np.tile(label[TRAIN], 2), "batch_size": BATCH}
    _train(head, HEAD_RATE, f"{name}: head", epochs, **rows, validation_data=(validation, label[VALIDATION]))

    for layer in base.layers:
        last = layer.name.startswith(BACKBONES[name].last_block)
        layer.trainable = last and not isinstance(layer, keras.layers.BatchNormalization)
    rows = {"x": Batches(name, crops[TRAIN], label[TRAIN], seed), "shuffle": False}
    validation = Batches(name, crops[VALIDATION], label[VALIDATION])
    _train(model, TUNING_RATE, f"{name}: last block", epochs, **rows, validation_data=validation)
    return model


def _train(model: Any, rate: float, name: str, epochs: int, **rows: Any) -> None:
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    with tqdm(total=epochs, desc=name, unit=" epochs", leave=False) as bar:
        model.fit(
            **rows,
            epochs=epochs,
            callbacks=[
                keras.callbacks.EarlyStopping("val_loss", patience=PATIENCE, restore_best_weights=True),
                keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: bar.update()),
            ],
            verbose=0,
        )


def _predict(model: Any, batches: Batches, name: str) -> NDArray[np.float32]:
    parts = [
        model.predict_on_batch(batches[index][0])
        for index in tqdm(range(len(batches)), f"{name}: reading", unit=" batches", leave=False)
    ]
    return np.concatenate(parts)
