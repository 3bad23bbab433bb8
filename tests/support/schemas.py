"""The JSON Schemas of the payloads, each with one validator for all tests, because building one takes milliseconds."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

import edge

FOLDER = Path(edge.__file__).parent / "messages" / "schemas"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def schema(name: str) -> dict[str, Any]:
    """A JSON Schema."""
    read: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return read


@functools.cache
def validator(name: str, definition: str = "") -> Draft202012Validator:
    """The validator of a schema, or of one of its definitions."""
    whole = schema(name)
    return Draft202012Validator({**whole, "$ref": f"#/$defs/{definition}"} if definition else whole)
