"""Fault injection for the tests of the service: parts of the daemon hang while a file exists.

The tests install it into the environment of a release. A .pth file imports it when Python starts; it patches each
module after the daemon has imported it.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

FAULTS = {
    "edge.face_mesh.litert": ("LiteRTFaceMesh", "process", "/run/mesh-hangs"),
    "edge.mqtt.session": ("Session", "loop_once", "/run/publisher-hangs"),
    "picamera2.picamera2": ("Picamera2", "close", "/run/camera-close-hangs"),
}
"""Module -> class, method, and the file that makes the method hang."""


class Faults(importlib.abc.MetaPathFinder):
    """Patches the modules of `FAULTS` after they are loaded."""

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        """See importlib.abc.MetaPathFinder."""
        if name not in FAULTS:
            return None
        fault = FAULTS.pop(name)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_with_fault(module: ModuleType) -> None:
            load(module)
            make_hang(getattr(module, fault[0]), fault[1], Path(fault[2]))

        spec.loader.exec_module = load_with_fault
        return spec


def make_hang(owner: type, name: str, file: Path) -> None:
    """Make a method hang while the file exists."""
    method = getattr(owner, name)

    def hanging(*arguments: Any, **options: Any) -> Any:
        while file.exists():
            time.sleep(0.1)
        return method(*arguments, **options)

    setattr(owner, name, hanging)


sys.meta_path.insert(0, Faults())
