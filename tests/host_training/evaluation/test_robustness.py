from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from edge.bundle import bundle as bundles
from edge.errors import UsageError
from edge.settings import ExpressionSettings
from edge.validation import build
from edge.values import Face, Reading
from host_training.data import extract
from host_training.data.distortions import DISTORTIONS
from host_training.data.source import Pixels, Row, Source
from host_training.errors import TableError
from host_training.evaluation.evaluate import evaluate
from host_training.evaluation.robustness import KINDS, NONE, Robustness, _Device, _figures, measure, nearest
from tests.support.portraits import mesh_models, scaled

SIZES = (48, 60, 75, 90)


@pytest.fixture(scope="module")
def pictures():
    """The demo's person at some sizes, one picture without a face, and one that is no test row."""
    faces = [scaled(size)[0] for size in SIZES]
    return dict(enumerate(Pixels(each) for each in [*faces, np.zeros((60, 60, 3), np.uint8), faces[0][1:]]))


@pytest.fixture(scope="module")
def photos(pictures, tmp_path_factory):
    """What the mesh measures in them; half of the labels are right."""
    rows = [
        Row(str(row), picture, "happiness" if row % 2 else "anger", split="test" if row <= len(SIZES) else "train")
        for row, picture in pictures.items()
    ]
    parts = tmp_path_factory.mktemp("parts")
    return extract.measure(Source("tiny", rows), mesh_models(), parts=parts, workers=1)[0]


@pytest.fixture(scope="module")
def found(bundle_folder, photos, pictures):
    return measure([bundle_folder], mesh_models(), photos, pictures)


@pytest.fixture
def altered(bundle_folder, tmp_path):
    """A copy of the bundle with other words in its manifest."""

    def alter(**words):
        folder = tmp_path / "altered"
        shutil.copytree(bundle_folder, folder)
        manifest = json.loads((folder / bundles.MANIFEST).read_text("utf-8"))
        (folder / bundles.MANIFEST).write_text(json.dumps(manifest | words), "utf-8")
        return folder

    return alter


def figures_of(found):
    """Figures of the only bundle."""
    (figures,) = found.bundles.values()
    return figures


def test_pictures_as_they_are_give_the_figures_of_an_evaluation(found, bundle_folder, photos):
    scores = evaluate(bundles.load(bundle_folder), photos)
    plain = figures_of(found)[NONE]

    assert found.rows == scores.rows == len(SIZES) + 1
    assert plain.found == pytest.approx(scores.found / scores.rows)
    assert plain.accuracy == pytest.approx(scores.accuracy)
    assert plain.macro_f1 == pytest.approx(scores.macro_f1, abs=1e-4)


def test_every_distortion_is_measured_and_explained(found):
    assert list(figures_of(found)) == list(found.distortions) == [NONE, *DISTORTIONS]


def test_a_missed_face_is_an_error(found):
    for figures in figures_of(found).values():
        assert figures.found <= len(SIZES) / (len(SIZES) + 1)
        assert figures.accuracy <= figures.found


def test_the_distorted_picture_is_the_one_that_is_read(bundle_folder, photos, pictures):
    device = _Device([bundle_folder], mesh_models())

    readings = dict(zip(KINDS, device("tiny/3", pictures[3], photos.landmarks[3]), strict=True))

    assert readings[NONE][0].box[3] == pytest.approx(SIZES[3], rel=0.05)
    assert readings["resolution-40"][0].box[3] == pytest.approx(40, rel=0.15)
    for kind in ("dark", "blur", "covered-mouth"):
        assert readings[kind][0].box != readings[NONE][0].box


def test_the_same_command_finds_the_same(found, bundle_folder, photos, pictures):
    assert measure([bundle_folder], mesh_models(), photos, pictures) == found


def test_a_sample_is_always_the_same_rows(bundle_folder, photos, pictures):
    first, again = (measure([bundle_folder], mesh_models(), photos, pictures, rows=2) for _ in range(2))

    assert first == again
    assert first.rows == 2


def test_the_order_of_a_bundles_labels_is_its_own(altered, bundle_folder, photos, pictures):
    labels = list(bundles.load(bundle_folder).labels)
    happiness, other = labels.index("happiness"), labels.index("contempt")
    labels[happiness], labels[other] = labels[other], labels[happiness]

    both = measure([bundle_folder, altered(id="other", labels=labels)], mesh_models(), photos, pictures)

    mine, others = both.bundles.values()
    assert list(both.bundles)[1] == "other"
    assert mine[NONE].accuracy > others[NONE].accuracy  # what it took for happiness, it now calls contempt
    assert mine[NONE].found == others[NONE].found


def test_bundles_of_other_labels_are_refused(altered, bundle_folder, photos, pictures):
    labels = ["calm", *bundles.load(bundle_folder).labels[1:]]

    with pytest.raises(UsageError, match=r"reads other labels than .*; measure them separately"):
        measure([bundle_folder, altered(labels=labels)], mesh_models(), photos, pictures)


def test_a_table_without_a_picture_of_a_test_row_is_refused(bundle_folder, photos, pictures):
    with pytest.raises(TableError, match="no labelled test row has a picture here"):
        measure([bundle_folder], mesh_models(), photos, {len(SIZES) + 1: pictures[0]})


def test_the_text_has_a_line_for_each_distortion(found):
    page = found.text()

    (name,) = found.bundles
    assert page.startswith("5 test pictures; missed faces are errors")
    assert name in page
    for kind, summary in found.distortions.items():
        assert sum(line.startswith(f"{kind} ") for line in page.splitlines()) == 2
        assert summary in page


def test_it_can_be_read_from_its_json(found):
    document = json.loads(json.dumps(found.as_dict(), allow_nan=False))

    assert build(Robustness, document) == found


class TestNearest:
    @pytest.fixture
    def at(self, faces):
        """A face so many of its widths to the right."""
        width = np.ptp(faces[0][:, 0])
        return lambda widths: Face(1, faces[0] + np.array([widths * width, 0, 0], np.float32), 0.9)

    def test_thenearest_face_is_the_rows(self, at):
        near = at(0.1)

        assert nearest([at(0.3), near, at(-1)], at(0).landmarks) is near

    def test_a_face_elsewhere_is_another_persons(self, at):
        assert nearest([at(0.7), at(-2)], at(0).landmarks) is None
        assert nearest([], at(0).landmarks) is None


class TestFigures:
    def test_each_figure_is_of_the_rows_that_it_says(self):
        rules = ExpressionSettings()

        def reading(first, quality=1.0):
            return Reading(1, np.array([first, 0.0, 1 - first], np.float32), quality, (0, 0, 1, 1))

        readings = [reading(0.9), reading(0.9), reading(0.1), reading(0.9, rules.min_quality / 2), None]
        label = np.array([0, 1, 1, 0, 0])

        figures = _figures(readings, [0, 2], label, np.arange(5))

        assert figures.found == 0.8
        assert figures.accuracy == 0.6
        assert figures.uncertain == 0.25
        assert figures.accuracy_certain == pytest.approx(2 / 3, abs=1e-4)
        assert figures.accuracy_interval == (0, 1)  # of so few rows nothing is known

    def test_an_unsure_reading_is_uncertain(self):
        unsure = Reading(1, np.array([0.3, 0.3, 0.4], np.float32), 1.0, (0, 0, 1, 1))

        figures = _figures([unsure, None], [0, 1, 2], np.array([2, 0]), np.arange(2))

        assert (figures.accuracy, figures.uncertain, figures.accuracy_certain) == (0.5, 1, None)

    def test_where_no_face_is_found_nothing_is_uncertain(self):
        figures = _figures([None, None], [0, 1], np.array([0, 1]), np.arange(2))

        assert (figures.found, figures.accuracy, figures.uncertain) == (0, 0, 0)
        assert figures.accuracy_certain is None
