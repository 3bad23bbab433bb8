"""Writes a model bundle as `edge.bundle` reads it; a bundle in its place stays until the new one passes every check."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import edge
from edge.bundle import bundle as edge_bundle
from edge.bundle.manifest import SCHEMA, Manifest, Provenance
from edge.classifier import network as classifier
from edge.errors import ConfigError
from edge.face_mesh.models import LANDMARKER, MEMBERS
from host_training.errors import BundleWriteError
from host_training.evaluation.engines import float_path
from host_training.training.bundle_files import CARD, REPORT, hashes, write_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from edge.classifier.features import Features

GOLDEN_CONFIDENCE = 0.9
"""Minimum probability of a golden face's label. Interpreters may round a logit to neighbouring int8 steps. Between two
labels that changes a probability by more than the self-test tolerates; where the model is sure, hardly."""
ID_DIGITS = 8
"""Number of hexadecimal digits of the model's hash in its id."""


@contextlib.contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out`, to be filled and then moved there; also a place for its float network.

    Raises:
        BundleWriteError: `out` cannot be written, or is not a bundle.
    """
    if out.is_symlink():
        raise BundleWriteError(f"{out}: is a link, and is not replaced; give the folder that it leads to")
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / edge_bundle.MANIFEST).exists())):
        raise BundleWriteError(f"{out}: is not a model bundle, and is not replaced; give another --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        float_path(folder).parent.mkdir(exist_ok=True)
    except OSError as error:
        raise BundleWriteError(f"{out}: cannot be written ({error.strerror})") from error
    try:
        yield folder
    except OSError as error:
        raise BundleWriteError(f"{out}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        network = float_path(folder)
        network.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it holds the float networks of other bundles
            network.parent.rmdir()


def write_model(
    folder: Path,
    *,
    network: bytes,
    float_network: bytes,
    features: Features,
    temperature: float,
    labels: tuple[str, ...],
    golden: tuple[NDArray[np.float32], NDArray[np.uint8] | None],
    name: str,
) -> edge_bundle.Bundle:
    """Write the files that a device runs, and load them as a device does.

    Args:
        folder: empty, from `staging`.
        network: the TFLite file.
        float_network: the TFLite file before quantisation; it goes to `engines.float_path`.
        features: the feature contract.
        temperature: from `fit_temperature`.
        labels: in the order of the network's outputs.
        golden: landmarks, float32[G, 478, 3] px, and, if the network reads crops, crops, uint8[G, S, S]. Those that it
            is not sure of are left out, unless it is sure of none.
        name: first part of the id.
    """
    (folder / edge_bundle.NETWORK).write_bytes(network)
    features.save(folder / edge_bundle.FEATURES)
    float_path(folder).write_bytes(float_network)
    model = classifier.network(folder / edge_bundle.NETWORK, features, len(labels))
    landmarks, crops = golden
    probabilities = classifier.Classifier(model, features, temperature).probabilities(landmarks, crops)
    arrays: dict[str, Any] = {"landmarks": landmarks, "probabilities": probabilities}
    if crops is not None:
        arrays["crops"] = crops
    sure = probabilities.max(axis=1) >= GOLDEN_CONFIDENCE
    if sure.any():  # with a mean crop the network may be less sure than with a face's own
        arrays = {name: values[sure] for name, values in arrays.items()}
    np.savez_compressed(folder / edge_bundle.GOLDEN, **arrays)
    content = hashlib.sha256(network + features.contract_hash.encode() + repr(temperature).encode()).hexdigest()
    created = datetime.now(UTC).replace(microsecond=0)
    manifest = Manifest(
        schema=SCHEMA,
        id=f"{name}-{content[:ID_DIGITS]}",
        created=created.isoformat().replace("+00:00", "Z"),
        counter=int(created.timestamp()),
        inputs=features.inputs,
        labels=labels,
        temperature=temperature,
        feature_contract=features.contract_hash,
        landmarker_sha256=MEMBERS[LANDMARKER],
        least_edge_version=edge.__version__,
        files=hashes(folder),
        provenance=Provenance(metrics={}, float_sha256=hashlib.sha256(float_network).hexdigest()),
    )
    write_manifest(folder, manifest)
    return edge_bundle.load(folder)


def finish(folder: Path, manifest: Manifest, provenance: Provenance, report: str, card: str) -> None:
    """Add report, card and provenance."""
    (folder / REPORT).write_text(report, "utf-8")
    (folder / CARD).write_text(card, "utf-8")
    write_manifest(folder, replace(manifest, files=hashes(folder), provenance=provenance))


def shown(path: Path) -> str:
    """A path as a report shows it, without folders of this machine."""
    return path.name if path.is_absolute() or ".." in path.parts else str(path)


def install(folder: Path, out: Path) -> edge_bundle.Bundle:
    """Check the finished bundle as a device does, and move it and its float network to their places.

    Raises:
        BundleWriteError: it does not pass, or cannot be moved; a bundle at `out` is unchanged.
    """
    try:
        edge_bundle.load(folder)
    except ConfigError as error:
        raise BundleWriteError(f"the new bundle does not pass its own checks: {error}") from error
    folder.chmod(0o755)  # a temporary folder is for its owner alone
    old = out.with_name(f"{folder.name}.old")
    try:
        if out.exists():
            out.rename(old)
        try:
            folder.rename(out)
        except OSError:
            if old.exists():
                old.rename(out)
            raise
    except OSError as error:
        raise BundleWriteError(f"{out}: cannot be replaced ({error.strerror})") from error
    shutil.rmtree(old, ignore_errors=True)
    try:
        float_path(folder).replace(float_path(out))
    except OSError as error:
        raise BundleWriteError(f"{float_path(out)}: cannot be replaced ({error.strerror})") from error
    return edge_bundle.load(out)
