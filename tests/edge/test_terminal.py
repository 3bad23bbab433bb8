"""Every text can be printed, whatever characters the terminal knows."""

from __future__ import annotations

import io
import json
import sys

import pytest

from edge import terminal


def printed(text: str, encoding: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a terminal of an encoding receives of a text."""
    written = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
        terminal.configure()
        print(text, end="", flush=True)
        assert terminal.as_shown(text) == written.getvalue().decode(encoding)
        return written.getvalue().decode(encoding)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "Küche 客厅 █░ 48 °C · …"),
        ("iso-8859-1", r"Küche \u5ba2\u5385 #. 48 °C · ."),
        ("ascii", r"K\u00fcche \u5ba2\u5385 #. 48 deg C - ."),
    ],
)
def test_what_a_terminal_lacks_is_replaced(monkeypatch, encoding: str, expected: str):
    assert printed("Küche 客厅 █░ 48 °C · …", encoding, monkeypatch) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "ascii"])
@pytest.mark.parametrize("text", ["客厅", "😀", "\udcff", "é", 'q"\\'])
def test_json_stays_json(monkeypatch, encoding: str, text: str):
    line = json.dumps({"device": text}, ensure_ascii=False)
    assert json.loads(printed(line, encoding, monkeypatch)) == {"device": text}
