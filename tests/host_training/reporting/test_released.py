"""A new model beside the released ones: on which rows they are compared, what reads worse, why weights differ."""

from __future__ import annotations

import dataclasses
import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.bundle import bundle as bundles
from edge.errors import DataError
from host_training.data.keypoints import TEST, concatenate, take
from host_training.evaluation.evaluate import evaluate
from host_training.reporting import released, report, side_by_side
from host_training.reporting.released import Released
from host_training.reporting.side_by_side import Figures, SideBySide
from tests.support.released import FUSED_BUNDLE, LANDMARK_BUNDLE
from tests.support.training_networks import crop_features

if TYPE_CHECKING:
    from pathlib import Path

    from edge.bundle.bundle import Bundle
    from host_training.data.keypoints import Table


@pytest.fixture(scope="module")
def bundle(bundle_folder: Path) -> Bundle:
    return bundles.load(bundle_folder)


@pytest.fixture(scope="module")
def other(bundle: Bundle, bundle_folder: Path) -> Released:
    """The same model under another id, as if it were a released one."""
    manifest = dataclasses.replace(bundle.manifest, id="tiny-00000000")
    read = report.read(bundle_folder)
    return Released(dataclasses.replace(bundle, manifest=manifest), dataclasses.replace(read, id="tiny-00000000"))


def with_crops(one: Released) -> Released:
    """As if it read crops, which a keypoint table doesn't have."""
    return Released(dataclasses.replace(one.bundle, features=crop_features(48)), one.report)


def test_a_released_model_is_judged_on_all_test_rows(other: Released, bundle: Bundle, table: Table):
    rows = np.flatnonzero((table.split != TEST) | (np.arange(len(table.split)) % 2 > 0))
    fewer = take(table, rows)
    scores = evaluate(bundle, fewer)

    (pair,) = released.beside([other], bundle, scores, fewer, None)

    assert pair.rows == f"the same {scores.rows:,} test rows"
    assert (pair.released, pair.mine, pair.theirs) == ("tiny-00000000", pair.mine, pair.mine)
    assert pair.mine.accuracy == pytest.approx(scores.accuracy)


def test_one_that_reads_crops_is_compared_by_its_report_where_the_rows_are_the_same(
    other: Released, bundle: Bundle, table: Table
):
    (pair,) = released.beside([with_crops(other)], bundle, evaluate(bundle, table), table, None)

    assert pair.theirs.accuracy == pytest.approx(other.report.evaluation.test.accuracy, abs=1e-6)


def test_with_rows_of_ones_own_it_is_compared_on_the_rows_that_it_was_judged_on(
    other: Released, bundle: Bundle, table: Table
):
    own = dataclasses.replace(table, data_set=np.full(len(table.split), "mine"), group=table.group + 10_000)
    both = concatenate([table, take(own, np.flatnonzero(own.found)[::3])])
    scores = evaluate(bundle, both)

    (pair,) = released.beside([with_crops(other)], bundle, scores, both, None)

    rows = other.report.evaluation.test.rows
    assert scores.rows > rows
    assert pair.rows == f"the {rows:,} of its test rows that are tiny's"
    assert pair.mine.accuracy == pytest.approx(pair.theirs.accuracy, abs=1e-6)


def test_one_that_cannot_be_judged_is_named(bundle: Bundle, table: Table):
    found = released.read([FUSED_BUNDLE, FUSED_BUNDLE / "none"])
    beside = released.beside(found, bundle, evaluate(bundle, table), table, None)

    (line,) = released.not_compared(found, bundle, beside)

    assert line == (
        f"not compared with the released {found[0].bundle.id}: it reads crops, and the table has other test rows than "
        "it was judged on"
    )


def figures(accuracy: float, **recall: float) -> Figures:
    return Figures(accuracy, (0.6, 0.95), 0.5, (0.4, 0.6), recall)


@pytest.mark.parametrize(
    ("mine", "theirs", "warning"),
    [
        (figures(0.7, fear=0.3), figures(0.7, fear=0.3), []),
        (figures(0.8, fear=0.4), figures(0.7, fear=0.3), []),
        (figures(0.7004, fear=0.303), figures(0.70045, fear=0.304), []),
        (
            figures(0.7),
            figures(0.8),
            ["warning: a reads worse than b: accuracy 0.700 instead of 0.800 (within its 95 % interval)"],
        ),
        (
            figures(0.9, fear=0.1, anger=0.2, neutral=0.9),
            figures(0.8, fear=0.3, anger=0.5, neutral=0.8),
            ["warning: a reads worse than b: recall of fear 0.10 instead of 0.30, anger 0.20 instead of 0.50"],
        ),
    ],
)
def test_what_reads_worse_is_named(mine: Figures, theirs: Figures, warning: list[str]):
    pair = SideBySide("b", "the same 9 test rows", mine, theirs)

    assert pair.warning("a") == warning
    assert side_by_side.text("a", [pair]).splitlines()[3:] == warning


def test_several_released_models_on_the_same_rows_share_a_table():
    mine = figures(0.7)
    pairs = [SideBySide(name, "the same 9 test rows", mine, figures(0.99)) for name in ("b", "longer")]

    assert side_by_side.text("a", pairs).splitlines() == [
        "on the same 9 test rows:",
        "  a       accuracy 0.700 (0.600 to 0.950)  macro-F1 0.500 (0.400 to 0.600)",
        "  b       accuracy 0.990 (0.600 to 0.950)  macro-F1 0.500 (0.400 to 0.600)  released",
        "  longer  accuracy 0.990 (0.600 to 0.950)  macro-F1 0.500 (0.400 to 0.600)  released",
        "warning: a reads worse than b: accuracy 0.700 instead of 0.990",
        "warning: a reads worse than longer: accuracy 0.700 instead of 0.990",
    ]


def test_the_report_of_a_bundle_keeps_the_comparison(bundle_folder: Path, tmp_path: Path):
    theirs, mine = tmp_path / "released", tmp_path / "mine"
    shutil.copytree(bundle_folder, theirs)
    shutil.copytree(bundle_folder, mine)
    pair = SideBySide("r-1", "the same 9 test rows", figures(0.7), figures(0.8))
    read = report.read(mine)
    (theirs / "report.json").write_text(dataclasses.replace(read, id="r-1").to_json())
    (mine / "report.json").write_text(dataclasses.replace(read, beside_released=(pair,)).to_json())

    assert side_by_side.beside_released(mine, theirs) == pair
    assert report.read(mine).beside_released == (pair,)


def test_two_reports_on_the_same_rows_are_a_comparison(tmp_path: Path):
    """The released bundles were trained before anything was compared."""
    pair = side_by_side.beside_released(LANDMARK_BUNDLE, FUSED_BUNDLE)

    assert pair is not None
    assert pair.theirs.accuracy > pair.mine.accuracy
    assert side_by_side.beside_released(tmp_path, FUSED_BUNDLE) is None, "without a report"
    values = json.loads((LANDMARK_BUNDLE / "report.json").read_text())
    values["evaluation"]["test"]["support"]["fear"] += 1
    (tmp_path / "report.json").write_text(json.dumps(values))
    assert side_by_side.beside_released(tmp_path, FUSED_BUNDLE) is None, "other rows"
    (tmp_path / "report.json").write_text("[")
    with pytest.raises(DataError, match="train the model again"):
        side_by_side.beside_released(tmp_path, FUSED_BUNDLE)


def test_other_weights_of_the_same_recipe_are_explained(other: Released, bundle: Bundle):
    mine = dataclasses.replace(other.report, id="renamed-11111111")
    now = dataclasses.replace(bundle.manifest.provenance, processor="new one, x86_64 with avx2")
    less = dataclasses.replace(figures(0.7), macro_f1=0.5004)
    pair = SideBySide("tiny-00000000", "the same 9 test rows", figures(0.688), less)

    def told(libraries: dict[str, str] | None = None, processor: str = "") -> str:
        then = dataclasses.replace(now, processor=processor, libraries=libraries or now.libraries)
        manifest = dataclasses.replace(other.bundle.manifest, provenance=then)
        before = Released(dataclasses.replace(other.bundle, manifest=manifest), other.report)
        return released.explanation([before], mine, now, [pair])

    assert "Another processor is the expected reason" in told()
    assert "Here: new one, x86_64 with avx2; there: not recorded." in told()
    assert "there: old one." in told(processor="old one")
    assert told().endswith("Its accuracy differs by -0.012, its macro-F1 by +0.000.")
    versions = dict(now.libraries) | {"keras": "3.0.0"}
    assert f"expected reason: keras {now.libraries['keras']}, not 3.0.0" in told(versions)
    assert "please report it" in told(processor=now.processor)


def test_another_recipe_or_the_same_network_needs_no_explanation(other: Released, bundle: Bundle):
    now = bundle.manifest.provenance
    same = dataclasses.replace(other.report, id="renamed-00000000")
    seed = dataclasses.replace(same, recipe=dataclasses.replace(same.recipe, seed=7))

    assert "the same network as the released tiny-00000000" in released.explanation([other], same, now, [])
    assert not released.explanation([other], seed, now, [])
