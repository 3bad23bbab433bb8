"""`emotion-train collect`, as it is typed: a real camera loop, a real browser at its page, kills and full disks."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

import edge
from edge.camera.demo.camera import DemoCamera
from edge.settings import CameraSettings
from host_training.cli import main
from host_training.collecting.journal import path_of
from host_training.data import keypoints, parquet, tables
from host_training.data.labels import LABELS
from host_training.data.splits import disjoint
from tests.support import portraits
from tests.support.broker import free_port, until
from tests.support.people import ON_EACH_SIDE, files_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.browsers import Browser

pytest_plugins = ["tests.support.browsers"]

ROOT = Path(edge.__file__).parents[1]
TOKEN = "correct-horse-battery-staple"  # noqa: S105 - of a server that lives for a second
PATIENCE_S = 90.0
"""Longest wait for a program to do something: on a busy machine everything takes its time."""


@pytest.fixture(autouse=True)
def mesh_models() -> None:
    portraits.mesh_models()


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said on stderr, which must be one line; progress bars are overwritten by it."""
    said = capsys.readouterr().err.split("\r")[-1]
    assert said.startswith("emotion-train: ")
    assert said.count("\n") == 1
    return said


class Collecting:
    """`emotion-train collect camera`, running."""

    def __init__(self, out: Path, *more: str) -> None:
        self.out = out
        self.url = f"http://127.0.0.1:{free_port()}/"
        words = ["collect", "camera", "--preview", urlsplit(self.url).netloc, "--out", str(out), *more]
        if "--camera" not in more:
            words += ["--camera", "demo"]
        self._log = out.with_suffix(".log")
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "host_training", *words], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
            )
        until(lambda: "Ctrl-C ends it" in self.said or self.process.poll() is not None, "it starts", PATIENCE_S)

    @property
    def said(self) -> str:
        return self._log.read_text()

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE_S)
        assert "Traceback" not in self.said
        return status

    def __enter__(self) -> Self:
        assert self.process.poll() is None, self.said
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)


class Page:
    """The page of a `Collecting` in a browser, and hands at its keys."""

    def __init__(self, browser: Browser, url: str, width: int = 1000, *, dark: bool = False) -> None:
        self.browser = browser
        browser.open(url, width, 1200, dark=dark)
        browser.sees(lambda: browser.text("what"), "the panel is there")

    def sit(self, subject: str, session: str = "monday", *, consent: bool = True) -> None:
        for name, text in (("subject", subject), ("session", session)):
            field = self.browser.driver.find_element("id", name)
            field.clear()
            field.send_keys(text)
        box = self.browser.driver.find_element("id", "consent")
        if box.is_selected() != consent:
            box.click()

    def press(self, keys: str) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.browser.driver).send_keys(keys).perform()

    def sees(self, name: str, pattern: str) -> str:
        """The text of an element, once it is like that."""
        return str(
            self.browser.sees(
                lambda: re.fullmatch(pattern, self.browser.text(name)) and self.browser.text(name),
                f"{name} shows {pattern}",
            )
        )

    def rows(self) -> int:
        """Of the take that is being recorded."""
        return int("0" + "".join(filter(str.isdigit, self.browser.text("rows"))))

    def sees_rows(self, count: int) -> None:
        self.browser.sees(lambda: self.rows() >= count, f"{count} rows are recorded")


@pytest.fixture
def collecting(tmp_path: Path) -> Iterator[Callable[..., Collecting]]:
    started: list[Collecting] = []

    def start(*more: str, out: Path = tmp_path / "mine.parquet") -> Collecting:
        started.append(Collecting(out, *more))
        return started[-1].__enter__()

    yield start
    for each in started:
        each.__exit__()


def rows_of(path: Path) -> dict[tuple[str, str], int]:
    """How many rows somebody has of a label."""
    table = parquet.read(path)
    labels = [LABELS[label] for label in table.label.tolist()]
    pairs = list(zip(table.subject.tolist(), labels, strict=True))
    return {pair: pairs.count(pair) for pair in sorted(set(pairs))}


class TestCamera:
    def test_recording_with_keys_writes_a_table(self, browser: Browser, collecting: Callable[..., Collecting]):
        run = collecting()
        page = Page(browser, run.url)
        assert browser.text("labels").split("\n")[:2] == ["0neutral", "1happiness"]
        page.press("k")
        page.sees("why", "nothing is recorded without consent: .*")
        page.sit("")
        page.press("k")
        page.sees("why", "the subject is missing; .*")
        page.sit("Zoë")
        page.press("k")
        page.sees("why", "the subject 'Zoë' cannot be used; .*")
        page.sit("Anna")
        page.press("k")
        page.sees("what", "Choose an expression")
        page.press("1")
        page.sees("what", "Recording happiness")
        page.sees_rows(6)
        page.press("n")
        page.sees("what", "Not recording")
        kept = int(page.sees("last", r"Last take: happiness, \d+ rows of anna").split()[3])
        page.press("2k")
        page.sees_rows(3)
        page.press("n")
        page.sees("last", r"Last take: surprise, \d+ rows of anna")
        page.press("u")
        page.sees("last", rf"Last take: happiness, {kept} rows of anna")
        page.press("9")
        page.sees("why", "the expressions are 0 to 7")
        page.sees("count", rf".* Total: 1 person, {kept} rows. Still needed:")
        assert "fear: nobody yet" in browser.text("thin")
        meter = browser.driver.find_elements("css selector", "#meter tr")
        assert [row.text.split()[0] for row in meter[2:4]] == ["neutral", "happiness"]
        assert {entry["source"] for entry in browser.errors()} == {"network"}  # what was refused
        assert browser.requests() <= {run.url, f"{run.url}events", f"{run.url}action"}

        assert run.end() == 0
        assert rows_of(run.out) == {("anna", "happiness"): kept}
        assert "there are no rows for" in run.said
        assert "emotion-train merge model/keypoints/ferplus.parquet" in run.said
        assert {path.name for path in run.out.parent.iterdir()} == {"mine.parquet", "mine.log"}

    def test_typing_into_a_field_triggers_no_key(self, browser: Browser, collecting: Callable[..., Collecting]):
        run = collecting()
        page = Page(browser, run.url)
        page.sit("kn017", "u2")
        assert browser.text("what") == "Not recording"
        assert browser.run("return panel.label") is None
        page.browser.driver.find_element("id", "consent").click()
        page.sit("k2")
        assert browser.run("return document.getElementById('consent').checked") is True
        browser.driver.find_element("id", "subject").send_keys("x")  # another person
        assert browser.run("return document.getElementById('consent').checked") is False

    def test_buttons_work_on_a_phone(self, browser: Browser, collecting: Callable[..., Collecting]):
        run = collecting("--subject", "ben", "--session", "attic", "--consent")
        page = Page(browser, run.url, 360, dark=True)
        assert browser.run("return document.getElementById('subject').value") == "ben"
        browser.driver.find_element("css selector", "#labels li:nth-child(5) button").click()
        browser.driver.find_element("id", "record").click()
        page.sees("what", "Recording anger")
        page.sees_rows(2)
        browser.driver.find_element("id", "stop").click()
        page.sees("what", "Not recording")
        assert browser.run("return document.documentElement.scrollWidth") <= 360
        cut = "filter(e => e.scrollWidth > e.clientWidth + 1).length"
        assert browser.run(f"return [...document.querySelectorAll('#meter th, #labels button')].{cut}") == 0
        run.end()
        assert set(rows_of(run.out)) == {("ben", "anger")}

    def test_a_kill_loses_no_counted_row(self, browser: Browser, collecting: Callable[..., Collecting]):
        run = collecting("--subject", "anna", "--session", "monday", "--consent")
        page = Page(browser, run.url)
        page.press("3k")
        page.sees_rows(5)
        counted = page.rows()
        run.end(signal.SIGKILL)
        assert not run.out.exists()
        assert path_of(run.out).exists()

        again = collecting()
        assert "rows of an interrupted run were added" in again.said
        assert rows_of(run.out)[("anna", "sadness")] >= counted
        again.end()
        assert not path_of(run.out).exists()

    def test_a_table_of_several_people_can_be_trained_on(
        self, browser: Browser, collecting: Callable[..., Collecting], capsys: pytest.CaptureFixture[str]
    ):
        run = collecting()
        page = Page(browser, run.url)
        for person in ON_EACH_SIDE.values():
            page.sit(person)
            page.press("0k")
            page.sees_rows(3)
            page.press("1")
            page.sees("what", "Recording happiness")
            page.sees_rows(3)
            page.press("n")
            page.sees("what", "Not recording")
        run.end()

        table, _ = tables.load(run.out)
        assert {side: set(table.subject[table.split == side].tolist()) for side in ON_EACH_SIDE} == {
            side: {person} for side, person in ON_EACH_SIDE.items()
        }
        assert disjoint(table)[1] == {}
        assert "there are no rows for" not in run.said
        settings = run.out.with_name("tiny.toml")
        settings.write_text("[network]\nhidden = [16]\n[optimiser]\nepochs = 2\nbatch = 8\n")
        bundle = run.out.with_name("model")
        words = ["--labels", "neutral,happiness", "--recipe", str(settings)]
        assert main(["describe", str(run.out)]) == 0
        assert "| collected | test |" in capsys.readouterr().out
        assert main(["train", "--table", str(run.out), "--out", str(bundle), *words]) == 0
        assert (bundle / "manifest.json").exists()

    def test_the_page_requires_the_token(
        self,
        browser: Browser,
        collecting: Callable[..., Collecting],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ):
        file = tmp_path / "token"
        file.write_text(TOKEN)
        file.chmod(0o600)
        run = collecting("--preview-token-file", str(file))
        address = urlsplit(run.url)
        for path in ("/", "/action"):
            connection = HTTPConnection(str(address.hostname), address.port, timeout=30)
            headers = {"Origin": run.url.rstrip("/")}
            connection.request("POST" if path == "/action" else "GET", path, '{"do": "stop"}', headers)
            assert connection.getresponse().status == 403
            connection.close()
        page = Page(browser, f"{run.url}?token={TOKEN}")
        page.sit("anna")
        page.press("k")
        page.sees("what", "Choose an expression")
        assert TOKEN not in run.said

        assert (
            main(["collect", "camera", "--camera", "demo", "--preview", "0.0.0.0:0", "--out", str(tmp_path / "t")])
            == 78
        )
        assert "set a token" in complaint(capsys)

    def test_an_empty_view_is_reported(self, browser: Browser, collecting: Callable[..., Collecting], tmp_path: Path):
        (tmp_path / "walls").mkdir()
        for number in range(600):
            cv2.imwrite(str(tmp_path / "walls" / f"{number:03}.png"), np.full((96, 96), number % 200, np.uint8))
        run = collecting("--camera", f"images:{tmp_path / 'walls'}", "--subject", "a", "--session", "b", "--consent")
        page = Page(browser, run.url)
        page.press("1k")
        page.sees("why", "not recorded: no face was found")
        run.end()
        assert "nothing was recorded" in run.said
        assert not run.out.exists()

    def test_a_full_disk_ends_the_recording_and_keeps_earlier_rows(
        self, browser: Browser, collecting: Callable[..., Collecting], tmp_path: Path
    ):
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(disk)]
        if os.geteuid() or subprocess.run(mount, check=False).returncode:
            pytest.skip("only root may mount the small disk that this fills")
        try:
            (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - 50_000))
            run = collecting("--subject", "anna", "--session", "b", "--consent", out=disk / "mine.parquet")
            page = Page(browser, run.url)
            page.press("1k")
            page.sees("why", r"recording has stopped: .*No space left on device; the rows so far are safe")
            rows = int(page.sees("last", "Last take: happiness, .*").split()[3])
            assert run.end() == os.EX_CANTCREAT
            assert run.said.splitlines()[-1].endswith("the recorded rows are safe beside it: run the command again")
            (disk / "ballast").unlink()
            assert collecting(out=disk / "mine.parquet").end() == 0
            assert rows_of(run.out) == {("anna", "happiness"): rows}
        finally:
            subprocess.run(["umount", "--lazy", disk], check=True)

    def test_kept_pictures_are_announced_and_become_a_crop_store(
        self, browser: Browser, collecting: Callable[..., Collecting], tmp_path: Path
    ):
        keep = tmp_path / "pictures"
        run = collecting("--keep-pictures", str(keep), "--subject", "anna", "--session", "monday", "--consent")
        page = Page(browser, run.url)
        page.sees(
            "agreed", "This person has agreed that pictures and landmarks of their face are stored here for training."
        )
        page.press("1k")
        page.sees_rows(3)
        page.press("n")
        page.sees("what", "Not recording")
        run.end()

        told = re.search(r"--pictures (folder:\S+)", run.said)
        assert told
        store = tmp_path / "mine.crops.npz"
        assert main(["crop", "--table", str(run.out), "--pictures", told[1], "--out", str(store)]) == 0
        assert len(list(keep.rglob("*.png"))) == len(parquet.read(run.out))
        assert main(["collect", "remove", "--subject", "anna", "--table", str(run.out)]) == 0
        assert list(keep.rglob("*.png")) == []

    def test_refuses_a_recording_as_a_source_of_pictures(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
        out = tmp_path / "mine.parquet"
        assert main(["collect", "camera", "--camera", "recording:smile.landmarks", "--out", str(out)]) == os.EX_USAGE
        assert "has no pictures to measure" in complaint(capsys)
        assert list(tmp_path.iterdir()) == []


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures of the demo's person in folders; and what cannot be used."""
    folder = tmp_path / "photos"
    demo = DemoCamera(CameraSettings(width=640, height=480))
    for name, seconds in (("happy", (0.5, 1.0, 1.5)), ("Surprised", (8.5, 9.0)), ("smirk", (2.0,))):
        (folder / name).mkdir(parents=True)
        for second in seconds:
            frame = cv2.cvtColor(demo.draw(second), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(folder / name / f"{second}.png"), frame)
    (folder / "happy" / "broken.png").write_bytes(b"no picture")
    cv2.imwrite(str(folder / "happy" / "wall.png"), np.full((300, 300), 90, np.uint8))
    return folder


def images(folder: Path, *more: str, out: str = "mine.parquet") -> list[str]:
    words = ["collect", "images", str(folder), "--out", str(folder.parent / out), "--session", "monday"]
    return [*words, *(more if "--subject" in more else ("--subject", "anna", *more))]


class TestImages:
    def test_the_folder_is_the_label(self, pictures: Path, capsys: pytest.CaptureFixture[str]):
        assert main(images(pictures, "--consent", "--label", "smirk=contempt")) == 0

        out = pictures.parent / "mine.parquet"
        assert rows_of(out) == {("anna", "contempt"): 1, ("anna", "happiness"): 3, ("anna", "surprise"): 2}
        assert {source.split("/")[1] for source in parquet.read(out).source.tolist()} == {"monday"}
        said = capsys.readouterr().out
        assert "left out 1: no face was found" in said
        assert "broken.png is not a readable image" in said
        assert "added 6 rows of anna" in said

    def test_adding_the_same_pictures_again_changes_nothing(self, pictures: Path, capsys: pytest.CaptureFixture[str]):
        assert main(images(pictures, "--consent")) == 0
        before = (pictures.parent / "mine.parquet").read_bytes()
        assert main(images(pictures, "--consent", "--subject", "ben")) == 0

        assert (pictures.parent / "mine.parquet").read_bytes() == before
        assert "left out 5: this picture is in the table already" in capsys.readouterr().out

    def test_resumes_after_a_kill(self, pictures: Path):
        demo = DemoCamera(CameraSettings(width=320, height=240))
        for number in range(60):
            frame = cv2.cvtColor(demo.draw(number / 16), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(pictures / "happy" / f"more{number:03}.png"), frame)
        out = pictures.parent / "mine.parquet"
        words = [sys.executable, "-m", "host_training", *images(pictures, "--consent")]
        run = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(
            lambda: sum(path.stat().st_size for path in files_of(path_of(out))) > 100_000,
            "some are measured",
            PATIENCE_S,
        )
        run.kill()
        run.wait()

        again = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        taken = re.search(r"(\d+) rows of an interrupted run were added", again.stderr)
        added = re.search(r"added (\d+) rows of anna", again.stdout)
        assert taken
        assert added
        assert int(taken[1]) > 0
        assert int(taken[1]) + int(added[1]) == len(parquet.read(out))

    @pytest.mark.parametrize(
        ("more", "status", "message"),
        [
            ((), os.EX_USAGE, "give --consent, which states that the person has agreed"),
            (("--consent", "--subject", "a/b"), os.EX_USAGE, "the subject 'a/b' cannot be used"),
            (("--consent", "--label", "smirk=joy"), os.EX_USAGE, "unknown label 'joy'; choose neutral"),
            (("--consent", "--label", "nobody=fear"), os.EX_USAGE, "there is no folder with that name"),
            (("--consent", "--dance"), os.EX_USAGE, "--dance"),
        ],
    )
    def test_reports_bad_input_in_one_line(
        self, pictures: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], status: int, message: str
    ):
        assert main(images(pictures, *more)) == status
        assert message in complaint(capsys)
        assert not (pictures.parent / "mine.parquet").exists()

    def test_a_folder_without_expressions_exits_with_65_and_a_missing_one_with_66(
        self, pictures: Path, capsys: pytest.CaptureFixture[str]
    ):
        for name in ("happy", "Surprised"):
            shutil.rmtree(pictures / name)
        assert main(images(pictures, "--consent")) == os.EX_DATAERR
        assert "'smirk' is not a known expression" in complaint(capsys)
        assert main(images(pictures / "no", "--consent")) == os.EX_NOINPUT
        assert "No such file" in complaint(capsys)

    @pytest.mark.parametrize("out", ["file/mine.parquet", "folder"])
    def test_a_table_that_cannot_be_written_is_73(self, pictures: Path, capsys: pytest.CaptureFixture[str], out: str):
        (pictures.parent / "file").write_text("")
        (pictures.parent / "folder").mkdir()
        assert main(images(pictures, "--consent", out=out)) == os.EX_CANTCREAT
        assert "cannot be written" in complaint(capsys)

    def test_a_table_of_another_kind_is_65(
        self, pictures: Path, table: keypoints.Table, capsys: pytest.CaptureFixture[str]
    ):
        parquet.write(table, pictures.parent / "mine.parquet")
        assert main(images(pictures, "--consent")) == os.EX_DATAERR
        assert "collect into another table" in complaint(capsys)


def test_coverage_and_remove_report_their_rows(pictures: Path, capsys: pytest.CaptureFixture[str]):
    out = pictures.parent / "mine.parquet"
    assert main(images(pictures, "--consent", "--label", "smirk=contempt")) == 0
    capsys.readouterr()

    assert main(["collect", "coverage", "--table", str(out)]) == 0
    said = capsys.readouterr().out
    assert "in all 1 person, 6 rows" in said
    assert "fear: nobody yet" in said
    assert main(["collect", "remove", "--subject", "ben", "--table", str(out)]) == os.EX_USAGE
    assert "only of anna" in complaint(capsys)
    assert main(["collect", "remove", "--subject", "ANNA", "--table", str(out)]) == 0
    assert f"removed 6 rows of anna from {out}, which is now empty and was deleted" in capsys.readouterr().out
    assert main(["collect", "remove", "--subject", "anna", "--table", str(out)]) == os.EX_NOINPUT
    assert main(["collect", "coverage", "--table", str(out)]) == os.EX_NOINPUT


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dance"],
        ["camera"],
        ["images", "x", "--out", "y"],
        ["remove", "--table", "t"],
        ["camera", "--camera", "telescope", "--out", "t", "--preview", "127.0.0.1:0"],
    ],
)
def test_reports_an_unknown_command_in_one_line(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    assert main(["collect", *words]) in (os.EX_USAGE, os.EX_CONFIG)
    complaint(capsys)
    assert list(tmp_path.iterdir()) == []


def test_the_help_has_an_example(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["collect", "--help"])
    said: Any = capsys.readouterr().out
    assert "example: emotion-train collect camera" in said
    assert "undo the last take" in said
