"""Keypoint table -> model bundle: the recipe, calibration, quantisation with its gate, evaluation, packing."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge import classifier
from edge.runtime import runtime_name
from host_training.data.keypoints import SPLITS, TEST, TRAIN, VALIDATION
from host_training.data.votes import targets_of
from host_training.errors import TableError
from host_training.evaluation.engines import float_path, save_float
from host_training.evaluation.evaluate import PROTOCOLS, evaluate
from host_training.reporting import card
from host_training.training import bundle, calibrate, network, quantise, recipe
from host_training.training import settings as settings_module

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge.bundle import Bundle
    from host_training.data.keypoints import Table
    from host_training.data.votes import Targets
    from host_training.training.network import Layer
    from host_training.training.recipe import Fitted
    from host_training.training.settings import TrainSettings

GOLDEN_PER_LABEL = 2
GOLDEN_CONFIDENCE = 0.9
"""Probability of its label that a golden face should have."""
LIBRARIES = ("tensorflow", "keras", "numpy")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where table and recipe came from, for the report."""

    table: Path
    command: str
    """What makes this bundle again."""
    notes: tuple[str, ...] = ()
    """What was done to the table before."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """What quantisation made of a network."""

    network: bytes
    """The TFLite file that goes into the bundle."""
    kind: str
    """`int8`, or `float32` where the gate did not let int8 through."""
    parity: quantise.Parity


def run(table: Table, settings: TrainSettings, out: Path, origin: Origin) -> str:
    """Train, judge and pack a classifier.

    Args:
        table: the rows; training never sees its test rows.
        settings: the recipe.
        out: the folder of the bundle; replaced once the new bundle has passed every check. The float network is
            written beside it.
        origin: for the report.

    Returns:
        What to tell the user.

    Raises:
        TableError: a split is empty.
        BundleWriteError: the bundle cannot be written.
    """
    targets = targets_of(table, settings.labels, settings.truth)
    _check_splits(table, targets)
    # The place for the result comes first: nobody should wait for a training that can't be kept.
    with bundle.staging(out) as folder:
        began = time.monotonic()
        fitted = recipe.fit(table, targets, settings)
        seconds = time.monotonic() - began
        packed, quantised = _pack(table, targets, settings, fitted, folder)
        save_float(fitted.layers, float_path(folder))
        scores = {
            split: evaluate(packed, table, split, truth=settings.truth, engines=True, layers=fitted.layers)
            for split in (VALIDATION, TEST)
        }
        report = {
            "id": packed.id,
            "protocol": PROTOCOLS[settings.truth],
            "evaluate_command": f"emotion-train evaluate --bundle {bundle.shown(out)} "
            f"--data {bundle.shown(origin.table)}",
            "settings": settings_module.as_dict(settings),
            "notes": list(origin.notes),
            "data_sets": np.unique(table.data_set).tolist(),
            "rows": _rows(table, targets),
            "counts": _counts(table, targets),
            "kind": quantised.kind,
            "parity": {**asdict(quantised.parity), "holds": quantised.parity.holds},
            "parameters": sum(layer.kernel.size + layer.bias.size for layer in fitted.layers),
            "bytes": len(quantised.network),
            "temperature": packed.manifest["temperature"],
            "losses": fitted.losses,
            "evaluation": {split: found.as_dict() for split, found in scores.items()},
        }
        provenance: dict[str, Any] = {
            "data": bundle.shown(origin.table),
            "rows": report["rows"],
            "protocol": PROTOCOLS[settings.truth],
            "metrics": scores[TEST].headline(),
            "command": origin.command,
            "seed": settings.seed,
            "landmarker_sha256": packed.manifest["landmarker_sha256"],
            "float_sha256": hashlib.sha256(float_path(folder).read_bytes()).hexdigest(),
            "libraries": _libraries(),
        }
        text = card.text(report, provenance)
        bundle.finish(folder, packed.manifest, provenance, json.dumps(report, indent=1) + "\n", text)
        installed = bundle.install(folder, out)
    return (
        f"trained in {seconds:.0f} s over {len(fitted.losses['loss'])} epochs\n"
        f"{card.parity_line(report)}\n\n{scores[TEST].text()}\n\nwrote {installed.id} to {out}"
    )


def _pack(
    table: Table, targets: Targets, settings: TrainSettings, fitted: Fitted, folder: Path
) -> tuple[Bundle, Quantised]:
    """Quantise, calibrate what came of it, and write the files that a device runs."""
    judged = targets.judged & table.found
    mine, theirs = (np.flatnonzero(judged & (table.split == split)) for split in (TRAIN, VALIDATION))
    learnt, watched = (fitted.features(table.landmarks[rows])[0] for rows in (mine, theirs))
    label = targets.hard[theirs]
    quantised = choose(fitted.layers, learnt, watched, label, seed=settings.seed, folder=folder)
    temperature = calibrate.temperature(_by_device(quantised.network, watched, len(targets.labels), folder), label)
    said = _by_device(quantised.network, learnt, len(targets.labels), folder)
    golden = golden_rows(targets.hard[mine], classifier.softmax(said, temperature))
    packed = bundle.write_model(
        folder,
        network=quantised.network,
        features=fitted.features,
        temperature=temperature,
        labels=targets.labels,
        golden=table.landmarks[mine[golden]],
        name=settings.name,
    )
    return packed, quantised


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
    by_float = network.logits(layers, validation)
    heat = calibrate.temperature(by_float, label)
    tried: list[tuple[quantise.Parity, bytes]] = []
    for trim in quantise.TRIMS:
        small = quantise.to_tflite(layers, quantise.representatives(layers, training, seed, trim))
        by_int8 = _by_device(small, validation, by_float.shape[1], folder)
        parity = quantise.compare(classifier.softmax(by_float, heat), classifier.softmax(by_int8, heat), label)
        tried.append((parity, small))
    parity, small = max(tried, key=lambda each: each[0].agreement)
    if parity.holds:
        return Quantised(small, "int8", parity)
    return Quantised(quantise.to_tflite(layers, None), "float32", parity)


def golden_rows(label: NDArray[np.intp], probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which of some faces, int[G], to keep as golden ones: a few of every label that the model is sure of.

    Interpreters may round a logit to neighbouring int8 steps. Halfway between two labels that moves a probability
    by more than a golden one may be off; where the model is sure it hardly does.

    Args:
        label: int[M].
        probabilities: float32[M, C], what the model says.
    """
    chosen = []
    for index in range(probabilities.shape[1]):
        mine = np.flatnonzero(label == index)
        sure = probabilities[mine, index]
        first = mine[sure >= GOLDEN_CONFIDENCE][:GOLDEN_PER_LABEL]
        surest = mine[np.argsort(-sure, kind="stable")][:GOLDEN_PER_LABEL]
        chosen.append(first if len(first) == GOLDEN_PER_LABEL else surest)
    return np.concatenate(chosen)


def _check_splits(table: Table, targets: Targets) -> None:
    for split in SPLITS:
        if not (targets.judged & table.found & (table.split == split)).any():
            raise TableError(f"the table has no usable row in its {split} split: import a whole data set")


def _by_device(tflite: bytes, vectors: NDArray[np.float32], labels: int, folder: Path) -> NDArray[np.float32]:
    """Logits, float32[N, C], of the edge's own interpreter."""
    path = folder / "candidate.tflite"
    path.write_bytes(tflite)
    try:
        return classifier.logits(classifier.network(path, vectors.shape[1], labels), vectors)
    finally:
        path.unlink()


def _rows(table: Table, targets: Targets) -> dict[str, dict[str, int]]:
    return {
        split: {
            "rows": int((table.split == split).sum()),
            "found": int((table.found & (table.split == split)).sum()),
            "judged": int((targets.judged & (table.split == split)).sum()),
        }
        for split in SPLITS
    }


def _counts(table: Table, targets: Targets) -> dict[str, dict[str, int]]:
    """Judged rows by split and label."""
    rows = {split: targets.judged & (table.split == split) for split in SPLITS}
    counts = {split: np.bincount(targets.hard[rows[split]], minlength=len(targets.labels)) for split in SPLITS}
    return {split: dict(zip(targets.labels, counts[split].tolist(), strict=True)) for split in SPLITS}


def _libraries() -> dict[str, str]:
    """Versions of what decides the weights."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), "interpreter": runtime_name(), **versions}
