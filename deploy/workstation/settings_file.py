"""Turns variables into a settings file, and refuses what the daemon would refuse.

For the playbooks: a JSON object comes in on stdin, `{"camera_fps": 8, "mqtt_url": "mqtt://broker"}`, each key being
a section and a key of edge/emotion-edge.toml; the file goes out on stdout.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from edge import settings
from edge.errors import ConfigError
from edge.mqtt.address import BrokerAddress, check_base, check_device

HEADER = "# Written by `make deploy` from the variables of its inventory: change it there.\n"
"""First line of the file; one without it was made by hand."""


def main() -> int:
    """Print the settings file of the variables; one line and 78 where they are wrong."""
    variables = json.load(sys.stdin)
    try:
        text = settings_file(variables)
        check(text)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    print(text, end="")
    return 0


def settings_file(variables: dict[str, Any]) -> str:
    """The text: a section for each first word, its keys in the order of the alphabet.

    Raises:
        ConfigError: a value is neither text nor a number.
    """
    sections: dict[str, list[str]] = {}
    for name, value in sorted(variables.items()):
        section, _, key = name.partition("_")
        if not isinstance(value, str | int | float):
            raise ConfigError(f"{section}.{key} is {json.dumps(value)[:60]}, but must be text or a number")
        # What JSON writes of these, TOML reads; text stays as it is, since TOML knows no halves of a character.
        sections.setdefault(section, []).append(f"{key} = {json.dumps(value, ensure_ascii=False)}\n")
    return HEADER + "".join(f"\n[{section}]\n{''.join(lines)}" for section, lines in sections.items())


def check(text: str) -> None:
    """Read a settings file as the daemon does.

    Raises:
        ConfigError: it would not start with it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings"
        file.write_text(text, encoding="utf-8")
        try:
            read = settings.load(file)
        except ConfigError as error:
            raise ConfigError(str(error).removeprefix(f"{file}: ")) from error
    BrokerAddress.parse(read.mqtt.url, username=read.mqtt.username)
    check_base(read.mqtt.base)
    check_device(read.device_name)


if __name__ == "__main__":
    sys.exit(main())
