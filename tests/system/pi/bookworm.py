"""Runs the product in an emulated Bookworm for arm64, with the wheels that a Pi gets."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from edge.bundle.bundle import GOLDEN_TOLERANCE
from edge.errors import EdgeError
from edge.face_mesh.models import cache_folder
from tests.system.device import REPOSITORY
from tests.system.pi import images

if TYPE_CHECKING:
    from pathlib import Path

PORTRAIT = "edge/camera/demo/assets/demo-portrait.jpg"
BUNDLE = "model/fused"

# Without /proc and /sys: LiteRT crashes if it sees /sys under the qemu of Debian 12.
_INSIDE = """
set -e
mount --bind -o ro "$2" "$1/mnt/site"
mount --bind -o ro "$3" "$1/mnt/checkout"
mount --bind -o ro "$4" "$1/mnt/cache"
root=$1
shift 4
exec env -i PATH=/usr/bin:/bin:/usr/sbin LC_ALL=C.UTF-8 XDG_CACHE_HOME=/mnt/cache \
  PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/mnt/site:/mnt/checkout \
  chroot "$root" sh -c 'cd /mnt/checkout && exec "$@"' sh "$@"
"""
"""ROOT SITE CHECKOUT CACHE COMMAND...: runs a command in the root, with the others mounted for its processes only."""

_VERSIONS = """
import platform, cv2, nacl, numpy, paho.mqtt
from edge.interpreter import runtime_name
print(f"Python {platform.python_version()} on {platform.machine()}", f"NumPy {numpy.__version__}",
      f"OpenCV {cv2.__version__}", runtime_name(), f"paho-mqtt {paho.mqtt.__version__}", f"PyNaCl {nacl.__version__}",
      sep=", ")
"""


class Bookworm:
    """Debian 12 with the packages of a device beside its own NumPy."""

    def __init__(self, root: Path, site: Path) -> None:
        """Keep the paths.

        Args:
            root: result of `images.debian`.
            site: folder for the packages; see `install`.
        """
        self._root = root
        self._site = site

    def install(self, wheels: Path) -> str:
        """Download the wheels that deployment sends to this device, and unpack them; return their number.

        Args:
            wheels: an empty folder.
        """
        packed = json.loads(
            images.run(sys.executable, REPOSITORY / "deploy/workstation/pack.py", "wheels", "aarch64", "3.11")
        )
        shutil.unpack_archive(packed["file"], wheels, filter="data")
        for wheel in wheels.rglob("*.whl"):
            shutil.unpack_archive(wheel, self._site, "zip")
        return f"{len(list(self._site.glob('*.dist-info')))} packages"

    def versions(self) -> str:
        """Import the compiled packages and return their versions."""
        return self.run("python3", "-c", _VERSIONS).strip()

    def verify(self) -> str:
        """Verify the bundle and run its self-test."""
        return self.run("python3", "-m", "edge", "model", "verify", BUNDLE).strip()

    def classify(self) -> str:
        """Classify a picture there and on this machine, and compare the results.

        Raises:
            EdgeError: they differ.
        """
        command = ("-m", "edge", "classify", "--json", PORTRAIT)
        emulated = _face(self.run("python3", *command))
        native = _face(
            subprocess.run([sys.executable, *command], cwd=REPOSITORY, check=True, capture_output=True).stdout
        )
        gap = max(abs(p - native["probabilities"][label]) for label, p in emulated["probabilities"].items())
        result = f"{emulated['expression']} {emulated['confidence']:.4f}, at most {gap:.4f} from this machine's result"
        if emulated["expression"] != native["expression"] or gap > GOLDEN_TOLERANCE:
            raise EdgeError(result)
        return result

    def run(self, *argv: str) -> str:
        """Run a command inside, without a network, and return its output.

        Raises:
            EdgeError: it failed; the message contains its output.
        """
        return images.run(
            *("unshare", "--mount", "--net", "sh", "-c", _INSIDE, "inside"),
            *map(str, (self._root, self._site, REPOSITORY, cache_folder().parents[1], *argv)),
        )


def _face(output: str | bytes) -> dict[str, Any]:
    """The only face in the output of `emotion-edge classify --json` for one picture."""
    (face,) = json.loads(output)["faces"]
    return dict(face)
