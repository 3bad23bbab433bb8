"""`emotion-train clean` from the outside: what it finds, writes, keeps and refuses."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from host_training.cli import main
from host_training.data import decisions, parquet, tables
from host_training.data.decisions import DROP, KEEP, RELABEL, SAME_AS, Decision
from host_training.data.keypoints import MESH, TEST, TRAIN, VALIDATION, Table
from host_training.data.labels import LABELS, VOTE_COLUMNS
from host_training.data.landmark_sets import mirrored
from host_training.training import folds

GOLDEN = Path(__file__).parents[2] / "support" / "faces.npz"
RECIPE = """
[network]
hidden = [16]
[optimiser]
epochs = 8
batch = 32
learning_rate = 0.02
"""
COPIES = {TRAIN: 8, VALIDATION: 4, TEST: 2}
WRONG = ("web/40", "web/57")
"""Training rows whose label is not what the face shows."""
MINE = [
    Decision(WRONG[0], RELABEL, "anger", "suggested: something else"),
    Decision(WRONG[1], KEEP, "", "she told me"),
    Decision("web/happy/copy.png", KEEP, "web/192", "twins"),
    Decision("other/1", DROP, "", "of another table"),
]
"""What a person decided before the second run."""


@pytest.fixture(scope="module", autouse=True)
def _three_folds():
    """Instead of five: the labels that are wrong here are doubtful enough to networks that know less."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folds, "cross_validated", functools.partial(folds.cross_validated, count=folds.LEAST_FOLDS))
        yield


@pytest.fixture(scope="module")
def table():
    """Two faces of each label, moving a little; of the first two test rows the training rows hold copies."""
    with np.load(GOLDEN) as golden:
        faces = golden["landmarks"]
    rng = np.random.default_rng(0)
    split = np.repeat(list(COPIES), [16 * copies for copies in COPIES.values()])
    face = np.tile(np.arange(16), sum(COPIES.values()))
    size = np.ptp(faces[face], axis=1).max(axis=1)[:, None, None]
    landmarks = faces[face] + rng.normal(0, 0.01, (len(face), 478, 3)) * size
    copied = np.flatnonzero(split == TEST)[:2]
    copies = [landmarks[copied[0]] * 1.5 + 3, mirrored(landmarks[copied[1:]])[0]]
    face, count = np.concatenate([face[copied], face]), len(face) + 2
    label = (face // 2).astype(np.int8)
    for row in WRONG:
        label[int(row.removeprefix("web/")) + 2] = LABELS.index("contempt")
    return Table(
        data_set=np.full(count, "web"),
        source=np.array(["happy/copy.png", "happy/mirrored.png", *np.arange(count - 2).astype(str)]),
        split=np.array([TRAIN, TRAIN, *split]),
        subject=np.full(count, ""),
        group=np.arange(count),
        label=label,
        votes=np.zeros((count, len(VOTE_COLUMNS)), np.uint8),
        mesh=np.full(count, MESH),
        presence=np.ones(count, np.float32),
        brightness=np.full(count, np.nan, np.float32),
        sharpness=np.full(count, np.nan, np.float32),
        landmarks=np.concatenate([copies, landmarks]).astype(np.float32),
    )


@pytest.fixture(scope="module")
def originals(table):
    """Ids of the two test rows that were copied."""
    return table.ids[np.flatnonzero(table.split == TEST)[:2]].tolist()


@pytest.fixture(scope="module")
def faces_file(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "faces.parquet"
    parquet.write(table, path)
    return path


@pytest.fixture
def place(faces_file, tmp_path):
    return prepared(faces_file, tmp_path)


def prepared(faces_file, folder):
    """A folder with the table, a small recipe, and the pictures of the two copies."""
    shutil.copy(faces_file, folder)
    (folder / "small.toml").write_text(RECIPE, "utf-8")
    (folder / "web" / "happy").mkdir(parents=True)
    for seed, name in enumerate(("copy.png", "mirrored.png")):
        noise = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), np.uint8)
        cv2.imwrite(str(folder / "web" / "happy" / name), noise)
    return folder


def clean(place, *more):
    return main(
        [
            *("clean", "--table", str(place / "faces.parquet"), "--out", str(place / "out")),
            *("--recipe", str(place / "small.toml"), *more),
        ]
    )


@dataclasses.dataclass
class Outcome:
    """What one run leaves behind."""

    table: Path
    decisions: list[Decision]
    page: str
    told: str


def outcome(place, *more):
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        assert clean(place, *more) == 0
    return Outcome(
        place / "faces.parquet",
        decisions.read(place / "faces.decisions.csv"),
        (place / "out" / "contact-sheet.html").read_text("utf-8"),
        told.getvalue(),
    )


@pytest.fixture(scope="module")
def first(faces_file, tmp_path_factory):
    """The first run on a table."""
    return outcome(prepared(faces_file, tmp_path_factory.mktemp("first")), "--top", "2")


@pytest.fixture(scope="module")
def second(faces_file, tmp_path_factory):
    """A run after a person's decisions and a suggestion that nobody looked at, with pictures."""
    place = prepared(faces_file, tmp_path_factory.mktemp("second"))
    old = Decision("web/7", KEEP, "", "suggested: of the last time")
    decisions.write([*MINE, old], place / "faces.decisions.csv")
    return outcome(place, "--top", "200", "--pictures", f"folder:{place / 'web'}")


def test_keeps_copies_across_splits_on_one_side(first, originals):
    pairs = {(d.id, d.detail) for d in first.decisions if d.action == SAME_AS}
    assert pairs == {("web/happy/copy.png", originals[0]), ("web/happy/mirrored.png", originals[1])}
    left, _ = tables.load(first.table)
    assert not {"web/happy/copy.png", "web/happy/mirrored.png"} & set(left.ids.tolist())
    assert set(originals) <= set(left.ids.tolist())
    assert "2 pairs of one photo to look at, 1 of them mirrored and 2 across splits" in first.told
    assert "2 rows will be left out" in first.told


def test_shows_wrong_labels_without_changing_them(first, table):
    about_rows = [d for d in first.decisions if d.action != SAME_AS]
    assert {d.id for d in about_rows} == set(WRONG)
    assert all(d.action == KEEP and d.open for d in about_rows)
    assert all(f"· {row}<" in first.page for row in WRONG)
    left, _ = tables.load(first.table)
    before, after = np.isin(table.ids, WRONG), np.isin(left.ids, WRONG)
    assert left.label[after].tolist() == table.label[before].tolist()


def test_never_shows_labels_of_the_test_split(first, second, table):
    split = dict(zip(table.ids.tolist(), table.split.tolist(), strict=True))
    shown = {split[d.id] for d in first.decisions + second.decisions if d.action == KEEP and not d.detail}
    assert shown
    assert shown <= {TRAIN, VALIDATION}


def test_keeps_decisions_and_does_not_suggest_them_again(second, originals):
    assert MINE[2].detail == originals[0]
    assert set(MINE) <= set(second.decisions)
    assert [d.detail for d in second.decisions if d.action == SAME_AS] == [originals[1]]
    assert not any(f"· {row}<" in second.page for row in WRONG)
    assert "copy.png</code>" not in second.page
    assert "mirrored.png</code>" in second.page


def test_replaces_suggestions_without_a_decision(second):
    assert "suggested: of the last time" not in {d.reason for d in second.decisions}


def test_shows_pictures_that_are_given(first, second):
    assert "<img src" not in first.page
    assert "<img src" in second.page


def test_the_page_saves_under_the_name_of_the_file_beside_the_table(first):
    assert 'download = "faces.decisions.csv"' in first.page


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        (("--pictures", "fer2013.csv"), 64, "such as fer2013:fer2013.csv"),
        (("--pictures", "mine:fer2013.csv"), 64, "unknown data set 'mine'"),
        (("--pictures", "fer2013:none.csv"), 66, "none.csv: No such file"),
        (("--top", "-1"), 64, "--top must be 0 or more"),
        (("--labels", "joy"), 64, "unknown label 'joy'"),
    ],
)
def test_reports_bad_options_in_one_line(place, capsys, more, status, words):
    assert clean(place, *more) == status
    told = capsys.readouterr().err.splitlines()
    assert words in told[-1]
    assert not (place / "faces.decisions.csv").exists()


def test_pictures_of_another_data_set_are_refused(place, capsys):
    (place / "web").rename(place / "other")
    assert clean(place, "--pictures", f"folder:{place / 'other'}") == 64
    assert "none of its 2 pictures belongs to the table" in capsys.readouterr().err


def test_names_a_broken_decisions_file_and_keeps_it(place, capsys):
    path = place / "faces.decisions.csv"
    path.write_text("id,action,detail,reason\nweb/1,remove,,\n", "utf-8")
    assert clean(place) == 65
    assert f"{path}, line 2: unknown action 'remove'" in capsys.readouterr().err
    assert path.read_text("utf-8").endswith("web/1,remove,,\n")


def test_help_mentions_that_test_labels_are_not_checked(capsys):
    with pytest.raises(SystemExit):
        main(["clean", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "Labels of the test split are not checked" in told
    assert "example: emotion-train clean" in told
