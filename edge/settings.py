"""Configuration: one TOML file, checked key by key, into frozen dataclasses.

`emotion-edge.toml` beside this module documents every key and holds every default; a test keeps the two
equal. This is the only reader of configuration. What a text *means* (a camera, an address) is for the module
that uses it to say; here it only has to be a text.
"""

from __future__ import annotations

import socket
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from edge.errors import ConfigError
from edge.secret_files import refuse_if_world_readable, without_password
from edge.validation import Between, InvalidError, OneOf, Text, update

if TYPE_CHECKING:
    from collections.abc import Mapping

TEMPLATE = Path(__file__).with_name("emotion-edge.toml")
SYSTEM_FILE = Path("/etc/emotion-edge/emotion-edge.toml")
"""Read when no --config is given and it is there."""
COMMAND_LINE = "command line"
"""Where overrides come from, as error messages call it."""

Probability = Annotated[float, Between(0, 1)]
Folder = Annotated[str, Text("a folder", optional=True)]


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """[device]."""

    name: Annotated[str, Text("a name", optional=True)] = ""
    """Second level of every topic; empty: the host name."""


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """[camera]."""

    source: Annotated[str, Text("a camera")] = "auto"
    width: Annotated[int, Between(64, 4096, "px")] = 640
    """px, asked of the camera."""
    height: Annotated[int, Between(64, 4096, "px")] = 480
    """px, asked of the camera."""
    fps: Annotated[float, Between(1, 120, "frames/s")] = 15.0
    """Frames per second that are looked at, at most."""
    rotation: Annotated[int, OneOf((0, 90, 180, 270))] = 0
    """Degrees clockwise by which the picture is turned, for a camera that is mounted on its side or head."""
    flip: Annotated[str, OneOf(("none", "horizontal", "vertical", "both"))] = "none"
    """How the turned picture is mirrored."""
    stall_s: Annotated[float, Between(0.5, 60, "s")] = 2.0
    """A camera that is silent for so long is opened again."""
    retry_max_s: Annotated[float, Between(1, 3600, "s")] = 30.0
    """The longest pause between two attempts to open it."""

    @property
    def is_recording(self) -> bool:
        """Whether it plays landmarks, and has no pictures."""
        return self.source.strip().startswith("recording:")


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """[mesh]."""

    backend: Annotated[str, OneOf(("litert", "mediapipe"))] = "litert"
    models: Folder = ""
    """Folder of the mesh models; empty: the bundle's, else the cache."""
    max_faces: Annotated[int, Between(1, 16, "faces")] = 2
    threads: Annotated[int, Between(1, 16, "threads")] = 1
    search_fps: Annotated[float, Between(0.1, 120, "searches/s")] = 5.0
    """How often the detector looks for faces while there is room for another."""
    min_detection: Probability = 0.5
    min_presence: Probability = 0.5


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """[model]."""

    bundle: Folder = ""
    """Folder of the classifier's bundle; empty: the installed one."""
    shadow: Folder = ""
    """Folder of a bundle that reads beside it and acts on nothing; empty: see `Installation.of`."""
    trusted_keys: Annotated[str, Text("a file", optional=True)] = ""
    """The public keys of which one must have signed it; empty: `locate.TRUSTED_KEYS`, if it is there."""


@dataclass(frozen=True, slots=True)
class ExpressionSettings:
    """[expression]."""

    smoothing_s: Annotated[float, Between(0, 10, "s")] = 0.25
    """Time constant of the exponential smoothing of the probabilities."""
    enter: Probability = 0.5
    """A label is shown once its smoothed probability reaches this."""
    leave: Probability = 0.35
    """A shown label stays while its smoothed probability is at least this; never above `enter`."""
    dwell_s: Annotated[float, Between(0, 60, "s")] = 0.6
    """The shortest time between two changes of one face."""
    hold_s: Annotated[float, Between(0, 60, "s")] = 0.4
    """How long a result outlives its evidence: a lost face, or a probability below `leave`."""
    min_quality: Probability = 0.25
    """Readings below this quality are not believed."""


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """[load]."""

    hot_c: Annotated[float, Between(40, 100, "degrees Celsius")] = 75.0
    """From this temperature of the processor on, fewer pictures a second are looked at."""
    least_fps: Annotated[float, Between(0.2, 120, "frames/s")] = 3.0
    """However hot it is, so many are."""


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """[mqtt]."""

    url: Annotated[str, Text("an address")] = "mqtt://localhost:1883"
    base: Annotated[str, Text("a topic")] = "emotion"
    discovery: Annotated[str, Text("a topic", optional=True)] = "homeassistant"
    """Where Home Assistant looks for new devices; empty: it is not told of this one."""
    username: Annotated[str, Text("a name", optional=True)] = ""
    password_file: Annotated[str, Text("a file", optional=True)] = ""
    ca_file: Annotated[str, Text("a file", optional=True)] = ""
    """Who vouches for the broker's certificate; empty: whom the system trusts."""
    cert_file: Annotated[str, Text("a file", optional=True)] = ""
    key_file: Annotated[str, Text("a file", optional=True)] = ""
    keepalive_s: Annotated[int, Between(5, 65535, "s")] = 15
    """The broker reports the device offline after one and a half times this."""
    retry_max_s: Annotated[float, Between(1, 3600, "s")] = 30.0
    """The longest pause between two attempts to connect."""
    queue: Annotated[int, Between(1, 100_000, "events")] = 1000
    """Events kept while the broker is away; the oldest is dropped first."""
    expiry_s: Annotated[int, Between(1, 86400, "s")] = 300
    """Events older than this are of no use to anybody and are dropped."""
    state_interval_s: Annotated[float, Between(0.1, 3600, "s")] = 1.0
    """The state is published on every change, and at most this often in between."""
    health_interval_s: Annotated[float, Between(1, 3600, "s")] = 30.0


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one daemon."""

    device: DeviceSettings = field(default_factory=DeviceSettings)
    camera: CameraSettings = field(default_factory=CameraSettings)
    mesh: MeshSettings = field(default_factory=MeshSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    expression: ExpressionSettings = field(default_factory=ExpressionSettings)
    load: LoadSettings = field(default_factory=LoadSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)

    @property
    def device_name(self) -> str:
        """The name in the topics: the configured one, or the host name without its domain."""
        return self.device.name or socket.gethostname().split(".")[0] or "raspberrypi"


def load(path: Path | None, overrides: Mapping[str, Any] = {}) -> Settings:
    """Read and check the configuration.

    Args:
        path: The file; None: `SYSTEM_FILE` if there is one, else the defaults.
        overrides: Values of the command line that go above those of the file, by dotted key:
            `{"camera.source": "demo"}`.

    Raises:
        ConfigError: The file cannot be read or is not TOML, or a key is unknown, or a value is not allowed, or
            everybody can read a password in it.
    """
    file = path or SYSTEM_FILE
    settings = _merged(Settings(), _read(file, optional=path is None), str(file))
    if without_password(settings.mqtt.url) != settings.mqtt.url:
        refuse_if_world_readable(file, "mqtt.url has a password in it, and the settings file")
    for dotted, value in overrides.items():
        section, dot, key = dotted.partition(".")
        settings = _merged(settings, {section: {key: value} if dot else value}, COMMAND_LINE)
    rules = settings.expression
    if rules.leave > rules.enter:
        raise ConfigError(
            f"{file}: expression.leave = {rules.leave} is not allowed with "
            f"expression.enter = {rules.enter}; give 0 to {rules.enter}"
        )
    return settings


def template() -> str:
    """The text of a settings file that holds every key with its default and says what it is for."""
    return TEMPLATE.read_text(encoding="utf-8")


def _read(path: Path, *, optional: bool) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        if optional and isinstance(error, FileNotFoundError):
            return {}
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        # Editors on Windows put a byte-order mark first; TOML knows none.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: is not UTF-8 (at line {line}); save it as UTF-8") from None
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or the bare one of a number with thousands of digits
        reason = str(error).replace("at end of document", f"at line {len(text.splitlines())}, the end of the file")
        raise ConfigError(f"{path}: is not TOML: {reason}") from None


def _merged(settings: Settings, tables: Mapping[str, Any], origin: str) -> Settings:
    """`settings` with the values of `tables` in their place; `origin` is named in errors."""
    try:
        return update(settings, tables)
    except InvalidError as error:
        raise ConfigError(f"{origin}: {error}") from None
