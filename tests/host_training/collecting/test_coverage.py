from __future__ import annotations

import re

from host_training.collecting.coverage import ENOUGH_PEOPLE, ENOUGH_ROWS, Coverage
from host_training.data.labels import LABELS

FRONTAL, SIDEWAYS = 0, 1
DIM, BRIGHT = 0, 1
HAPPINESS = LABELS.index("happiness")


def seen(*people: str, pose: int = FRONTAL, light: int = BRIGHT, rows: int = ENOUGH_ROWS, label: int = HAPPINESS):
    return [(person, label, pose, light) for person in people for _ in range(rows)]


def test_a_person_counts_under_conditions_in_which_they_have_enough_rows():
    coverage = Coverage()
    coverage.add(seen("anna") + seen("ben", rows=ENOUGH_ROWS - 1) + seen("anna", pose=SIDEWAYS, light=DIM, rows=2))

    assert coverage.people()[HAPPINESS].tolist() == [0, 1, 0, 0, 0, 0]
    assert coverage.counts()[HAPPINESS].tolist() == [0, 2 * ENOUGH_ROWS - 1, 2, 0, 0, 0]
    assert coverage.of("ben").sum() == 0
    assert coverage.of("anna").sum() == 1
    assert (coverage.subjects, coverage.rows) == (["anna", "ben"], 2 * ENOUGH_ROWS + 1)


def test_does_not_count_undone_takes():
    coverage = Coverage()
    coverage.add(seen("anna", "ben"))
    coverage.remove(seen("ben"))

    assert coverage.subjects == ["anna"]
    assert coverage.people().sum() == 1


def test_reports_labels_with_too_few_people():
    coverage = Coverage()
    assert coverage.thin() == [f"{label}: nobody yet" for label in LABELS]
    coverage.add(seen("anna"))
    assert coverage.thin()[-1] == f"happiness: 1 of {ENOUGH_PEOPLE} people"
    coverage.add(seen("ben", "carl"))
    assert coverage.thin()[-1] == "happiness: frontal in dim light, sideways, up or down"
    for pose in range(3):
        for light in range(2):
            coverage.add(seen("anna", "ben", "carl", pose=pose, light=light))
    assert [line.partition(":")[0] for line in coverage.thin()] == [label for label in LABELS if label != "happiness"]


def test_a_terminal_shows_the_same():
    coverage = Coverage()
    coverage.add(seen("anna", "ben"))

    lines = coverage.text().splitlines()
    assert lines[0].split() == ["frontal", "frontal", "sideways", "sideways", "up", "or", "down", "up", "or", "down"]
    assert re.split(r"\s+", lines[3]) == ["happiness", "0/0", "2/10", "0/0", "0/0", "0/0", "0/0"]
    assert lines[-1] == "  happiness: 2 of 3 people"
