from __future__ import annotations

import contextlib

import pytest

from edge.errors import UsageError
from host_training.cli import COMMANDS, main
from host_training.progress import step


def test_a_step_is_said_and_then_cleared(capsys: pytest.CaptureFixture[str]):
    with step("reading t.parquet"):
        assert capsys.readouterr().err == "reading t.parquet ...\r"
    assert capsys.readouterr().err == " " * len("reading t.parquet ...") + "\r"


def test_a_step_that_fails_leaves_the_line_to_the_error(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(UsageError), step("reading"):
        raise UsageError("no")
    assert capsys.readouterr().err.endswith("\r")


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"recipe"}))
def test_every_command_that_takes_long_says_at_once_that_it_starts(command: str, capsys: pytest.CaptureFixture[str]):
    main([command, "--no-such-option"])

    first, *_, last = capsys.readouterr().err.split("\r")
    assert first == f"{command}: starting ..."
    assert last.startswith("emotion-train: ")
    assert len(first) < len(last), "what follows covers it"


@pytest.mark.parametrize("arguments", [["recipe"], ["train", "--help"], ["--version"]])
def test_what_takes_no_time_says_nothing_more(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with contextlib.suppress(SystemExit):  # of --help
        main(arguments)
    assert capsys.readouterr().err == ""
