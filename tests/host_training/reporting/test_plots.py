from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from host_training.reporting import plots, range_text
from tests.support import ranges

SVG = "{http://www.w3.org/2000/svg}"

LOSSES = {"loss": [1.2, 0.9, 0.8, 0.7], "val_loss": [1.0, 0.9, 0.85, 0.95]}
BINS = [
    {"low": 0.0, "high": 0.5, "rows": 0, "confidence": None, "accuracy": None},
    {"low": 0.5, "high": 0.75, "rows": 40, "confidence": 0.61, "accuracy": 0.55},
    {"low": 0.75, "high": 1.0, "rows": 160, "confidence": 0.9, "accuracy": 0.95},
]
CURVE = [
    {"threshold": 0.0, "coverage": 1.0, "accuracy": 0.8},
    {"threshold": 0.5, "coverage": 0.75, "accuracy": 0.9},
    {"threshold": 0.9, "coverage": 0.25, "accuracy": 1.0},
]


def drawn():
    return {
        "losses": plots.learning_curves(LOSSES),
        "reliability": plots.reliability(BINS),
        "coverage": plots.coverage({"test": CURVE, "validation": CURVE}, CURVE[1:]),
        "range": plots.face_range(range_text.by_picture(ranges.of("mine"), "mine"), "mine"),
    }


@pytest.fixture(scope="module")
def figures():
    return drawn()


def parsed(svg: str):
    return ET.fromstring(svg)  # noqa: S314 - our own


def words_of(svg: str):
    return [element.text for element in parsed(svg).iter(f"{SVG}text")]


def test_a_figure_says_in_words_what_it_shows(figures: dict[str, str]):
    about = {name: parsed(svg).attrib for name, svg in figures.items()}

    assert {each["role"] for each in about.values()} == {"img"}
    assert "0.850, in epoch 3" in about["losses"]["aria-label"]
    assert "40 faces with a confidence of 61% on average: 55% correct." in about["reliability"]["aria-label"]
    assert "From a confidence of 50%: 75% of the faces, 90% of these correct." in about["coverage"]["aria-label"]
    assert (
        "1280x720, face of 48 px: 95.0% found in 2 s walking, 85.0% in 5 s standing, 75.0% read right."
        in about["range"]["aria-label"]
    )


def test_letters_stay_letters(figures: dict[str, str]):
    assert {"epoch", "loss", "training", "validation", "best: epoch 3"} <= set(words_of(figures["losses"]))
    assert {"confidence", "40", "160"} <= set(words_of(figures["reliability"]))
    assert {"from 50%", "from 90%", "test", "validation"} <= set(words_of(figures["coverage"]))
    assert {"24", "48", "4.4", "3.3", "face in 640x480, px", "m, Camera Module 3"} <= set(words_of(figures["range"]))


def test_a_bin_without_faces_has_no_number(figures: dict[str, str]):
    assert "0" not in words_of(figures["reliability"])


def test_every_colour_is_the_page_s(figures: dict[str, str]):
    for svg in figures.values():
        colours = re.findall(r"(?:fill|stroke): ([^;\"]+)", svg)
        assert {colour for colour in colours if not colour.startswith("var(--")} <= {"none"}
        assert {"var(--first)", "var(--ink)", "var(--muted)", "var(--rule)"} <= set(colours)


def test_figures_of_one_page_share_no_ids_and_refer_to_their_own(figures: dict[str, str]):
    ids = {name: re.findall(r' id="([^"]+)"', svg) for name, svg in figures.items()}
    together = [each for found in ids.values() for each in found]

    assert len(set(together)) == len(together)
    for name, svg in figures.items():
        references = re.findall(r'(?:url\(#|href="#)([^")]+)', svg)
        assert references
        assert set(references) <= set(ids[name])


def test_a_figure_brings_nothing_that_holds_for_the_whole_page(figures: dict[str, str]):
    for svg in figures.values():
        assert not {"style", "metadata", "script"} & {element.tag.removeprefix(SVG) for element in parsed(svg).iter()}
        assert "<?xml" not in svg
        assert "font-family" not in svg


def test_the_same_figures_twice_are_the_same(figures: dict[str, str]):
    assert drawn() == figures


@pytest.mark.parametrize(
    "bins",
    [
        [{"low": 0.0, "high": 1.0, "rows": 0, "confidence": None, "accuracy": None}],
        [{"low": 0.0, "high": 1.0, "rows": 1, "confidence": 1.0, "accuracy": 0.0}],
    ],
)
def test_draws_figures_of_very_few_faces(bins: list[dict[str, float | None]]):
    assert "confidence" in words_of(plots.reliability(bins))


def test_one_epoch_can_be_drawn():
    assert "best: epoch 1" in words_of(plots.learning_curves({"loss": [1.0], "val_loss": [1.0]}))
