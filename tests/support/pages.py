"""Parses what people read: the pages of the project with their commands, and the texts in its code."""

from __future__ import annotations

import ast
import functools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

PAGES = tuple(
    sorted(
        path.relative_to(ROOT)
        for pattern in ("README.md", "docs/*.md", ".github/*.md", "model/README.md", "model/*/README.md")
        for path in ROOT.glob(pattern)
    )
)
"""The pages written by hand. Model cards and reports are generated, and tested with their generators."""

COMMANDS = "sh"
LANGUAGES = {COMMANDS, "text", "json", "toml", "python", "yaml"}
"""Languages that fenced blocks may name."""


@dataclass(frozen=True)
class Block:
    """A code block."""

    page: Path
    line: int
    """Number of its first line, counted from 1."""
    language: str
    """Language that the fence names; indented blocks contain commands."""
    text: str


@functools.cache
def blocks(page: Path) -> tuple[Block, ...]:
    """The fenced and indented blocks of a page."""
    found: list[Block] = []
    fence: tuple[int, str, int] | None = None
    inside: list[str] = []
    before = ""
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), 1):
        if match := re.match(r"( *)```(\w*)", line):
            if fence is None:
                fence, inside = (number + 1, match[2], len(match[1])), []
            else:
                found.append(Block(page, fence[0], fence[1], "\n".join(inside)))
                fence, inside = None, []
        elif fence is not None:
            inside.append(line[fence[2] :])
        elif line.startswith("    ") and (inside or not before.strip()):
            inside.append(line[4:])
        elif inside:
            found.append(Block(page, number - len(inside), COMMANDS, "\n".join(inside)))
            inside = []
        before = line
    assert fence is None, f"{page}: a block is not closed"
    return tuple(found)


def prose(page: Path) -> str:
    """A page without blocks, comments and generated parts."""
    text = (ROOT / page).read_text(encoding="utf-8")
    text = re.sub(r"<!-- begin (\w+): generated.*?<!-- end \1 -->", "", text, flags=re.DOTALL)
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"<!--.*?-->", "", re.sub(r"^    .*$", "", text, flags=re.MULTILINE), flags=re.DOTALL)


def commands(page: Path) -> list[str]:
    """The commands of a page in order, each in one line and without its comment."""
    lines = [
        line
        for block in blocks(page)
        if block.language == COMMANDS
        for line in block.text.replace("\\\n", " ").splitlines()
    ]
    return [stripped for line in lines if (stripped := " ".join(_without_comment(line).split()))]


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#\s.*$", "", line)


def words(command: str) -> list[list[str]]:
    """The simple commands of a command line, each as its words, without redirections."""
    found: list[list[str]] = [[]]
    lexer = shlex.shlex(command, posix=True, punctuation_chars="&|;<>")
    lexer.whitespace_split = True
    skip = False
    for word in lexer:
        if word in {"&&", "|", ";"}:
            found.append([])
        elif word in {">", "<"}:
            skip = True
        elif skip:
            skip = False
        else:
            found[-1].append(word)
    return found


def spans(page: Path) -> list[str]:
    """The code spans in the prose of a page."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def links(page: Path) -> list[str]:
    """The targets of links and images."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


@functools.cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that GitHub generates for the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    plain = [re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain)


def texts(source: Path) -> list[str]:
    """All texts in a file of Python, with an ellipsis for each formatted value."""
    found = []
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found
