"""The page on which people decide, in a real browser: it is whole, says what it should, and saves what was chosen."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from host_training.cleaning import contact_sheet
from host_training.cleaning.contact_sheet import Findings
from host_training.cleaning.near_duplicates import Pair
from host_training.cleaning.suspects import Suspect
from host_training.data import decisions
from host_training.data.decisions import DROP, KEEP, RELABEL, SAME_AS, Decision
from host_training.data.keypoints import MESH, Table
from host_training.data.labels import LABELS, VOTE_COLUMNS
from host_training.data.source import Pixels
from tests.support.broker import until

pytest_plugins = ["tests.support.browsers"]

GOLDEN = Path(__file__).parents[2] / "support" / "faces.npz"
NASTY = 'anna/"<b>&amp;</script><script>window.hacked=1</script>, 1.png'
FILE = "faces.decisions.csv"


@pytest.fixture(scope="module")
def table():
    with np.load(GOLDEN) as golden:
        landmarks = golden["landmarks"][:6]
    votes = np.zeros((6, len(VOTE_COLUMNS)), np.uint8)
    votes[:, LABELS.index("sadness")] = 6
    votes[:, LABELS.index("fear")] = 3
    return Table(
        data_set=np.full(6, "web"),
        source=np.array(["0", "1", "2", "3", NASTY, "5"]),
        split=np.array(["train", "train", "validation", "train", "train", "test"]),
        subject=np.full(6, ""),
        group=np.arange(6),
        label=np.full(6, -1, np.int8),
        votes=votes,
        mesh=np.full(6, MESH),
        presence=np.ones(6, np.float32),
        brightness=np.full(6, np.nan, np.float32),
        sharpness=np.full(6, np.nan, np.float32),
        landmarks=landmarks,
    )


@pytest.fixture(scope="module")
def findings():
    suspects = [Suspect(row, "sadness", "fear", 0.914, 0.1) for row in (0, 1, 4)]
    pairs = [Pair(2, 5, True, 0.031, 0.957), Pair(0, 3, False, 0.012, float("nan"))]
    lines = [
        Decision("web/0", KEEP, "", "suggested: predicted fear"),
        Decision("web/1", KEEP, "", "suggested: predicted fear"),
        Decision(f"web/{NASTY}", KEEP, "", 'suggested: predicted "fear", 0.91'),
        Decision("web/2", SAME_AS, "web/5", "suggested: the same photo"),
        Decision("web/3", SAME_AS, "web/0", "suggested: the same photo"),
        Decision("web/98", DROP, "", 'decided: "a cartoon"'),
        Decision("web/99", DROP, "", "decided: a drawing\nof a cat"),
    ]
    return Findings(suspects, 30, pairs, 200, lines)


@pytest.fixture(scope="module")
def page(table, findings, tmp_path_factory):
    path = tmp_path_factory.mktemp("sheet") / "contact-sheet.html"
    pictures = {0: Pixels(np.full((600, 900, 3), (200, 30, 30), np.uint8)), 2: Pixels(np.zeros((300, 300), np.uint8))}
    contact_sheet.write(path, table, findings, pictures, name="faces.parquet", file=FILE)
    return path


@pytest.fixture(scope="module")
def html(page):
    return page.read_text("utf-8")


@pytest.fixture
def browser(chrome, page, tmp_path):
    chrome.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    chrome.get(page.as_uri())
    return chrome


@pytest.fixture
def save(browser, tmp_path):
    """Press the button; the decisions in the file that the browser saves."""

    def press():
        browser.find_element("id", "save").click()
        until(lambda: list(tmp_path.glob(FILE)) and (tmp_path / FILE).stat().st_size, "the browser saves it")
        return tmp_path / FILE

    return press


def choose(browser, card, value):
    browser.execute_script("arguments[0].click()", browser.find_element("css selector", f"#{card} [value='{value}']"))


def relabel(browser, card, label):
    from selenium.webdriver.support.ui import Select

    select = browser.find_element("css selector", f"#{card} select")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", select)
    Select(select).select_by_visible_text(label)


def test_the_page_loads_without_an_error_or_a_request(browser, page):
    browser.get_log("performance")
    browser.get_log("browser")
    browser.get(page.as_uri())
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}
    assert browser.get_log("browser") == []


def test_names_of_files_cannot_break_the_page(browser):
    assert browser.execute_script("return window.hacked") is None
    assert NASTY in browser.find_element("css selector", "#L3 h3").text


def test_it_refers_to_nothing_outside_itself(html):
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', html) == []
    assert "url(" not in html


def test_saving_without_a_choice_changes_nothing(save, findings):
    path = save()
    assert path.read_bytes().decode() == decisions.text(findings.lines)


def test_saves_the_choices(browser, save, findings):
    choose(browser, "L1", DROP)
    choose(browser, "L2", KEEP)
    relabel(browser, "L3", "disgust")
    choose(browser, "P1", KEEP)
    choose(browser, "P2", SAME_AS)
    expected = [
        Decision("web/0", DROP, "", "decided: predicted fear"),
        Decision("web/1", KEEP, "", "decided: predicted fear"),
        Decision("web/2", KEEP, "web/5", "decided: the same photo"),
        Decision("web/3", SAME_AS, "web/0", "decided: the same photo"),
        *findings.lines[-2:],
        Decision(f"web/{NASTY}", RELABEL, "disgust", 'decided: predicted "fear", 0.91'),
    ]
    assert decisions.read(save()) == expected
    assert browser.find_element("id", "count").text == "5 of 5 decided"


def test_relabel_takes_the_networks_label_unless_another_is_chosen(browser, save):
    choose(browser, "L1", RELABEL)
    assert decisions.read(save())[0] == Decision("web/0", RELABEL, "fear", "decided: predicted fear")


def test_a_choice_can_be_taken_back(browser, save, findings):
    choose(browser, "L1", DROP)
    choose(browser, "P1", KEEP)
    choose(browser, "L1", "")
    choose(browser, "P1", "")
    assert decisions.read(save()) == decisions.ordered(findings.lines)
    assert browser.find_element("id", "count").text == "0 of 5 decided"


def test_decided_cards_can_be_hidden(browser):
    choose(browser, "L1", DROP)
    browser.find_element("id", "hide").click()
    shown = {card.get_attribute("id"): card.is_displayed() for card in browser.find_elements("class name", "card")}
    assert shown == {"L1": False, "L2": True, "L3": True, "P1": True, "P2": True}


@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_a_phone_and_a_desk(browser, width):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    small = browser.execute_script(
        "return [...document.querySelectorAll('fieldset label, select, button')]"
        ".filter(control => control.offsetHeight < 40).length"
    )
    assert small == 0, "too small for a thumb"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_readers_colours(browser, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    colours = browser.execute_script(
        "return [getComputedStyle(document.body).backgroundColor,"
        " getComputedStyle(document.querySelector('svg')).stroke]"
    )
    paper, line = (sum(int(part) for part in re.findall(r"\d+", colour)[:3]) for colour in colours)
    assert (paper > line) == (scheme == "light")


def test_a_picture_is_shown_where_it_is_at_hand_and_the_mesh_where_not(html):
    cards = dict(re.findall(r'<article class="card" id="(\w+)".*?>(.*?)</article>', html, re.DOTALL))
    assert {name: (card.count("<img"), card.count("<svg")) for name, card in cards.items()} == {
        "L1": (1, 1),
        "L2": (0, 1),
        "L3": (0, 1),
        "P1": (1, 1),
        "P2": (1, 1),
    }


def test_a_picture_shows_the_face_in_its_colours_and_is_small(html):
    png = base64.b64decode(re.search(r'src="data:image/png;base64,([^"]+)"', html)[1])
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert max(picture.shape[:2]) <= contact_sheet.MAX_SIDE
    assert picture[0, 0].tolist() == [30, 30, 200]  # OpenCV's blue, green, red


def test_a_small_picture_stays_as_small_as_it_is(table):
    low, high = table.landmarks[0].min(axis=0), table.landmarks[0].max(axis=0)
    landmarks = (table.landmarks[0] - low) / (high - low).max() * 40 + 4
    uri = contact_sheet._data_uri(np.zeros((48, 48, 3), np.uint8), landmarks)
    png = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    assert max(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).shape[:2]) <= 48


def test_a_picture_is_shown_whole_where_the_face_lies_outside_it(table):
    uri = contact_sheet._data_uri(np.zeros((20, 30, 3), np.uint8), table.landmarks[0] + 5000)
    png = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    assert cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).shape == (20, 30, 3)


def test_cards_show_what_is_known(html):
    text = " ".join(re.sub(r"<[^>]+>", " ", html).split())
    assert "Label: sadness (sadness 6, fear 3) Predicted: fear , confidence 91%" in text
    assert "3 of 30, the most doubtful first" in text
    assert "mirrored, pictures correlate at 0.96, landmarks 0.031 apart" in text
    assert "2 of 200 pairs" in text
    assert "Rows of the test split are not shown" in text


def test_a_pair_tells_splits_and_no_labels(html):
    (card,) = re.findall(r'<article class="card" id="P1".*?</article>', html, re.DOTALL)
    assert "validation" in card
    assert "test" in card
    assert not any(label in card for label in LABELS)


def test_says_when_there_is_nothing_to_decide(table, tmp_path):
    path = tmp_path / "contact-sheet.html"
    contact_sheet.write(path, table, Findings([], 0, [], 0, []), {}, name="faces.parquet", file=FILE)
    assert path.read_text("utf-8").count("None.") == 2
