"""The pages are correct: links have targets, names exist, and generated parts are up to date."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_type_hints

import pytest

from edge import settings, validation
from tests.support import pages, ranges
from tests.support.pages import PAGES, ROOT

README = Path("README.md")
LINES_MAX = 150


def test_the_readme_is_short() -> None:
    assert len((ROOT / README).read_text(encoding="utf-8").splitlines()) <= LINES_MAX


def test_every_page_is_reachable_from_the_readme() -> None:
    seen, ahead = {README}, [README]
    while ahead:
        page = ahead.pop()
        for link in pages.links(page):
            target = _target(page, link)
            if target in PAGES and target not in seen:
                seen.add(target)
                ahead.append(target)

    assert seen == set(PAGES)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_and_images_have_targets(page: Path) -> None:
    lost = []
    for link in pages.links(page):
        if "://" in link:
            continue
        target, anchor = _target(page, link), link.partition("#")[2]
        if not (ROOT / target).exists() or (anchor and anchor not in pages.anchors(target)):
            lost.append(link)

    assert lost == []


def _target(page: Path, link: str) -> Path:
    path = link.partition("#")[0]
    return (ROOT / page.parent / path).resolve().relative_to(ROOT) if path else page


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_blocks_name_their_language(page: Path) -> None:
    assert {block.language for block in pages.blocks(page)} <= pages.LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_settings_in_the_text_exist(page: Path) -> None:
    sections = get_type_hints(settings.Settings)
    keys = {f"{section}.{key}" for section, kind in sections.items() for key in validation.allowed(kind)}
    named = {
        match[1]
        for span in pages.spans(page)
        if (match := re.match(r"([a-z]+\.[a-z_]+)\b(?![./(])", span)) and match[1].partition(".")[0] in sections
    }

    assert {name for name in named if not name.endswith((".toml", ".py", ".json", ".md", ".csv"))} <= keys


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=str)
def test_files_in_the_text_exist(page: Path) -> None:
    named = {span.rstrip("/") for span in pages.spans(page) if re.fullmatch(r"[a-z_]+/[\w./-]*\w/?", span)}
    homes = (ROOT, ROOT / "edge", ROOT / page.parent)
    ours = {path.name for home in homes for path in home.iterdir() if path.is_dir()} - {"build"}

    lost = {
        path for path in named if path.partition("/")[0] in ours and not any((home / path).exists() for home in homes)
    }

    assert lost == set()


@pytest.mark.parametrize("package", ["edge", "host_training"])
def test_architecture_names_every_room(package: str) -> None:
    rooms = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}

    assert rooms <= set(pages.spans(Path("docs/architecture.md")))


@pytest.mark.parametrize("package", ["edge", "host_training"])
def test_architecture_shows_the_layers_that_lint_checks(package: str) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract.get("containers") == [package])

    assert "\n".join(layers) in [block.text for block in pages.blocks(Path("docs/architecture.md"))]


def test_the_page_of_settings_is_up_to_date(tmp_path: Path) -> None:
    written = tmp_path / "settings.md"

    subprocess.run([sys.executable, ROOT / "docs/tools/write_settings.py", written], check=True, cwd=ROOT)

    assert (ROOT / "docs/settings.md").read_text("utf-8") == written.read_text("utf-8"), "run `make docs`"


def written_range(tmp_path: Path, *more: Path) -> tuple[str, Path]:
    """The page about accuracy as the tool writes it, and the path of its plot."""
    written = Path(shutil.copy(ROOT / "docs/accuracy.md", tmp_path))
    subprocess.run([sys.executable, ROOT / "docs/tools/write_range.py", written, *more], check=True, cwd=ROOT)
    return written.read_text("utf-8"), tmp_path / "images" / "range.svg"


def labels_of(plot: Path) -> list[str]:
    """What a plot says in words; empty without a plot."""
    return re.findall(r'aria-label="([^"]*)"', plot.read_text("utf-8")) if plot.exists() else []


def test_the_range_is_up_to_date(tmp_path: Path) -> None:
    page, plot = written_range(tmp_path)

    assert (ROOT / "docs/accuracy.md").read_text("utf-8") == page, "run `make report`"
    assert labels_of(ROOT / "docs/images/range.svg") == labels_of(plot), "run `make report`"


def test_the_range_is_written_as_it_was_measured(tmp_path: Path) -> None:
    mine = json.loads((ROOT / "model/fused/manifest.json").read_text("utf-8"))["id"]
    measured = tmp_path / "robustness.json"
    measured.write_text(json.dumps({"range": ranges.of(mine).as_dict()}), "utf-8")

    page, plot = written_range(tmp_path, measured)

    assert "| 24 | 3.5 | 4.4 | 2.3 | 90.0% (82.6 to 94.5) | 80.0% (71.1 to 86.7) | 0.700 (0.604 to 0.781) |" in page
    assert "(images/range.svg)" in page
    assert "640x480, face of 24 px: 90.0% found in 2 s walking" in labels_of(plot)[0]
    assert "var(" not in plot.read_text("utf-8")


def test_a_range_that_is_not_the_models_is_left_out(tmp_path: Path) -> None:
    measured = tmp_path / "robustness.json"
    measured.write_text(json.dumps({"range": ranges.of("another").as_dict()}), "utf-8")

    page, plot = written_range(tmp_path, measured)

    assert "How far away" not in page
    assert not plot.exists()


def test_the_tables_of_topics_and_payloads_are_up_to_date(tmp_path: Path) -> None:
    written = Path(shutil.copy(ROOT / "docs/mqtt.md", tmp_path))

    subprocess.run([sys.executable, ROOT / "docs/tools/write_mqtt.py", written], check=True, cwd=ROOT)

    assert (ROOT / "docs/mqtt.md").read_text("utf-8") == written.read_text("utf-8"), "run `make docs`"


def test_the_drawing_of_the_pipeline_is_up_to_date(tmp_path: Path) -> None:
    drawn = tmp_path / "pipeline.svg"

    subprocess.run([sys.executable, ROOT / "docs/tools/draw_pipeline.py", drawn], check=True)

    assert (ROOT / "docs/images/pipeline.svg").read_text("utf-8") == drawn.read_text("utf-8")


def test_messages_quoted_in_troubleshooting_exist() -> None:
    texts = [(ROOT / "deploy/install.sh").read_text("utf-8")]
    texts += [text for path in (ROOT / "edge").rglob("*.py") for text in pages.texts(path)]
    page = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
    tables = re.findall(r"^\| message .*?\n\|[-| ]+\n((?:\|.*\n)+)", page, flags=re.MULTILINE)
    quotes = [
        quote for table in tables for row in table.splitlines() for quote in re.findall(r"`([^`]+)`", row.split("|")[1])
    ]
    pieces = {piece.strip() for quote in quotes for piece in quote.split("…") if piece.strip()}

    assert len(pieces) > 30
    assert {piece for piece in pieces if not any(piece in text for text in texts)} == set()
