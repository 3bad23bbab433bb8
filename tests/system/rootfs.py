"""Builds the root file systems of the test bed, Debian as in Raspberry Pi OS, once each, into the cache.

Trixie has a camera: libcamera's virtual pipeline under unmodified Picamera2, with pictures of the demo. On a Pi,
python3-picamera2 comes from Raspberry Pi's own archive; here it comes from a small local archive.
"""

from __future__ import annotations

import ast
import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.camera.demo.camera import DemoCamera
from edge.settings import CameraSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emotion-edge" / "testbed"
GLUE = Path(__file__).parent / "glue"
DEMO = Path(__file__).parents[2] / "edge" / "camera" / "demo"

PROGRAMS = {"systemd-nspawn": "systemd-container", "mmdebstrap": "mmdebstrap", "gcc": "gcc libc6-dev"}
"""Programs that the host needs -> their Debian packages."""

PICTURE_TIMES = [0.5 + i / 7.5 for i in range(75)]
"""Times in the demo, s, of the pictures that the virtual camera shows: happiness, neutral and surprise in turn.

libcamera shows each picture for four frames, so that 30 frames/s play them at the speed of the demo.
"""

PICAMERA2 = "0.3.38"

PIP_PLACES = ("index-url", "extra-index-url", "find-links")
"""pip settings that locate packages. Folders among their values are mounted into the container."""
PIP_VALUES = ("no-index", "trusted-host", "proxy", "timeout", "default-timeout", "retries")
"""pip settings with plain values, which are valid in any root."""
PIP_FILES = {"cert": "etc/ssl/certs/ca-certificates.crt", "client-cert": "etc/ssl/pip-client.pem"}
"""pip settings that name a file -> its path in the root. All other settings of the host, such as a constraint, a cache
or a target, are ignored."""

_COMPILE = """
apt-get -qq update
apt-get -qq install --no-install-recommends gcc libc6-dev python3-dev
pip install -qq --no-deps --no-compile --root-user-action=ignore --target=/modules \
  picamera2==$PICAMERA2 PiDNG==4.0.9 simplejpeg==1.9.0 videodev2==0.0.4 OpenEXR==3.5.3
"""


@dataclass(frozen=True)
class Release:
    """A Debian release."""

    name: str
    packages: tuple[str, ...]
    camera: bool

    @property
    def key(self) -> str:
        """Digest of everything that determines the root."""
        recipe = [Path(__file__), *sorted(GLUE.glob("*.*")), *sorted(DEMO.glob("*.py"))]
        content = b"".join(path.read_bytes() for path in recipe) + repr(sorted(pip_settings().items())).encode()
        return hashlib.sha256(content).hexdigest()[:12]

    @property
    def template(self) -> Path:
        """Path of the finished root, which is never booted itself."""
        return CACHE / self.name / self.key


_COMMON = (
    *("systemd", "systemd-sysv", "udev", "dbus", "libpam-systemd", "libseccomp2", "procps", "kmod", "iproute2"),
    *("ca-certificates", "sudo", "rsync", "openssh-server"),
    *("python3", "python3-venv", "python3-pip", "python3-numpy", "python3-systemd"),
)

_PICAMERA2_NEEDS = (
    *("python3-av", "python3-jsonschema", "python3-libarchive-c", "python3-piexif"),
    *("python3-pil", "python3-prctl", "python3-tqdm"),
)

TRIXIE = Release(
    "trixie",
    (
        *_COMMON,
        *("python3-libcamera", "libcamera-ipa", "libcamera-tools"),
        *_PICAMERA2_NEEDS,
    ),
    camera=True,
)
BOOKWORM = Release("bookworm", _COMMON, camera=False)


def missing_programs() -> list[str]:
    """The Debian packages that the host lacks."""
    return [package for program, package in PROGRAMS.items() if shutil.which(program) is None]


def built(release: Release) -> Path:
    """The template of a release. Builds it if it doesn't exist.

    Raises:
        RuntimeError: a step failed; the message contains its output.
    """
    template = release.template
    with _locked(release):
        _tidy(release)
        if not template.exists():
            started = time.monotonic()
            with tempfile.TemporaryDirectory(dir=CACHE / release.name, prefix="building-") as unfinished:
                root = Path(unfinished) / "root"
                _build(release, root)
                # Renaming is the last step, so that an existing root is complete.
                root.rename(template)
            _say(release, f"done in {time.monotonic() - started:.0f} s: {template}")
    return template


def new_run(release: Release) -> Path:
    """A folder for a container of this process, beside the templates."""
    return Path(tempfile.mkdtemp(dir=CACHE / release.name, prefix=f"run-{os.getpid()}-"))


def _tidy(release: Release) -> None:
    """Remove the remains of killed processes, and templates of older recipes that no container uses."""
    folder = CACHE / release.name
    for run in folder.glob("run-*"):
        if not Path("/proc", run.name.split("-")[1]).exists():
            shutil.rmtree(run)
    for unfinished in folder.glob("building-*"):
        shutil.rmtree(unfinished)
    if not any(folder.glob("run-*")):
        for old in set(folder.glob("????????????")) - {release.template}:
            shutil.rmtree(old)


@contextmanager
def _locked(release: Release) -> Iterator[None]:
    """Wait for another process that builds the same root."""
    folder = CACHE / release.name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(release: Release, root: Path) -> None:
    _say(release, "installing Debian")
    _debian(release, root)
    _say(release, "configuring pip as on this machine")
    _configure_pip(root)
    # No logins, and no timers that start during a test. Port 22 belongs to the host; tests start sshd on another.
    for unit in (
        *("console-getty.service", "getty@.service", "apt-daily.timer", "apt-daily-upgrade.timer"),
        *("ssh.service", "ssh.socket"),
    ):
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
    (root / "etc/hostname").write_text("raspberrypi\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 raspberrypi\n")
    (root / "etc/machine-id").write_text("")
    (root / "var/log/journal").mkdir(exist_ok=True)
    if release.camera:
        _say(release, f"packing picamera2 {PICAMERA2}")
        _archive(root)
        _say(release, "virtual camera, with pictures of the demo")
        _virtual_camera(root)


def _debian(release: Release, root: Path) -> None:
    mirror = "http://deb.debian.org/debian"
    suites = [release.name, f"{release.name}-updates"]
    hooks = []
    if release.camera:
        # libcamera 0.4 of trixie itself leaves the metadata of virtual buffers uninitialised.
        backports = f"{release.name}-backports"
        suites.append(backports)
        pin = f"Package: *libcamera*\\nPin: release n={backports}\\nPin-Priority: 990\\n"
        hooks = [
            f'--setup-hook=mkdir -p "$1/etc/apt/preferences.d"; printf "{pin}" > "$1/etc/apt/preferences.d/camera"'
        ]
    sources = [f"deb {mirror} {suite} main" for suite in suites]
    sources.append(f"deb http://deb.debian.org/debian-security {release.name}-security main")
    _run(
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--skip=cleanup/apt/lists"),
        *(f"--include={','.join(release.packages)}", *hooks, release.name, str(root), *sources),
    )


@functools.cache
def pip_settings() -> dict[str, str]:
    """The pip settings of this machine that a container can use, from files and variables."""
    listed = _run(sys.executable, "-m", "pip", "config", "list").splitlines()
    pairs = [line.partition("=") for line in listed]
    found = {name.rpartition(".")[2]: str(ast.literal_eval(value)) for name, _, value in pairs}
    return {name: found[name] for name in (*PIP_PLACES, *PIP_VALUES, *PIP_FILES) if name in found}


def pip_folders() -> list[Path]:
    """Package folders on this machine that its pip settings name. The container gets them read-only."""
    words = [word for name in PIP_PLACES for word in pip_settings().get(name, "").split()]
    paths = [Path(word.removeprefix("file://")) for word in words if word.startswith(("file:///", "/"))]
    # The pages of a simple index link to files in the folder next to it.
    return sorted({path.parent if path.name == "simple" else path for path in paths if path.is_dir()})


def _configure_pip(root: Path) -> None:
    """Configure pip in the container as on this machine: mirrors, local folders, certificates."""
    settings = dict(pip_settings())
    for name, target in PIP_FILES.items():
        if name in settings:
            shutil.copyfile(settings[name], root / target)
            settings[name] = f"/{target}"
    lines = [" ".join([name, "=", *value.split()]) for name, value in settings.items()]
    (root / "etc/pip.conf").write_text("\n".join(["[global]", *lines, ""]))


def _archive(root: Path) -> None:
    """Make and install a package python3-picamera2, with the dependencies that Debian lacks.

    PiDNG has to be compiled. The compiler is installed into a volatile copy of the root, because a Pi has none.
    """
    archive = root / "opt/archive"
    archive.mkdir()
    architecture = _run("dpkg", "--print-architecture").strip()
    deb = archive / f"python3-picamera2_{PICAMERA2}-1_{architecture}.deb"
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        package = Path(folder)
        modules = package / "usr/lib/python3/dist-packages"
        modules.mkdir(parents=True)
        inside(
            root,
            *("sh", "-ec", _COMPILE),
            options=["--volatile=overlay", f"--bind={modules}:/modules", f"--setenv=PICAMERA2={PICAMERA2}"],
        )
        for module in ("pykms", "virtual_camera"):
            shutil.copyfile(GLUE / f"{module}.py", modules / f"{module}.py")
        with (modules / "picamera2/__init__.py").open("a") as file:
            file.write("\nimport virtual_camera\n")
        (package / "DEBIAN").mkdir()
        (package / "DEBIAN/control").write_text(
            f"Package: python3-picamera2\nVersion: {PICAMERA2}-1\nArchitecture: {architecture}\n"
            "Maintainer: root <root@localhost>\n"
            f"Depends: {', '.join(['python3-libcamera', 'python3-numpy', *_PICAMERA2_NEEDS])}\n"
            "Description: Picamera2 of PyPI, on a virtual camera\n"
        )
        _run("dpkg-deb", "--root-owner-group", "-Znone", "--build", package, deb)
    size, digest = deb.stat().st_size, hashlib.sha256(deb.read_bytes()).hexdigest()
    entry = f"{_run('dpkg-deb', '--field', deb)}Filename: ./{deb.name}\nSize: {size}\nSHA256: {digest}\n"
    (archive / "Packages").write_text(entry)
    (root / "etc/apt/sources.list.d/raspberrypi.list").write_text("deb [trusted=yes] file:/opt/archive ./\n")
    inside(root, "sh", "-ec", "apt-get -qq update && apt-get -qq install python3-picamera2")


def _virtual_camera(root: Path) -> None:
    library = root / "usr/local/lib/fake_dma_heap.so"
    _run("gcc", "-O2", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, GLUE / "fake_dma_heap.c")
    # For the service and for other commands.
    (root / "etc/ld.so.preload").write_text(f"/{library.relative_to(root)}\n")
    configuration = root / "usr/share/libcamera/pipeline/virtual"
    configuration.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(GLUE / "virtual.yaml", configuration / "virtual.yaml")
    pictures = root / "opt/frames"
    pictures.mkdir()
    demo = DemoCamera(CameraSettings())
    for number, seconds in enumerate(PICTURE_TIMES):
        # The virtual pipeline passes on the levels of a JPEG, 0 to 255, as video levels, which are 16 to 235.
        levels = 16 + demo.draw(seconds)[..., ::-1] * (219 / 255)
        cv2.imwrite(str(pictures / f"{number}.jpg"), levels.round().astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 95])


def inside(root: Path, *command: str, options: Sequence[str] = ()) -> str:
    """Run a command in a root that is not booted, and return its output."""
    shared = [f"--bind-ro={folder}" for folder in pip_folders()]
    return _run(
        *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--pipe", "--resolv-conf=copy-host"),
        *("--setenv=DEBIAN_FRONTEND=noninteractive", f"--directory={root}", *shared, *options, "--", *command),
    )


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, check=False, text=True, capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        words = " ".join(map(str, command[:3]))
        raise RuntimeError(f"{words} ...: exit status {done.returncode}\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
    return done.stdout


def _say(release: Release, what: str) -> None:
    print(f"test bed {release.name}: {what}", file=sys.stderr, flush=True)
