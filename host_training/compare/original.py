"""The usual keypoint classifier, as many projects have it from a hand-gesture recogniser.

Preprocessing and network are from https://github.com/Kazuhito00/hand-gesture-recognition-using-mediapipe (app.py,
`pre_process_landmark`; keypoint_classification.ipynb), which
https://github.com/REWTAO/Facial-emotion-recognition-using-mediapipe applies to faces. There landmarks are rounded to
whole pixels of the camera; here they are not, because rounding would cost a small picture more than a large one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from edge.values import LANDMARKS
from host_training.compare.contender import Contender, Trained, TrainingData
from host_training.data.keypoints import TRAIN, VALIDATION
from host_training.quiet import quiet
from host_training.training.layers import seed_everything

with quiet():
    import keras

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from host_training.data.keypoints import Table

HIDDEN = (20, 10)
DROPOUT = (0.2, 0.4)
"""Dropout rates before each hidden layer."""
BATCH, EPOCHS, PATIENCE = 128, 1000, 20
STEPS_AT_A_TIME = 32
"""Steps per execution: Keras's overhead between steps would take most of the time of so small a network."""


def original(epochs: int = EPOCHS) -> Contender:
    """Adam on sparse categorical cross-entropy; the weights of the last epoch are kept, as there.

    Args:
        epochs: at most.
    """
    return Contender(
        "original",
        "x and y relative to point 0, divided by the largest; dense 20, 10",
        "labels",
        lambda data, seed: _fit(data, seed, epochs),
    )


def preprocess(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """x0, y0, x1, y1, ..., float32[N, 956], -1 to 1, of faces, float32[N, 478, 3] px, relative to point 0."""
    flat = (landmarks[:, :, :2] - landmarks[:, :1, :2]).reshape(len(landmarks), -1)
    return np.asarray(flat / np.abs(flat).max(axis=1, keepdims=True), np.float32)


def build(labels: int) -> Any:
    """The compiled network."""
    layers: list[Any] = [keras.Input((LANDMARKS * 2,))]
    for rate, units in zip(DROPOUT, HIDDEN, strict=True):
        layers += [keras.layers.Dropout(rate), keras.layers.Dense(units, activation="relu")]
    model = keras.Sequential([*layers, keras.layers.Dense(labels, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", steps_per_execution=STEPS_AT_A_TIME)
    return model


def _fit(data: TrainingData, seed: int, epochs: int) -> Trained:
    seed_everything(seed)
    model = build(len(data.targets.labels))
    with tqdm(total=epochs, desc="original", unit=" epochs", leave=False) as bar:
        model.fit(
            preprocess(data.landmarks(TRAIN)),
            data.labels(TRAIN),
            validation_data=(preprocess(data.landmarks(VALIDATION)), data.labels(VALIDATION)),
            batch_size=BATCH,
            epochs=epochs,
            callbacks=[
                keras.callbacks.EarlyStopping("val_loss", patience=PATIENCE),
                keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: bar.update()),
            ],
            verbose=0,
        )

    def probabilities(table: Table) -> NDArray[np.float32]:
        return np.asarray(model(preprocess(table.landmarks)))

    return Trained(probabilities, model.count_params())
