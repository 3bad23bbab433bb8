"""Settings: one TOML file, checked key by key, becomes frozen dataclasses. No other module reads settings.

`emotion-edge.toml` beside this module documents every key and has every default; a test keeps the two equal. The
modules that use a camera or an address parse it; here it only has to be text.
"""

from __future__ import annotations

import re
import socket
import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from edge.errors import ConfigError
from edge.paths import home_path
from edge.redaction import has_password
from edge.secret_files import refuse_if_world_readable
from edge.validation import Between, InvalidError, OneOf, Text, update

if TYPE_CHECKING:
    from collections.abc import Mapping

TEMPLATE = Path(__file__).with_name("emotion-edge.toml")
"""The documented settings file, with every key and its default."""
SYSTEM_FILE = Path("/etc/emotion-edge/emotion-edge.toml")
"""Settings file that is read without --config, if it exists."""
COMMAND_LINE = "command line"
"""Origin of overrides, as error messages name it."""

_NETWORK = re.compile(r"(?:\w+:)?(?:rtsp|https?):", re.IGNORECASE)
"""Start of the address of a network camera, also of one that follows another kind, as in video:rtsp://..."""

ROTATIONS = (0, 90, 180, 270)
"""Values of `camera.rotation`, degrees clockwise."""
FLIPS = ("none", "horizontal", "vertical", "both")
"""Values of `camera.flip`."""

Probability = Annotated[float, Between(0, 1)]
Folder = Annotated[str, Text("a folder", optional=True)]
File = Annotated[str, Text("a file", optional=True)]


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """[device]."""

    name: Annotated[str, Text("a name", optional=True)] = ""
    """Second level of every MQTT topic; empty: the host name."""


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """[camera]."""

    source: Annotated[str, Text("a camera")] = "auto"
    username: Annotated[str, Text("a name", optional=True)] = ""
    """User of a network camera; empty: none, or the one in its address."""
    password_file: File = ""
    """File whose first line is the password of a network camera; empty: the service's credential, if it has one."""
    width: Annotated[int, Between(64, 4096, "px")] = 640
    """Width of the frames requested from the camera, px."""
    height: Annotated[int, Between(64, 4096, "px")] = 480
    """Height of the frames requested from the camera, px."""
    fps: Annotated[float, Between(1, 120, "frames/s")] = 15.0
    """Maximum number of frames processed per second."""
    rotation: Annotated[int, OneOf(ROTATIONS)] = 0
    """Degrees by which frames are turned clockwise, for a camera that is mounted sideways or upside down."""
    flip: Annotated[str, OneOf(FLIPS)] = "none"
    """How frames are mirrored after turning."""
    field_of_view: Annotated[float, Between(0, 170, "degrees")] = 0.0
    """Horizontal field of view of the frames after turning, degrees; 0: what the camera knows of it."""
    stall_s: Annotated[float, Between(0.5, 60, "s")] = 2.0
    """Time without a frame after which the camera is reopened, s."""
    retry_max_s: Annotated[float, Between(1, 3600, "s")] = 30.0
    """Longest pause between two attempts to reopen a lost camera, s."""

    @property
    def is_recording(self) -> bool:
        """Whether the source is a recording, which has landmarks and no pictures."""
        return self.source.strip().startswith("recording:")

    @property
    def is_network(self) -> bool:
        """Whether the source is the address of a network camera."""
        return _NETWORK.match(self.source.strip()) is not None


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """[mesh]."""

    backend: Annotated[str, OneOf(("litert", "mediapipe"))] = "litert"
    models: Folder = ""
    """Folder of the face mesh models; empty: the bundle's, else the cache."""
    max_faces: Annotated[int, Between(1, 16, "faces")] = 2
    threads: Annotated[int, Between(1, 16, "threads")] = 1
    search_share: Annotated[float, Between(0.01, 1, "of a core")] = 0.1
    """Processor time for the search for new faces, as a share of one core."""
    min_face: Annotated[int, Between(16, 512, "px")] = 20
    """Least height of a face that is looked for, px."""
    min_detection: Probability = 0.5
    min_presence: Probability = 0.5


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """[model]."""

    bundle: Folder = ""
    """Folder of the model bundle; empty: the installed one."""
    shadow: Folder = ""
    """Folder of the shadow, a second bundle that only reads the same faces; empty: see `Installation.of`."""
    trusted_keys: File = ""
    """File of the public keys that may sign bundles; empty: `locate.TRUSTED_KEYS`, if it exists."""


@dataclass(frozen=True, slots=True)
class ExpressionSettings:
    """[expression]."""

    smoothing_s: Annotated[float, Between(0, 10, "s")] = 0.25
    """Time constant of the exponential smoothing of the probabilities, s."""
    enter: Probability = 0.5
    """Smoothed probability from which a label is shown."""
    leave: Probability = 0.35
    """Smoothed probability down to which a shown label stays; at most `enter`."""
    dwell_s: Annotated[float, Between(0, 60, "s")] = 0.6
    """Minimum time between two changes of one face, s."""
    hold_s: Annotated[float, Between(0, 60, "s")] = 0.4
    """Time for which a label stays although the face is lost, can't be read or is below `leave`, s."""
    min_quality: Probability = 0.25
    """Minimum quality of a reading; readings below it are ignored."""


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """[load]."""

    hot_c: Annotated[float, Between(40, 100, "degrees Celsius")] = 75.0
    """Temperature of the processor from which fewer frames are processed."""
    least_fps: Annotated[float, Between(0.2, 120, "frames/s")] = 3.0
    """Minimum number of frames processed per second, however hot the processor is."""


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """[mqtt]."""

    url: Annotated[str, Text("an address")] = "mqtt://localhost:1883"
    base: Annotated[str, Text("a topic")] = "emotion"
    discovery: Annotated[str, Text("a topic", optional=True)] = "homeassistant"
    """Discovery prefix of Home Assistant; empty: no discovery."""
    username: Annotated[str, Text("a name", optional=True)] = ""
    password_file: File = ""
    ca_file: File = ""
    """Certificate of the CA that signed the broker's; empty: the CAs that the system trusts."""
    cert_file: File = ""
    key_file: File = ""
    keepalive_s: Annotated[int, Between(5, 65535, "s")] = 15
    """Longest silence on the connection, s. The broker reports the device as offline after 1.5 times as long."""
    retry_max_s: Annotated[float, Between(1, 3600, "s")] = 30.0
    """Longest pause between two attempts to connect, s."""
    queue: Annotated[int, Between(1, 100_000, "events")] = 1000
    """Maximum number of events that wait while the broker is away; the oldest are dropped first."""
    expiry_s: Annotated[int, Between(1, 86400, "s")] = 300
    """Age at which an event is dropped instead of delivered, s."""
    state_interval_s: Annotated[float, Between(0.1, 3600, "s")] = 1.0
    """Interval at which the state is published between two changes, s."""
    health_interval_s: Annotated[float, Between(1, 3600, "s")] = 30.0
    """Interval at which `health` is published, s."""


@dataclass(frozen=True, slots=True)
class PreviewSettings:
    """[preview]."""

    address: Annotated[str, Text("HOST:PORT", optional=True)] = "127.0.0.1:8080"
    """Where the live page is served; empty: nowhere."""
    token_file: File = ""
    picture: Annotated[bool, OneOf((True, False))] = False
    """Whether the page shows the picture."""


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
    preview: PreviewSettings = field(default_factory=PreviewSettings)

    @property
    def device_name(self) -> str:
        """Name of the device in topics: the configured one, else the host name without its domain."""
        return self.device.name or socket.gethostname().split(".")[0] or "raspberrypi"


def load(path: Path | None, overrides: Mapping[str, Any] = {}) -> Settings:
    """Read and check the settings.

    Args:
        path: the file; None: `SYSTEM_FILE` if it exists, else the defaults.
        overrides: values of the command line that override those of the file, by dotted key:
            `{"camera.source": "demo"}`.

    Raises:
        ConfigError: the file can't be read or isn't TOML, a key is unknown, a value is not allowed, or the file
            contains a password and all users of this machine can read it.
    """
    file = path or SYSTEM_FILE
    settings = _merged(Settings(), _read(file, optional=path is None), str(file))
    if has_password(settings.mqtt.url):
        refuse_if_world_readable(file, "mqtt.url contains a password, and the settings file")
    # A query rarely holds a password, and the service couldn't read a file that nobody else may read.
    if settings.camera.is_network and has_password(settings.camera.source.partition("?")[0]):
        refuse_if_world_readable(file, "camera.source contains a password, and the settings file")
    for dotted, value in overrides.items():
        section, dot, key = dotted.partition(".")
        settings = _merged(settings, {section: {key: value} if dot else value}, COMMAND_LINE)
    rules = settings.expression
    if rules.leave > rules.enter:
        raise ConfigError(
            f"{file}: expression.leave = {rules.leave} is not allowed with "
            f"expression.enter = {rules.enter}; give 0 to {rules.enter}"
        )
    return _with_home(settings)


def template() -> str:
    """The text of the documented settings file."""
    return TEMPLATE.read_text(encoding="utf-8")


def _with_home(settings: Settings) -> Settings:
    """The settings with `~` replaced in every path."""
    changes = {}
    for section in fields(settings):
        values = getattr(settings, section.name)
        hints = get_type_hints(type(values), include_extras=True)
        paths = {key: getattr(values, key) for key, hint in hints.items() if hint in {Folder, File}}
        changes[section.name] = replace(values, **{key: str(home_path(text)) for key, text in paths.items() if text})
    return replace(settings, **changes)


def _read(path: Path, *, optional: bool) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        if optional and isinstance(error, FileNotFoundError):
            return {}
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        # Editors on Windows write a byte-order mark, which TOML doesn't allow.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: is not UTF-8 (at line {line}); save it as UTF-8") from None
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or int()'s own for a number with thousands of digits
        reason = str(error).replace("at end of document", f"at line {len(text.splitlines())}, the end of the file")
        raise ConfigError(f"{path}: is not TOML: {reason}") from None


def _merged(settings: Settings, tables: Mapping[str, Any], origin: str) -> Settings:
    """`settings` updated with the values of `tables`. Error messages name `origin`."""
    try:
        return update(settings, tables)
    except InvalidError as error:
        raise ConfigError(f"{origin}: {error}") from None
