"""Keypoint table -> model bundle: features, network, calibration, quantisation with its gate, evaluation, packing."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge import classifier
from edge.features import Features
from edge.runtime import runtime_name
from host_training import bundle, calibrate, card, network, quantise
from host_training import settings as settings_module
from host_training.errors import TableError
from host_training.evaluate import PROTOCOL, evaluate
from host_training.keypoints import SPLITS, TEST, TRAIN, VALIDATION
from host_training.landmark_sets import mirrored, points_of
from host_training.votes import LABELS, majority, soft_targets

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from host_training.keypoints import Table
    from host_training.network import Layer, Rows
    from host_training.settings import TrainSettings

GOLDEN_PER_LABEL = 2
GOLDEN_CONFIDENCE = 0.9
"""Probability of its label that a golden face should have."""
LIBRARIES = ("tensorflow", "keras", "numpy")


@dataclass(frozen=True, slots=True)
class Quantised:
    """What quantisation made of a network."""

    network: bytes
    """The TFLite file that goes into the bundle."""
    kind: str
    """`int8`, or `float32` where the gate did not let int8 through."""
    parity: quantise.Parity


def run(
    table: Table, settings: TrainSettings, out: Path, *, table_path: Path, settings_path: Path | None = None
) -> str:
    """Train, judge and pack a classifier.

    Args:
        table: the rows; training never sees its test rows.
        settings: the recipe.
        out: the folder of the bundle; replaced once the new bundle has passed every check.
        table_path: where the table came from, for the report.
        settings_path: where the settings came from, for the report; None: they are the defaults.

    Returns:
        What to tell the user.

    Raises:
        TableError: a split is empty.
        BundleWriteError: the bundle cannot be written.
    """
    _check_splits(table)
    label, judged = majority(table.votes)
    judged &= (table.split == VALIDATION) & table.found
    # The place for the result comes first: nobody should wait for a training that can't be kept.
    with bundle.staging(out) as folder:
        began = time.monotonic()
        features, training, validation = prepare(table, settings)
        layers, losses = network.train(training, validation, settings)
        seconds = time.monotonic() - began
        vectors, _ = features(table.landmarks[judged])
        quantised = choose(layers, training.vectors, vectors, label[judged], seed=settings.seed, folder=folder)
        temperature = calibrate.temperature(_by_device(quantised.network, vectors, folder), label[judged])
        rows = np.flatnonzero(majority(table.votes)[1] & (table.split == TRAIN) & table.found)
        vectors, _ = features(table.landmarks[rows])
        probabilities = classifier.softmax(_by_device(quantised.network, vectors, folder), temperature)
        packed = bundle.write_model(
            folder,
            network=quantised.network,
            features=features,
            temperature=temperature,
            golden=golden_rows(table, probabilities, rows),
            name=settings.name,
        )
        scores = {split: evaluate(packed, table, split) for split in (VALIDATION, TEST)}
        report = {
            "id": packed.id,
            "protocol": PROTOCOL,
            "evaluate_command": f"emotion-train evaluate --bundle {_shown(out)} --table {_shown(table_path)}",
            "settings": settings_module.as_dict(settings),
            "rows": _rows(table),
            "kind": quantised.kind,
            "parity": {**asdict(quantised.parity), "holds": quantised.parity.holds},
            "parameters": sum(layer.kernel.size + layer.bias.size for layer in layers),
            "bytes": len(quantised.network),
            "temperature": temperature,
            "losses": losses,
            "evaluation": {split: found.as_dict() for split, found in scores.items()},
        }
        provenance: dict[str, Any] = {
            "data": _shown(table_path),
            "rows": report["rows"],
            "protocol": PROTOCOL,
            "metrics": scores[TEST].headline(),
            "command": f"emotion-train train --table {_shown(table_path)} --out {_shown(out)}"
            + (f" --settings {_shown(settings_path)}" if settings_path else ""),
            "seed": settings.seed,
            "landmarker_sha256": packed.manifest["landmarker_sha256"],
            "libraries": _libraries(),
        }
        text = card.text(report, provenance, scores[TEST], scores[VALIDATION])
        bundle.finish(folder, packed.manifest, provenance, json.dumps(report, indent=1) + "\n", text)
        installed = bundle.install(folder, out)
    return (
        f"trained in {seconds:.0f} s over {len(losses['loss'])} epochs\n"
        f"{card.parity_line(report)}\n\n{scores[TEST].text()}\n\nwrote {installed.id} to {out}"
    )


def prepare(table: Table, settings: TrainSettings) -> tuple[Features, Rows, Rows]:
    """The feature contract, the training rows with their mirror images, and the validation rows."""
    targets, voted = soft_targets(table.votes)
    usable = voted & table.found
    mine, theirs = usable & (table.split == TRAIN), usable & (table.split == VALIDATION)
    landmarks = table.landmarks[mine]
    both = np.concatenate([landmarks, mirrored(landmarks)])
    # Mirror images make the reference and the statistics even-handed too.
    features = Features.fit(both, points_of(settings.regions))
    vectors, _ = features(both)
    weights = network.class_weights(targets[mine], settings.class_weight_power)
    training = network.Rows(vectors, np.tile(targets[mine], (2, 1)), np.tile(weights, 2))
    vectors, _ = features(table.landmarks[theirs])
    return features, training, network.Rows(vectors, targets[theirs], np.ones(len(vectors), np.float32))


def choose(
    layers: list[Layer],
    training: NDArray[np.float32],
    validation: NDArray[np.float32],
    label: NDArray[np.intp],
    *,
    seed: int,
    folder: Path,
) -> Quantised:
    """The int8 network if it holds against the float one on the validation rows, else the float one.

    Args:
        layers: the float network.
        training: float32[N, F], where the int8 ranges come from.
        validation: float32[M, F].
        label: int[M].
        seed: chooses the representatives.
        folder: for files on the way.
    """
    small = quantise.to_tflite(layers, quantise.representatives(layers, training, seed))
    by_float = network.logits(layers, validation)
    heat = calibrate.temperature(by_float, label)
    parity = quantise.compare(
        classifier.softmax(by_float, heat),
        classifier.softmax(_by_device(small, validation, folder), heat),
        label,
    )
    if parity.holds:
        return Quantised(small, "int8", parity)
    return Quantised(quantise.to_tflite(layers, None), "float32", parity)


def golden_rows(table: Table, probabilities: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """A few faces of every label that the model is sure of, float32[G, 478, 3] px.

    Interpreters may round a logit to neighbouring int8 steps. Halfway between two labels that moves a probability
    by more than a golden one may be off; where the model is sure it hardly does.

    Args:
        table: the training rows among others.
        probabilities: float32[M, 8], what the model says to `rows`.
        rows: int[M], training rows that have a label.
    """
    label, _ = majority(table.votes)
    chosen = []
    for index in range(len(LABELS)):
        mine = np.flatnonzero(label[rows] == index)
        sure = probabilities[mine, index]
        first = mine[sure >= GOLDEN_CONFIDENCE][:GOLDEN_PER_LABEL]
        surest = mine[np.argsort(-sure, kind="stable")][:GOLDEN_PER_LABEL]
        chosen.append(rows[first if len(first) == GOLDEN_PER_LABEL else surest])
    golden: NDArray[np.float32] = table.landmarks[np.concatenate(chosen)]
    return golden


def _shown(path: Path) -> str:
    """A path as a report may tell it: folders of this machine concern nobody else."""
    return path.name if path.is_absolute() else str(path)


def _check_splits(table: Table) -> None:
    _, judged = majority(table.votes)
    for split in SPLITS:
        if not (judged & table.found & (table.split == split)).any():
            raise TableError(f"the table has no usable row in its {split} split: import a whole data set")


def _by_device(tflite: bytes, vectors: NDArray[np.float32], folder: Path) -> NDArray[np.float32]:
    """Logits, float32[N, C], of the edge's own interpreter."""
    path = folder / "candidate.tflite"
    path.write_bytes(tflite)
    try:
        return classifier.logits(classifier.network(path, vectors.shape[1], len(LABELS)), vectors)
    finally:
        path.unlink()


def _rows(table: Table) -> dict[str, dict[str, int]]:
    _, judged = majority(table.votes)
    return {
        split: {
            "rows": int((table.split == split).sum()),
            "found": int((table.found & (table.split == split)).sum()),
            "judged": int((judged & (table.split == split)).sum()),
        }
        for split in SPLITS
    }


def _libraries() -> dict[str, str]:
    """Versions of what decides the weights."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), "interpreter": runtime_name(), **versions}
