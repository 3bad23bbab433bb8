"""Messages, help texts and docstrings name only commands, options and make targets that exist."""

from __future__ import annotations

import argparse
import importlib
import keyword
import re
from fnmatch import fnmatch
from typing import TYPE_CHECKING

import pytest

from edge.cli import Parser
from tests.support import pages
from tests.support.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = {"emotion-edge": "edge", "emotion-train": "host_training"}
QUOTED = re.compile(r"`([^`]+)`|^(?:example:)? +(emotion-(?:edge|train) .+)$", re.MULTILINE)
"""A command in a text: in backticks, or alone in a line as in the examples of a help text."""
CALL = re.compile(r"\b(emotion-edge|emotion-train) ([a-z][a-z-]*)([^&|;\n]*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
FOREIGN = {
    "--editable": "pip",
    "--force-reinstall": "pip",
    "--list-cameras": "rpicam-hello",
    "--port": "edge.mqtt.local_broker",
    "--python": "uv",
    "--system-site-packages": "venv",
    "--uninstall": "deploy/install.sh",
}
"""Options of other programs in texts."""


@pytest.fixture(scope="module")
def options() -> dict[tuple[str, str], set[str]]:
    """The options of each program's commands."""
    found = {}
    for program, package in PACKAGES.items():
        for command in importlib.import_module(f"{package}.cli").COMMANDS:
            parser = Parser()
            module = command.replace("-", "_") + "_" * keyword.iskeyword(command)
            importlib.import_module(f"{package}.commands.{module}").add_arguments(parser)
            found[program, command] = set(_options(parser))
    return found


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The options of a parser and of those for its subcommands."""
    yield from parser._option_string_actions
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _options(each)


@pytest.fixture(scope="module")
def texts() -> list[tuple[str, str]]:
    """File and text: all texts of the code with a blank in them, which people read."""
    return [
        (str(path.relative_to(ROOT)), text)
        for folder in (*PACKAGES.values(), "deploy")
        for path in (ROOT / folder).rglob("*.py")
        for text in pages.texts(path)
        if " " in text
    ] + [("deploy/install.sh", (ROOT / "deploy/install.sh").read_text("utf-8"))]


def test_commands_in_messages_exist_with_their_options(options, texts):
    calls = [
        (file, match.groups())
        for file, text in texts
        for quoted in QUOTED.findall(text)
        for match in CALL.finditer("".join(quoted))
    ]

    assert len({call[:2] for _, call in calls}) > 20
    assert [
        (file, f"{program} {command} {given.strip()}")
        for file, (program, command, given) in calls
        if (program, command) not in options or not set(OPTION.findall(given)) <= options[program, command]
    ] == []


def test_options_in_messages_exist(options, texts):
    known = set.union(*options.values(), FOREIGN, {"--version"})
    ours = [(file, text) for file, text in texts if not file.startswith("deploy/")]  # its scripts have their own
    named = {(file, option) for file, text in ours for option in OPTION.findall(text)}

    assert len(named) > 50
    assert {(file, option) for file, option in named if option not in known} == set()


def test_make_targets_in_messages_exist(texts):
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = [each.replace("%", "*") for each in re.findall(r"^([a-z][\w/.%-]*):", makefile, flags=re.MULTILINE)]
    named = {(file, target) for file, text in texts for target in re.findall(r"`make ([a-z][\w/.-]*)", text)}

    assert len(named) > 3
    assert {each for each in named if not any(fnmatch(each[1], target) for target in targets)} == set()
