from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import edge
from edge.errors import UsageError
from host_training.collecting.samples import Take, checked_id, split_of, take_of
from host_training.data.keypoints import SPLITS
from host_training.importers.label_names import LabelNames

ROOT = Path(edge.__file__).parents[1]


def test_people_are_shared_out_as_the_shares_say():
    sides = [split_of(f"p{number}") for number in range(20_000)]

    assert {side: round(sides.count(side) / len(sides), 2) for side in SPLITS} == {
        "train": 0.8,
        "validation": 0.1,
        "test": 0.1,
    }


def test_a_person_stays_on_a_side_for_ever():
    # Worked out once; another value would move people who are in somebody's table.
    assert [split_of(name) for name in ("p07", "p2", "p25", "anna")] == ["train", "validation", "test", "validation"]


@pytest.mark.parametrize("text", ["", "  ", "\t"])
def test_asks_for_a_missing_id(text: str):
    with pytest.raises(UsageError, match="the subject is missing; give one, such as p07"):
        checked_id("subject", text)


@pytest.mark.parametrize(
    "text", ["a/b", "..", ".", "-x", "_x", "a b", "Zoë", "a\nb", "a\x00", "a" * 33, "\u017f", "\ud800", "\u0663"]
)
def test_refuses_an_id_that_is_no_file_name(text: str):
    with pytest.raises(UsageError, match="a code reveals less than a name") as error:
        checked_id("session", text)
    assert "\n" not in str(error.value)
    str(error.value).encode()


def test_ignores_case_and_spaces_of_ids():
    assert checked_id("subject", " Anna-2 ") == "anna-2"


def test_a_row_tells_its_take_and_its_folder_the_expression():
    take = Take("anna", "monday", 12, 3)

    assert take.source(7) == "anna/monday/012-sadness/0007.png"
    assert take_of(take.source(7)) == ("anna", "monday", 12)
    assert LabelNames({}).find("012-sadness") == "sadness"


def test_collecting_needs_no_library_that_a_raspberry_pi_lacks():
    script = (
        "import sys\n"
        "from host_training.commands import collect\n"
        "from host_training.collecting import collector, session, store\n"
        "from host_training import importers\n"
        "heavy = {'scipy', 'sklearn', 'tensorflow', 'keras', 'cleanlab', 'matplotlib', 'jinja2', 'distributed'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
