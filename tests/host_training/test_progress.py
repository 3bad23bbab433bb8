from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from edge.errors import UsageError
from host_training.cli import main
from host_training.progress import step

if TYPE_CHECKING:
    from pathlib import Path


def test_a_step_is_said_and_then_cleared(capsys: pytest.CaptureFixture[str]):
    with step("reading t.parquet"):
        assert capsys.readouterr().err == "reading t.parquet ...\r"
    assert capsys.readouterr().err == " " * len("reading t.parquet ...") + "\r"


def test_a_step_that_fails_leaves_the_line_to_the_error(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(UsageError), step("reading"):
        raise UsageError("no")
    assert capsys.readouterr().err.endswith("\r")


@pytest.mark.parametrize(
    "arguments",
    [
        ["describe", "no.parquet"],
        ["clean", "--table", "no.parquet", "--out", "out"],
        ["cross-validate", "--table", "no.parquet"],
        ["evaluate", "--bundle", "no", "--data", "no.parquet"],
    ],
)
def test_a_command_says_at_once_that_it_starts(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments)

    first, *_, last = capsys.readouterr().err.split("\r")
    assert first == f"{arguments[0]}: starting ..."
    assert last.startswith("emotion-train: ")
    assert len(first) < len(last), "what follows covers it"


@pytest.mark.parametrize("arguments", [["recipe"], ["train", "--help"], ["--version"]])
def test_what_takes_no_time_says_nothing_more(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with contextlib.suppress(SystemExit):  # of --help
        main(arguments)
    assert capsys.readouterr().err == ""
