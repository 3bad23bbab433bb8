"""Turns variables into a settings file, and refuses what the daemon would refuse.

The playbooks pass a JSON object on stdin, `{"camera_fps": 8, "mqtt_url": "mqtt://broker"}`. Each key is a section and a
key of edge/emotion-edge.toml. The settings file is printed on stdout.
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
"""First line of the file. A file without it was written by hand."""


def main() -> int:
    """Print the settings file; print one line and return 78 if a variable is wrong."""
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
    """The text: a section for each first word, its keys in alphabetical order.

    Raises:
        ConfigError: a value is neither text nor a number.
    """
    sections: dict[str, list[str]] = {}
    for name, value in sorted(variables.items()):
        section, _, key = name.partition("_")
        if not isinstance(value, str | int | float):
            raise ConfigError(f"{section}.{key} is {json.dumps(value)[:60]}, but must be text or a number")
        # TOML reads these values as JSON writes them. Text stays unescaped: TOML has no surrogate pairs.
        sections.setdefault(section, []).append(f"{key} = {json.dumps(value, ensure_ascii=False)}\n")
    return HEADER + "".join(f"\n[{section}]\n{''.join(lines)}" for section, lines in sections.items())


def check(text: str) -> None:
    """Check a settings file as the daemon does.

    Raises:
        ConfigError: the daemon would not start with it.
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
