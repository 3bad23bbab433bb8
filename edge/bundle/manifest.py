"""`manifest.json` of a model bundle: what it is, what it takes to read it, and the hash of every file."""

from __future__ import annotations

import json
from collections.abc import Mapping  # noqa: TC003  `build` reads the types of the fields
from dataclasses import dataclass, field
from datetime import date  # noqa: TC003  likewise
from typing import Annotated

from edge.validation import Between, InvalidError, Items, Matching, Text, as_json, build

SCHEMA = 1
"""Version of the form below."""

Sha256 = Annotated[str, Matching("[0-9a-f]{64}", "a sha256 of 64 hexadecimal digits")]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a model comes from. A device reads the metrics alone; all else is for people and the training kit."""

    metrics: Mapping[str, float]
    """Headline figures of its evaluation on the test rows."""
    float_sha256: str = ""
    """Of the float network that it was quantised from."""
    data: str = ""
    """Keypoint table that it was trained on."""
    rows: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By split: all rows, those with a face, those that are judged."""
    protocol: str = ""
    """How a row gets its label."""
    command: str = ""
    """What makes this bundle again."""
    seed: int = 0
    landmarker_sha256: str = ""
    """Of the model that measured the table's landmarks."""
    libraries: Mapping[str, str] = field(default_factory=dict)
    """Versions of what decides the weights."""
    processor: str = ""
    """Its model and instruction sets, which decide how the training rounds; empty: not recorded."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The whole file."""

    schema: int
    id: Annotated[str, Matching(r"[A-Za-z0-9][\w.+-]{0,99}", "at most 100 letters, digits and . _ + -")]
    """Name and fingerprint of the model, as events carry it."""
    counter: Annotated[int, Between(0)]
    """Rises from bundle to bundle, so that an old one can be told from a new one."""
    labels: Annotated[tuple[Annotated[str, Text("a label")], ...], Items(2, distinct=True)]
    """In the order of the network's outputs."""
    inputs: tuple[str, ...]
    """What the classifier reads, see `features.INPUTS`."""
    temperature: Annotated[float, Between(0, low_allowed=False)]
    """Divides the logits (Guo et al. 2017)."""
    feature_contract: Sha256
    """Hash of everything that the classifier's inputs depend on, see `Features.contract_hash`."""
    landmarker_sha256: Sha256
    """Of the face mesh model whose landmarks it reads."""
    least_edge_version: Annotated[str, Matching(r"[\w.+-]{1,40}", "a version")]
    files: Mapping[str, Sha256]
    """Every file of the bundle but this one, its signature, and the face mesh."""
    provenance: Provenance
    created: str = ""
    """RFC 3339, UTC."""
    expires: date | None = None
    """Last day, in UTC, on which a device that checks signatures loads it; None: it never expires."""

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Read the bytes of the file.

        Raises:
            InvalidError: they are no JSON, of another schema, or a value is missing or not allowed.
        """
        try:
            values = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InvalidError(f"it is not JSON ({error})") from error
        # First of all: what another schema asks for is not known here.
        if isinstance(values, dict) and isinstance(values.get("schema"), int) and values["schema"] != SCHEMA:
            raise InvalidError(
                f"it has schema {values['schema']}, and this version reads {SCHEMA}; update emotion-edge"
            )
        return build(cls, values)

    def to_json(self) -> bytes:
        """The bytes of the file."""
        return (json.dumps(as_json(self), indent=1, ensure_ascii=False) + "\n").encode()
