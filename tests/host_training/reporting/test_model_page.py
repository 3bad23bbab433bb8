from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edge.bundle import bundle as edge_bundle
from edge.errors import ConfigError, DataError, NoInputError
from host_training import build
from host_training.cli import main
from host_training.data.keypoints import Table, take
from host_training.reporting import about, findings, model_page, range_text, report
from host_training.training import signing
from tests.support import ranges

pytest_plugins = ["tests.support.browsers"]

if TYPE_CHECKING:
    from host_training.build import Origin
    from host_training.training.recipe import Recipe

PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}

FIGURES = {"accuracy": 0.7812, "accuracy_found": 0.79, "macro_f1": 0.6291, "ece": 0.0121}
FOLDS = {
    "command": "emotion-train cross-validate --table tiny.parquet --folds 3",
    "folds": [{"rows": 100, **FIGURES}] * 3,
    "mean": FIGURES,
    "deviation": dict.fromkeys(FIGURES, 0.0456),
}
TRIALS = {
    "command": "emotion-train search --table tiny.parquet --trials 2",
    "trials": [
        {"knobs": {"network.dropout": 0.1, "optimiser.batch": 512}, "validation": {"accuracy": 0.7654}},
        {"knobs": {"network.dropout": 0.3, "optimiser.batch": 512}, "validation": {"accuracy": 0.7543}},
    ],
}
COMPARISON = {
    "command": "emotion-train compare --table tiny.parquet --out model",
    "rows": {},
    "notes": [],
    "labels": [],
    "truth": "votes",
    "seeds": [1, 2],
    "libraries": {},
    "contenders": [
        {
            "name": "logistic",
            "about": "logistic regression",
            "learned_from": "labels",
            "parameters": 7650,
            "bytes": 30600,
            "seconds": 3.4,
            "seeds": 2,
            "validation": {**FIGURES, "accuracy_interval": [0.76, 0.8]},
            "test": {**FIGURES, "accuracy": 0.7321, "accuracy_interval": [0.71, 0.75]},
            "deviation": {"validation": FIGURES, "test": {**FIGURES, "accuracy": 0.0123}},
        },
        {
            "name": "MobileNet",
            "about": "image network",
            "learned_from": "pictures",
            "why_not": "it wants --pictures",
        },
    ],
}
READ = {
    "found": 0.9876,
    "accuracy": 0.7654,
    "accuracy_interval": [0.71, 0.81],
    "macro_f1": 0.6,
    "macro_f1_interval": [0.5, 0.7],
    "uncertain": 0.1,
    "accuracy_certain": None,
}
ROBUSTNESS = {
    "command": "emotion-train robustness --bundle fused --data tiny.parquet",
    "protocol": "A missed face is an error.",
    "labels": [],
    "rows": 300,
    "enter": 0.5,
    "min_quality": 0.25,
    "distortions": {"none": "the picture as it is", "dark": "too little light"},
    "bundles": {
        "other-1": {"none": READ, "dark": {**READ, "accuracy": 0.4321}},
        "this": {"none": READ, "dark": {**READ, "accuracy": 0.5432}},
    },
    "range": ranges.of("this").as_dict(),
}
FILES: dict[str, dict[str, Any]] = {
    "fused.cross-validation.json": FOLDS,
    "fused.trials.json": TRIALS,
    "comparison.json": COMPARISON,
    "robustness.json": ROBUSTNESS,
}


class Page(HTMLParser):
    """Text and tags of a page; complains of tags that are not closed in their order."""

    VOID = frozenset({"meta", "br", "link", "img", "input", "hr"})

    def __init__(self, html: str):
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str):
        assert self._open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str):
        if "style" not in self._open:
            self.words += data.split()

    @property
    def text(self):
        return " ".join(self.words)


@pytest.fixture
def folder(bundle_folder: Path, tmp_path: Path):
    """A bundle that may be changed."""
    return Path(shutil.copytree(bundle_folder, tmp_path / "model" / "fused"))


def change(folder: Path, **values: Any):
    """Put other values into a bundle's report, None taking one out, and keep the bundle whole."""
    found = json.loads((folder / "report.json").read_text())
    found = {name: value for name, value in {**found, **values}.items() if name not in values or value is not None}
    seal(folder, json.dumps(found))


def seal(folder: Path, text: str):
    (folder / "report.json").write_text(text)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["report.json"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def scores_of(folder: Path, split: str = "test"):
    return json.loads((folder / "report.json").read_text())["evaluation"][split]


def with_scores(folder: Path, **values: Any):
    """Put other values into what was measured on the test rows."""
    change(folder, evaluation={"test": {**scores_of(folder), **values}, "validation": scores_of(folder, "validation")})


def html_of(folder: Path, table: Table | None = None, comparison: Path | None = None):
    return model_page.text(edge_bundle.load(folder), report.read(folder), findings.read(folder, comparison), table)


def page_of(folder: Path, table: Table | None = None, comparison: Path | None = None):
    return Page(html_of(folder, table, comparison))


def mistakes(table: Table, count: int):
    ids = table.ids[table.found & (table.split == "test")][:count].tolist()
    return [{"id": name, "label": "anger", "predicted": "happiness", "confidence": 0.9712} for name in ids]


@pytest.fixture(scope="module")
def whole_folder(bundle_folder: Path, table: Table, tmp_path_factory: pytest.TempPathFactory):
    """A bundle of which everything is known."""
    folder = Path(shutil.copytree(bundle_folder, tmp_path_factory.mktemp("whole") / "fused"))
    labels = scores_of(folder)["labels"]
    confusion = [[1000 + 10 * row + column for column in range(9)] for row in range(8)]
    with_scores(
        folder,
        accuracy=0.7812,
        accuracy_interval=[0.7683, 0.7951],
        majority_baseline=0.3451,
        recall=dict.fromkeys(labels, 0.5) | {"surprise": 0.875, "fear": 0.25},
        confusion=confusion,
        support=dict(zip(labels, map(sum, confusion), strict=True)),
        slices={"pose": [{"name": "over 45°", "rows": 61, "found": 61, "accuracy": 0.492, "interval": [0.361, 0.617]}]},
        coverage=[{"threshold": 0.7, "coverage": 0.6612, "accuracy": 0.9345}],
        engines=[{"name": "float", "accuracy": 0.7811, "macro_f1": 0.6302, "agreement": 0.99354}],
        worst=mistakes(table, 24),
    )
    mine = json.loads((folder / "manifest.json").read_text())["id"]
    (folder.parent / "evaluation").mkdir()
    for name, found in FILES.items():
        (folder.parent / "evaluation" / name).write_text(json.dumps(found).replace('"this"', f'"{mine}"'))
    return folder


@pytest.fixture(scope="module")
def written(whole_folder: Path, table: Table):
    """The file with its page."""
    page = whole_folder.parent / "report.html"
    page.write_text(html_of(whole_folder, table), "utf-8")
    return page


@pytest.fixture(scope="module")
def whole(written: Path):
    """That page."""
    return Page(written.read_text("utf-8"))


def test_the_headline_figures_stand_with_intervals_and_baseline(whole: Page, whole_folder: Path):
    assert "78.1% 95% interval 76.8 to 79.5%" in whole.text
    assert "gives 34.5%" in whole.text
    assert scores_of(whole_folder)["protocol"] in whole.text


def test_it_names_what_is_read_best_and_worst(whole: Page):
    assert "surprise best (87.5% of 9,216), fear worst (25.0% of 9,576)" in whole.text


def test_bars_stand_where_the_figures_say(whole: Page):
    fear = re.search(r'<th scope="row">fear</th>.*?<span class="bar"[^>]*>(.*?)</span>', whole.html, re.DOTALL)
    low, high = re.search(r"left:([\d.]+)%;right:([\d.]+)%", fear[1]).groups()

    assert '<b style="left:25.0%">' in fear[1]
    assert f"{low} to {100 - float(high):.1f}%" in whole.text


def test_every_count_of_the_confusion_matrix_is_on_the_page(whole: Page, whole_folder: Path):
    counts = {str(count) for row in scores_of(whole_folder)["confusion"] for count in row}

    assert len(counts) == 72
    assert counts <= set(whole.words)


def test_shows_slices_and_coverage(whole: Page):
    assert "Pose: angle between face and line of sight over 45° 61 49.2% 36.1 to 61.7%" in whole.text
    assert "70% 66.1% 93.5%" in whole.text


def test_shows_distorted_pictures_with_this_bundle_first(whole: Page):
    assert "too little light 54.3% 71.0 to 81.0% 43.2% 71.0 to 81.0% 98.8%" in whole.text
    assert ROBUSTNESS["command"] in whole.text
    assert about.RESOLUTION in whole.text


def test_the_range_is_told_in_px_and_metres(whole: Page):
    assert "24 3.5 4.4 2.3 90.0% 82.6 to 94.5% 90.0% 82.6 to 94.5% 70.0% 60.4 to 78.1% 10.0% 80.0%" in whole.text
    assert ranges.of("this").command in whole.text
    assert range_text.DISTANCE in whole.text
    assert 'aria-label="Range. 640x480' in whole.html


def test_without_a_range_of_this_bundle_there_is_no_such_section(folder: Path):
    assert "Range" not in page_of(folder).text

    (folder.parent / "evaluation").mkdir()
    file = folder.parent / "evaluation" / "robustness.json"
    file.write_text(json.dumps({"range": ranges.of("another").as_dict()}))
    text = page_of(folder).text
    assert "Range" not in text
    assert "Accuracy on dark, blurred, noisy, low-resolution and covered faces: not measured." in text


def test_a_damaged_range_is_named(folder: Path):
    (folder.parent / "evaluation").mkdir()
    (folder.parent / "evaluation" / "robustness.json").write_text('{"range": {"command": "x"}}')

    with pytest.raises(DataError, match=r"robustness\.json: .*range\.protocol is missing"):
        page_of(folder)


def test_engines_are_compared(whole: Page):
    assert "float 78.1% 0.630 99.35%" in whole.text


def test_gives_the_command_that_makes_the_model(whole: Page, whole_folder: Path):
    found = json.loads((whole_folder / "report.json").read_text())
    manifest = json.loads((whole_folder / "manifest.json").read_text())

    assert manifest["provenance"]["command"] in whole.text
    assert found["evaluate_command"] in whole.text
    assert "optimiser.learning_rate 0.002" in whole.text
    for value in (*manifest["files"].values(), manifest["feature_contract"], manifest["landmarker_sha256"]):
        assert value in whole.text
    for name, version in manifest["provenance"]["libraries"].items():
        assert f"{name} {version}" in whole.text


def test_limits_and_use_are_in_the_words_of_the_card(whole: Page, whole_folder: Path):
    for words in (*about.limits(report.read(whole_folder)), about.USE, about.FORBIDDEN):
        assert words in whole.text


def test_includes_results_of_other_commands(whole: Page):
    assert "3 folds" in whole.text
    assert "accuracy 78.1% ± 4.6%" in whole.text
    assert "network.dropout accuracy 0.1 76.5% 0.3 75.4%" in whole.text  # the batch was never changed
    assert "logistic 73.2% ± 1.2%" in whole.text
    assert "MobileNet was not run: it wants --pictures." in whole.text
    assert all(found["command"] in whole.text for found in FILES.values())


def test_reports_nothing_as_missing_that_is_known(whole: Page):
    assert "not measured" not in whole.text
    assert "drawing" not in whole.text


def test_the_worst_mistakes_are_drawn_from_the_table(whole: Page, table: Table):
    drawn = re.findall(r"<svg[^>]*><title>anger, read as happiness</title>.{0,40}<path[^>]* d=\"M", whole.html)

    assert len(drawn) == 24
    assert f"confidence 97.1% {mistakes(table, 1)[0]['id']}" in whole.text


def test_a_share_of_nothing_is_no_zero(folder: Path):
    scores = scores_of(folder)
    *others, gone = scores["labels"]
    scores["support"][gone] = 0
    confusion = [[*counts[: len(others)], 1, counts[-1]] for counts in scores["confusion"]]
    confusion[-1] = [0] * (len(others) + 2)
    with_scores(folder, support=scores["support"], confusion=confusion)

    assert f" {gone} 0 - - - - " in f" {page_of(folder).text} ".replace("  ", " ")


def test_explains_how_to_draw_mistakes_without_a_table(folder: Path, table: Table):
    with_scores(folder, worst=mistakes(table, 3))

    page = page_of(folder)

    assert "emotion-train report --table TABLE" in page.text
    assert "<title>anger" not in page.html


def test_rows_of_another_table_are_left_undrawn(folder: Path, table: Table):
    with_scores(folder, worst=mistakes(table, 3))
    first = table.ids == mistakes(table, 1)[0]["id"]

    page = page_of(folder, take(table, ~first))

    assert page.html.count("<title>anger") == 2
    assert "Some have no drawing" in page.text


def test_where_one_knob_was_changed_at_a_time_a_trial_is_described_by_its_changes(folder: Path):
    recipe = {"network.dropout": 0.1, "optimiser.batch": 512, "seed": 1}
    tried = [recipe, recipe | {"network.dropout": 0.3}, recipe | {"optimiser.batch": 64}, recipe | {"seed": 2}]
    accuracies = (0.76, 0.75, 0.74, 0.73)
    trials = [
        {"knobs": knobs, "validation": {"accuracy": accuracy}}
        for knobs, accuracy in zip(tried, accuracies, strict=True)
    ]
    (folder.parent / "evaluation").mkdir()
    (folder.parent / "evaluation" / "fused.trials.json").write_text(json.dumps({"command": "x", "trials": trials}))

    text = page_of(folder).text

    assert "change one recipe, network.dropout = 0.1, optimiser.batch = 512, seed = 1; the first column" in text
    told = "none 76.0% network.dropout = 0.3 75.0% optimiser.batch = 64 74.0% seed = 2 73.0%"
    assert f"changes accuracy {told}" in text


def test_a_comparison_can_lie_elsewhere(folder: Path, tmp_path: Path):
    (tmp_path / "other.json").write_text(json.dumps(COMPARISON))

    assert "logistic 73.2%" in page_of(folder, comparison=tmp_path / "other.json").text


def test_a_comparison_that_is_asked_for_must_be_there(folder: Path, tmp_path: Path):
    with pytest.raises(NoInputError, match=r"other\.json.*emotion-train compare"):
        page_of(folder, comparison=tmp_path / "other.json")


def test_missing_results_name_their_command_and_file(folder: Path):
    text = page_of(folder).text

    for what, command, file in (
        ("Accuracy on dark, blurred, noisy, low-resolution and covered faces", "robustness", "robustness.json"),
        ("Cross-validation", "cross-validate", "fused.cross-validation.json"),
        ("Other recipes", "search", "fused.trials.json"),
        ("Other kinds of classifier", "compare", "comparison.json"),
    ):
        assert f"{what}: not measured. emotion-train {command} writes it to evaluation/{file} ." in text


def test_writes_a_page_where_no_face_was_found(folder: Path):
    scores = scores_of(folder)
    misses = [[0] * len(scores["labels"]) + [rows] for rows in scores["support"].values()]
    with_scores(folder, found=0, coverage=[], worst=[], confusion=misses)

    text = page_of(folder).text

    assert "No face was found in the test rows." in text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "not a JSON file"),
        ("[]", "no JSON object"),
        ("{}", "id is missing"),
        ('{"id": 5}', "id = 5 is not allowed"),
    ],
)
def test_a_damaged_report_is_refused_in_one_line(folder: Path, text: str, what: str):
    seal(folder, text)

    with pytest.raises(DataError, match=rf"report\.json: .*{what}") as refusal:
        page_of(folder)

    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("evaluation", 5, "evaluation = 5 is not allowed"),
        ("losses", {"landmarks": {"loss": ["a"], "val_loss": []}}, "losses.landmarks.loss"),
        ("bytes", "many", "bytes = 'many' is not allowed"),
        ("counts", None, "counts is missing"),
    ],
)
def test_a_report_of_another_form_is_refused_with_the_key(folder: Path, key: str, value: Any, what: str):
    change(folder, **{key: value})

    with pytest.raises(DataError, match=rf"report\.json: {what}"):
        page_of(folder)


def test_a_report_is_read_as_it_was_written(bundle_folder: Path):
    assert report.read(bundle_folder).to_json() == (bundle_folder / "report.json").read_text()


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_of_the_evaluation_is_named(folder: Path, name: str):
    (folder.parent / "evaluation").mkdir()
    (folder.parent / "evaluation" / name).write_text('{"command": "x"}')

    with pytest.raises(DataError, match=name):
        page_of(folder)


def test_a_bundle_without_a_report_is_refused(folder: Path):
    (folder / "report.json").unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]["report.json"]
    (folder / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(NoInputError, match=r"report\.json: does not exist; `emotion-train train`"):
        page_of(folder)


def test_figures_that_are_not_the_bundle_s_are_refused(folder: Path):
    changed = (folder / "report.json").read_text().replace('"rows"', '"rows" ')
    (folder / "report.json").write_text(changed)

    with pytest.raises(ConfigError, match=r"report\.json is not the file that the manifest describes"):
        page_of(folder)


def test_words_from_files_cannot_become_tags(folder: Path):
    slices = [{"name": name, "rows": 1, "found": 1, "accuracy": 1.0, "interval": [0, 1]} for name in ("<u>", "<s>")]
    mistake = {"id": "<script>1</script>", "label": '"><b>', "predicted": "<i>", "confidence": 0.5}
    with_scores(folder, worst=[mistake], slices={"data_set": slices})
    change(folder, notes=["<img src=x>"])

    page = page_of(folder)

    assert not {"script", "img", "i", "s"} & {tag for tag, attributes in page.tags if not attributes}
    assert "<img src=x>" in page.text
    assert "<script>1</script>" in page.text


def test_the_page_needs_nothing_but_itself(whole: Page):
    assert not {"script", "link", "img", "iframe", "object", "base"} & {tag for tag, _ in whole.tags}
    references = [given[name] for _, given in whole.tags for name in ("href", "xlink:href") if name in given]
    assert references
    assert all(reference.startswith("#") for reference in references)
    assert not re.search(r"url\((?!#)|@import|\ssrc=", whole.html)
    assert len(whole.html.encode()) < 2_000_000


def test_links_lead_to_their_sections(whole: Page):
    ids = {given["id"] for _, given in whole.tags if "id" in given}
    targets = {given["href"][1:] for tag, given in whole.tags if tag == "a"}

    assert len(targets) > 8
    assert targets <= ids


def test_the_same_inputs_give_the_same_page(whole: Page, whole_folder: Path, table: Table):
    assert page_of(whole_folder, table).html == whole.html


def test_a_model_with_fewer_labels_has_a_report(table: Table, recipe: Recipe, origin: Origin, tmp_path: Path):
    brief = dataclasses.replace(recipe.optimiser, epochs=2)
    few = dataclasses.replace(recipe, labels=("neutral", "happiness", "surprise"), optimiser=brief)
    build.run(table, few, tmp_path / "model" / "fused", origin)

    text = page_of(tmp_path / "model" / "fused", table).text

    assert "one of neutral, happiness or surprise" in text
    assert "contempt" not in text


def test_the_command_writes_the_page(
    bundle_folder: Path, table_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "new" / "report.html"

    status = main(["report", "--bundle", str(bundle_folder), "--table", str(table_path), "--out", str(out)])

    assert status == 0
    assert str(out) in capsys.readouterr().out
    assert "Model report" in Page(out.read_text("utf-8")).text


def test_a_page_that_cannot_be_written_leaves_the_one_before(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "report.html").mkdir()

    assert main(["report", "--bundle", str(folder), "--out", str(tmp_path / "report.html")]) == os.EX_CANTCREAT

    assert "report.html" in capsys.readouterr().err


# The model card


def test_the_card_in_the_bundle_gets_what_was_found_since_training(
    whole_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model = Path(shutil.copytree(whole_folder.parent, tmp_path / "model"))
    before = (model / "fused" / "MODEL_CARD.md").read_text()

    assert main(["report", "--bundle", str(model / "fused"), "--card"]) == 0

    card = (model / "fused" / "MODEL_CARD.md").read_text()
    assert f"wrote {model / 'fused' / 'MODEL_CARD.md'}" in capsys.readouterr().out
    assert "fold cross-validation" in card
    assert "| too little light | 0.543 (0.710 to 0.810)" in card
    assert "fold cross-validation" not in before
    assert edge_bundle.load(model / "fused").id == edge_bundle.load(whole_folder).id
    assert [path.name for path in model.iterdir() if path.name.startswith(".")] == []


def test_a_page_that_is_written_with_the_card_has_its_hash(whole_folder: Path, tmp_path: Path):
    model = Path(shutil.copytree(whole_folder.parent, tmp_path / "model"))
    page = tmp_path / "r.html"

    assert main(["report", "--bundle", str(model / "fused"), "--card", "--out", str(page)]) == 0

    assert hashlib.sha256((model / "fused" / "MODEL_CARD.md").read_bytes()).hexdigest() in page.read_text("utf-8")


def test_the_card_of_a_signed_bundle_stays_as_it_is(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    signing.sign(folder, signing.new_key(tmp_path / "key"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    assert main(["report", "--bundle", str(folder), "--card"]) == os.EX_CANTCREAT

    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert "is signed, and a new card would void that; write the card, then sign" in complaint
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--bundle", "nowhere"], os.EX_USAGE),
        (["--out", "r.html"], os.EX_USAGE),
        (["--bundle", "nowhere", "--out", "r.html"], os.EX_CONFIG),
        (["--bundle", "nowhere", "--table", "no.parquet", "--out", "r.html"], os.EX_NOINPUT),
    ],
)
def test_the_command_refuses_in_one_line(
    arguments: list[str],
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)

    assert main(["report", *arguments]) == status
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def browser(chrome: Any, written: Path) -> Any:
    chrome.get(written.as_uri())
    return chrome


def style(browser: Any, selector: str, name: str):
    script = "return getComputedStyle(document.querySelector(arguments[0])).getPropertyValue(arguments[1])"
    return browser.execute_script(script, selector, name)


def test_a_browser_loads_the_page_without_errors_or_requests(browser: Any):
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}

    assert browser.title.startswith("Model report: tiny-")
    assert asked == {browser.current_url}
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.get_log("browser") == []


def test_every_figure_has_a_size_and_words(browser: Any):
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('svg')].map(s => { const b = s.getBoundingClientRect();"
        "return [b.width, b.height, s.getAttribute('aria-label') || s.querySelector('title').textContent] })"
    )

    assert len(sizes) == 4 + 24
    assert all(width > 50 and height > 50 and words for width, height, words in sizes)


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_reaches_over_the_edge(browser: Any, width: int):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**PHONE, "width": width})

    widths = browser.execute_script(
        "const e = document.documentElement; return [e.scrollWidth, e.clientWidth, window.innerWidth]"
    )

    assert widths == [width] * 3


@pytest.mark.parametrize(("scheme", "paper"), [("light", (255, 255, 255)), ("dark", (20, 23, 27))])
def test_it_can_be_read_in_light_and_in_dark(browser: Any, scheme: str, paper: tuple[int, int, int]):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})

    assert rgb(style(browser, "body", "background-color")) == paper
    for selector in ("body", ".note", "a", "td small"):
        assert contrast(rgb(style(browser, selector, "color")), paper) >= 4.5, selector
    assert contrast(rgb(style(browser, "svg.plot text", "fill")), paper) >= 4.5
    for variable in ("--first", "--second"):
        line = f"svg.plot path[style*='stroke: var({variable})']"
        assert contrast(rgb(style(browser, line, "stroke")), paper) >= 3, variable
    assert contrast(rgb(style(browser, ".face svg", "stroke")), rgb(style(browser, ".face", "background-color"))) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_counts_can_be_read_on_any_shade_of_the_confusion_matrix(browser: Any, scheme: str):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
    paper = rgb(style(browser, "body", "background-color"))

    for share in (0, 0.5, 1):
        for kind in ("right", "wrong"):
            cell = f".confusion td.{kind}"
            script = "document.querySelector(arguments[0]).style.setProperty('--s', arguments[1])"
            browser.execute_script(script, cell, share)
            ground = rgb(style(browser, cell, "background-color"), paper)
            assert contrast(rgb(style(browser, cell, "color")), ground) >= 4.5, f"{kind} {share}"


def test_on_paper_it_is_dark_on_light(browser: Any):
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": features})

    assert style(browser, "body", "background-color") == "rgb(255, 255, 255)"
    assert style(browser, "nav", "display") == "none"


def rgb(color: str, below: tuple[float, float, float] = (0, 0, 0)):
    """A colour as a browser tells it, each part 0..255; where it lets some of it through, over another."""
    *parts, alpha = (*map(float, re.findall(r"[\d.]+", color)), 1.0)[:4]
    return tuple(alpha * over + (1 - alpha) * under for over, under in zip(parts, below, strict=True))


def contrast(first: tuple[float, ...], second: tuple[float, ...]):
    """The contrast ratio of WCAG 2.2."""

    def luminance(color: tuple[float, ...]):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (each / 255 for each in color)]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)
