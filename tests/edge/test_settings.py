"""Settings: every key is documented, and every mistake is reported in one line."""

from __future__ import annotations

import dataclasses
import math
import os
import tomllib
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import settings as edge_settings
from edge.errors import ConfigError
from edge.settings import (
    TEMPLATE,
    ExpressionSettings,
    Settings,
    load,
    template,
)
from edge.validation import Between, allowed

if TYPE_CHECKING:
    from pathlib import Path

SECTIONS = get_type_hints(Settings)
KEYS = [(section, key) for section, kind in SECTIONS.items() for key in allowed(kind)]
NUMBERS = [
    (section, key, kind, range_)
    for section, title in SECTIONS.items()
    for key, (kind, range_) in allowed(title).items()
    if isinstance(range_, Between)
]


@pytest.fixture(autouse=True)
def no_system_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty place for the system's settings file, so that the machine's own makes no difference."""
    file = tmp_path / "etc" / "emotion-edge.toml"
    file.parent.mkdir()
    monkeypatch.setattr(edge_settings, "SYSTEM_FILE", file)
    return file


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "emotion-edge.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def error_message(file: Path | None, overrides: dict[str, Any] | None = None) -> str:
    """The error message, without the folder of the file."""
    with pytest.raises(ConfigError) as caught:
        load(file, overrides or {})
    assert caught.value.exit_status == 78
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message.removeprefix(f"{file.parent}{os.sep}") if file else message


# Sources of values.


def test_without_a_file_the_defaults_apply():
    assert load(None) == Settings()


def test_the_system_file_is_read_when_no_file_is_named(no_system_file: Path):
    no_system_file.write_text("[camera]\nfps = 5\n", encoding="utf-8")
    assert load(None).camera.fps == 5.0


def test_a_named_file_replaces_the_system_file(no_system_file: Path, tmp_path: Path):
    no_system_file.write_text("[camera]\nfps = 5\n", encoding="utf-8")
    assert load(write(tmp_path, "[camera]\nwidth = 320\n")).camera == dataclasses.replace(Settings().camera, width=320)


def test_an_unreadable_system_file_is_an_error(no_system_file: Path):
    no_system_file.mkdir()
    assert "cannot be read" in error_message(None)


def test_the_command_line_overrides_the_file(tmp_path: Path):
    file = write(tmp_path, '[camera]\nsource = "auto"\nfps = 5\n[mqtt]\nbase = "faces"\n')
    result = load(file, {"camera.source": "demo", "mqtt.url": "mqtt://broker"})
    assert (result.camera.source, result.camera.fps) == ("demo", 5.0)
    assert (result.mqtt.url, result.mqtt.base) == ("mqtt://broker", "faces")


def test_an_empty_file_gives_the_defaults(tmp_path: Path):
    assert load(write(tmp_path, "")) == Settings()


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path):
    file = write(tmp_path, '\ufeff[device]\r\nname = "Küche"\r\n')
    assert load(file).device.name == "Küche"


def test_integers_are_accepted_for_floats(tmp_path: Path):
    fps = load(write(tmp_path, "[camera]\nfps = 5\n")).camera.fps
    assert fps == 5.0
    assert isinstance(fps, float)


def test_the_device_name_defaults_to_the_host_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("socket.gethostname", lambda: "kitchen.local")
    assert Settings().device_name == "kitchen"
    assert load(None, {"device.name": "hall"}).device_name == "hall"


# Rejected values and their messages.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[expression]\ndwel_s = 1",
            "emotion-edge.toml: unknown key 'dwel_s' in [expression]; did you mean 'dwell_s'?",
        ),
        ("[expression]\nDWELL_S = 1", "unknown key 'DWELL_S' in [expression]; did you mean 'dwell_s'?"),
        ("[camra]\nfps = 1", "unknown section [camra]; did you mean 'camera'?"),
        ("[mqtt]\nfps = 1", "unknown key 'fps' in [mqtt]; it belongs in [camera]"),
        ("enter = 0.5", "unknown key 'enter'; it belongs in [expression]"),
        ("[zzz]", "unknown section [zzz]; choose device, camera, mesh, model, expression, load, mqtt or preview"),
        ('["a\\nb"]', "unknown section [a\\nb]; choose device, camera, mesh, model, expression, load, mqtt or preview"),
        ("[model]\nzzz = 1", "unknown key 'zzz' in [model]; choose bundle, shadow or trusted_keys"),
        ("camera = 'auto'", "'camera' is a section, not a key; write [camera] and its keys below"),
        ("[[camera]]", "'camera' is a section, not a key; write [camera] and its keys below"),
    ],
)
def test_an_unknown_name_is_reported_with_the_closest_known_one(tmp_path: Path, text: str, message: str):
    assert error_message(write(tmp_path, text)).endswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[camera]\nfps = 500",
            "emotion-edge.toml: camera.fps = 500 is not allowed; give a number, 1 to 120 frames/s",
        ),
        ("[camera]\nfps = 'fast'", "camera.fps = 'fast' is not allowed; give a number, 1 to 120 frames/s"),
        ("[camera]\nfps = true", "camera.fps = true is not allowed; give a number, 1 to 120 frames/s"),
        ("[camera]\nfps = nan", "camera.fps = nan is not allowed; give a number, 1 to 120 frames/s"),
        (
            "[camera]\nwidth = 640.0",
            "camera.width = 640.0 is not allowed; give a whole number, 64 to 4096 px",
        ),
        ("[camera]\nwidth = true", "camera.width = true is not allowed; give a whole number, 64 to 4096 px"),
        ("[camera]\nsource = 0", "camera.source = 0 is not allowed; give a camera, not empty"),
        ("[mqtt]\nurl = ' '", "mqtt.url = ' ' is not allowed; give an address, not empty"),
        ("[mesh]\nbackend = 'dlib'", 'mesh.backend = \'dlib\' is not allowed; give "litert" or "mediapipe"'),
        ('[mesh]\nbackend = "a\\nb"', '\'a\\nb\' is not allowed; give "litert" or "mediapipe"'),
        ("[mesh.models]\nx = 1", "mesh.models = {'x': 1} is not allowed; give a folder, or empty"),
        (
            "[expression]\nleave = 0.6",
            "expression.leave = 0.6 is not allowed with expression.enter = 0.5; give 0 to 0.5",
        ),
    ],
)
def test_an_invalid_value_is_reported_with_what_is_allowed(tmp_path: Path, text: str, message: str):
    assert error_message(write(tmp_path, text)).endswith(message)


def test_a_long_value_is_truncated_in_the_message(tmp_path: Path):
    assert len(error_message(write(tmp_path, f"[mesh]\nbackend = '{'x' * 10_000}'"))) < 200


@pytest.mark.parametrize(("section", "key", "kind", "range_"), NUMBERS, ids=str)
def test_every_number_has_limits(section: str, key: str, kind: type, range_: Between):
    # `leave` may not be above `enter`, so the other threshold is moved out of the way.
    others = {"expression.leave": 0.0} if key == "enter" else {"expression.enter": 1.0} if key == "leave" else {}
    for limit in (range_.low, range_.high):
        value = getattr(getattr(load(None, {**others, f"{section}.{key}": kind(limit)}), section), key)
        assert value == limit
        assert type(value) is kind
    step = 1 if kind is int else 1e-6
    for outside in (range_.low - step, range_.high + step, math.nan, math.inf, -math.inf):
        value = outside if kind is float or not float(outside).is_integer() else int(outside)
        message = error_message(None, {f"{section}.{key}": value})
        assert message.startswith(f"command line: {section}.{key} = {value!r} is not allowed; give ")
        assert message.endswith(str(range_))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"camera.sorce": "demo"}, "command line: unknown key 'sorce' in [camera]; did you mean 'source'?"),
        ({"cam.source": "demo"}, "command line: unknown section [cam]; did you mean 'camera'?"),
        ({"fps": 3}, "command line: unknown key 'fps'; it belongs in [camera]"),
        ({"mqtt.url": ""}, "command line: mqtt.url = '' is not allowed; give an address, not empty"),
        (
            {"mqtt.queue": None},
            "command line: mqtt.queue = None is not allowed; give a whole number, 1 to 100000 events",
        ),
    ],
)
def test_the_command_line_is_checked_in_the_same_way(overrides: dict[str, Any], message: str):
    assert error_message(None, overrides) == message


def test_thresholds_are_compared_after_the_command_line(tmp_path: Path):
    file = write(tmp_path, "[expression]\nleave = 0.6\n")
    assert load(file, {"expression.enter": 0.7}).expression.leave == 0.6


# Unreadable files.


def test_a_missing_file_is_reported(tmp_path: Path):
    assert error_message(tmp_path / "none.toml") == "none.toml: cannot be read: No such file or directory"


def test_a_folder_is_reported(tmp_path: Path):
    assert "cannot be read: Is a directory" in error_message(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read any file")
def test_a_file_without_read_permission_is_reported(tmp_path: Path):
    file = write(tmp_path, "")
    file.chmod(0)
    assert error_message(file).endswith("cannot be read: Permission denied")


def test_a_file_in_another_encoding_is_reported_with_the_line(tmp_path: Path):
    file = write(tmp_path, "[device]\nname = 'Küche'\n".encode("latin-1"))
    assert error_message(file) == "emotion-edge.toml: is not UTF-8 (at line 2); save it as UTF-8"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[camera]\nfps = \nwidth = 640\n", 2),
        ("[camera]\nfps = fast\n", 2),
        ("[camera]\nfps = 5\nfps = 6\n", 3),
        ("[camera]\n\nsource = 'demo", 3),
        ("[camera", 1),
        ('[camera]\nsource = """\n', 2),
        ("[camera]\nfps = 5\n[camera]\n", 3),
    ],
)
def test_invalid_toml_is_reported_with_the_line(tmp_path: Path, text: str, line: int):
    message = error_message(write(tmp_path, text))
    assert message.startswith("emotion-edge.toml: is not TOML: ")
    assert f"at line {line}," in message


def test_a_number_with_thousands_of_digits_is_reported(tmp_path: Path):
    assert "is not TOML" in error_message(write(tmp_path, f"[camera]\nwidth = {'9' * 5000}"))


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.sampled_from([f"{section}.{key}" for section, key in KEYS]) | st.text(), values))
def test_any_value_is_accepted_or_rejected_in_one_line(overrides: dict[str, Any]):
    try:
        result = load(None, overrides)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017  both outcomes are right
    else:
        for dotted, value in overrides.items():
            section, _, key = dotted.partition(".")
            assert getattr(getattr(result, section), key) == value


# The template.


def test_the_template_has_exactly_the_defaults():
    assert tomllib.loads(template()) == dataclasses.asdict(Settings())
    assert load(TEMPLATE) == Settings()


def test_the_defaults_have_the_type_of_their_field():
    for section, kind in SECTIONS.items():
        for key, (type_, range_) in allowed(kind).items():
            default: Any = getattr(getattr(Settings(), section), key)
            assert type(default) is type_
            assert default in range_


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_the_template_states_the_allowed_values_and_the_default_of_each_key(section: str, key: str):
    chapter = template().partition(f"[{section}]\n")[2].partition("\n[")[0]
    before, found, after = chapter.partition(f"\n{key} = ")
    assert found
    written = after.splitlines()[0]
    _, range_ = allowed(SECTIONS[section])[key]
    assert before.splitlines()[-1] == f"# Allowed: {range_}. Default: {written}."


def test_the_template_says_what_each_key_is_for():
    paragraphs = template().split("\n\n")
    for paragraph in paragraphs:
        lines = paragraph.strip().splitlines()
        if any(" = " in line and not line.startswith("#") for line in lines):
            assert lines[0].startswith("# ")
            assert not lines[0].startswith("# Allowed")


def test_settings_are_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ExpressionSettings().enter = 0.1


@pytest.mark.parametrize(("mode", "refused"), [(0o644, True), (0o640, False), (0o600, False)])
def test_a_password_in_a_world_readable_file_is_refused(tmp_path, mode, refused):
    file = tmp_path / "settings.toml"
    file.write_text('[mqtt]\nurl = "mqtt://anna:secret@pi"\n')
    file.chmod(mode)
    if not refused:
        assert edge_settings.load(file).mqtt.url.endswith("@pi")
        return
    with pytest.raises(ConfigError, match=f"run: chmod o= {file}") as error:
        edge_settings.load(file)
    assert "secret" not in str(error.value)
