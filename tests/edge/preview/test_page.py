"""The page in a real browser, with snapshots of the real pipeline."""

from __future__ import annotations

import dataclasses
import http.server
import re
import threading
from typing import Final

import pytest

from edge.preview import stream
from edge.preview.document import Document
from tests.support.broker import free_port
from tests.support.browsers import COPY
from tests.support.previews import TOKEN, Recorder, show

pytest_plugins = ["tests.support.previews", "tests.support.browsers"]
pytestmark = pytest.mark.usefixtures("models")

PAGE = Document().text


def test_the_page_has_no_external_references():
    assert re.findall(r"""(?:src|href|action)\s*=\s*["'](?!data:)[^"']*""", PAGE) == []
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", PAGE) == []
    assert "innerHTML" not in PAGE
    assert len(PAGE.encode()) < 60_000


@pytest.mark.parametrize("theme", [0, 1])
def test_text_has_enough_contrast(theme):
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{3,6});", PAGE.split(":root {")[1 + theme].partition("}")[0]))
    for text in ("ink", "muted", "bad", "warn", "first"):
        for background in ("paper", "panel"):
            assert contrast(colours[text], colours[background]) >= 4.5  # WCAG 2.2, 1.4.3
    for text in ("ink", "muted"):
        assert contrast(colours[text], colours["sunk"]) >= 4.5
    assert contrast(colours["onfirst"], colours["first"]) >= 4.5


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
        channels = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_every_label_of_the_models_has_a_colour(moment):
    palette = PAGE.partition("const PALETTE = {")[2].partition("}")[0]
    assert {label for label in moment.shown[0].probabilities if f"{label}:" not in palette} == set()


def test_it_draws_the_face_live(browser, serve, feed):
    preview = serve(device="livingroom")
    feed(preview)
    browser.open(preview.url)
    first = browser.sees(browser.drawn, "a face is drawn")
    browser.sees(lambda: browser.drawn() not in {"", first}, "the drawing moves")
    expression = browser.sees(lambda: browser.text("expression").strip("-"), "an expression is shown")
    browser.sees(lambda: browser.text("expression") not in {"-", expression}, "another expression is shown")
    browser.sees(lambda: browser.text("fps") == "6.0 frames/s", "the frame rate is shown")
    assert browser.text("status") == "live"
    assert browser.driver.title == "livingroom · emotion-edge"
    bars = browser.sees(lambda: browser.driver.find_elements("css selector", "#bars li"), "the bars are shown")
    assert [bar.text.split("\n")[0] for bar in bars][:2] == ["neutral", "happiness"]
    browser.sees(lambda: browser.drawn("strip"), "the last minutes are drawn")
    browser.sees(lambda: expression in browser.text("legend"), "the legend names what was shown")
    assert browser.text("privacy") == "This page gets the drawing and never the picture."
    assert browser.errors() == []
    assert browser.requests() <= {preview.url, f"{preview.url}events"}


def test_the_picture_is_drawn_on_request(browser, serve, feed):
    preview = serve(picture=True)
    feed(preview)
    browser.open(preview.url)
    beside = "return data[4 * (Math.round(copy.height / 2) * copy.width + Math.round(copy.width / 10)) + 3];"
    drawn = COPY.replace("NAME", "mesh") + beside
    browser.sees(lambda: browser.run(drawn) == 255, "the picture is drawn beside the face, too")
    assert browser.text("privacy") == "This page shows the picture of the camera."
    assert browser.errors() == []


def test_two_people_are_distinguished(browser, serve, feed):
    preview = serve()
    feed(preview, people=2)
    browser.open(preview.url, 360, 780)
    browser.sees(lambda: browser.text("others"), "the other face is in the list")
    assert re.match(r"Nearest: face \d, \d\.\d m away", browser.text("who"))
    assert re.match(r"\d+ · \w+ · \d\.\d m away\n(> )?\d+ %", browser.text("others"))


def test_it_reconnects_when_the_daemon_is_back(browser, serve, feed):
    port = free_port()
    first = serve(f"127.0.0.1:{port}")
    feeder = feed(first)
    browser.open(first.url)
    browser.sees(lambda: browser.text("status") == "live" and browser.text("legend"), "it is live")
    assert browser.errors() == []
    feeder.close()
    first.close()
    browser.sees(lambda: "no connection" in browser.text("status"), "the lost connection is shown")
    assert browser.driver.find_element("id", "fps").text == ""
    feed(serve(f"127.0.0.1:{port}"))
    browser.sees(lambda: browser.text("status") == "live", "it is live again")
    browser.sees(lambda: browser.run("return past.some(([, entry]) => entry === undefined)"), "the gap is recorded")
    assert browser.run("return typeof past[0][1]") == "string" or browser.run("return past.length") > 2
    # The log has nothing but the failed attempts to connect.
    assert {entry["source"] for entry in browser.errors()} <= {"network"}


def test_it_reconnects_when_heartbeats_stop(browser, serve, monkeypatch):
    monkeypatch.setattr(stream, "HEARTBEAT_S", 3600.0)
    preview = serve()
    browser.open(preview.url)
    browser.sees(lambda: browser.text("status").startswith("waiting"), "it waits for the camera")
    opened = browser.run("return connectedAt")
    browser.run("lastEventAt -= STALE")  # as if the time had passed
    browser.sees(lambda: browser.run("return connectedAt") > opened, "it has reconnected")


@pytest.mark.parametrize("width", [320, 360, 768, 1600])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_every_screen(browser, serve, moment, width, dark):
    preview = serve(device="a-device-with-quite-a-long-name-in-the-attic", panel=Recorder())
    browser.open(preview.url, width, 780, dark=dark)
    browser.sees(lambda: preview.has_viewers, "it is connected")
    show(preview, moment)
    browser.sees(browser.drawn, "a face is drawn")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    cut = "filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert browser.run(f"return [...document.querySelectorAll('#bars span, #legend li')].{cut}") == 0
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(12, 15, 19)" if dark else "rgb(242, 244, 247)")
    assert browser.errors() == []


def test_the_camera_is_turned_off_and_on_by_keyboard_or_click(browser, serve, moment):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    panel = Recorder()
    preview = serve(panel=panel)
    browser.open(preview.url, 360, 780)
    browser.sees(lambda: preview.has_viewers, "it is connected")
    show(preview, moment)
    browser.sees(browser.drawn, "a face is drawn")
    button = browser.driver.find_element("id", "pause")
    assert button.text == "Pause camera"
    ActionChains(browser.driver).send_keys(Keys.TAB, Keys.ENTER).perform()
    browser.sees(lambda: panel.actions == [{"do": "pause", "paused": True}], "the request arrives")
    assert browser.text("notice") == ""  # not before the daemon confirms it
    preview.paused = True
    browser.sees(lambda: browser.text("notice") == "The camera is off", "the notice is shown")
    assert (browser.text("expression"), browser.text("status")) == ("camera off", "paused")
    assert not browser.drawn()
    browser.sees(lambda: button.get_attribute("aria-disabled") == "false", "it can be turned on again")
    assert button.text == "Resume camera"
    assert browser.run("return document.activeElement.id") == "pause"
    button.click()
    browser.sees(lambda: panel.actions[1:] == [{"do": "pause", "paused": False}], "the request arrives")
    preview.paused = False
    browser.sees(lambda: browser.text("notice") == "", "it is on again")
    browser.sees(lambda: "camera off" in browser.text("legend"), "the timeline shows it")
    assert browser.errors() == []


def test_a_hidden_page_disconnects(browser, serve, monkeypatch):
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.2)
    preview = serve()
    browser.open(preview.url)
    browser.sees(lambda: preview.has_viewers, "it is connected")
    window = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    browser.sees(lambda: not preview.has_viewers, "it is disconnected")
    browser.driver.close()
    browser.driver.switch_to.window(window)
    browser.sees(lambda: preview.has_viewers, "it is connected again")


def test_the_token_opens_the_page_and_disappears_from_its_address(browser, serve, feed):
    preview = serve(token=TOKEN)
    feed(preview)
    browser.open(preview.url)
    assert "needs a token" in browser.driver.find_element("tag name", "body").text
    browser.errors()
    browser.open(f"{preview.url}?token={TOKEN}")
    browser.sees(browser.drawn, "a face is drawn")
    assert browser.driver.current_url == preview.url
    assert browser.run("return document.cookie") == ""
    assert browser.errors() == []


def test_a_changed_token_is_reported(browser, serve):
    port = free_port()
    first = serve(f"127.0.0.1:{port}", token=TOKEN)
    browser.open(f"{first.url}?token={TOKEN}")
    browser.sees(lambda: first.has_viewers, "it is connected")
    first.close()
    serve(f"127.0.0.1:{port}", token=TOKEN[::-1])
    browser.sees(
        lambda: "open the page again with its token" in browser.text("status"), "the status asks for the token"
    )


def test_another_website_in_the_same_browser_gets_nothing(browser, serve):
    panel = Recorder()
    preview = serve(panel=panel)
    script = f"""
        const tries = [
            fetch("{preview.url}action", {{method: "POST", mode: "no-cors", body: '{{"do": "pause"}}'}}),
            fetch("{preview.url}action", {{method: "POST", body: '{{"do": "pause"}}'}}),
            fetch("{preview.url}"), fetch("{preview.url}events", {{mode: "no-cors"}}),
        ];
        Promise.allSettled(tries).then(all => {{ document.title = all.map(one => one.status).join(); }});
        new EventSource("{preview.url}events").onmessage = () => {{ document.title = "heard"; }};
    """

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(
                f"<title>...</title><iframe src='{preview.url}'></iframe><script>{script}</script>".encode()
            )

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil) as evil:
        threading.Thread(target=evil.serve_forever).start()
        try:
            browser.driver.get(f"http://localhost:{evil.server_port}/")
            browser.sees(lambda: browser.driver.title != "...", "it has tried")
            assert browser.driver.title == ",".join(["rejected"] * 4)
        finally:
            evil.shutdown()
    assert not panel.actions
    assert not preview.has_viewers


def test_names_are_escaped(browser, serve, moment):
    nasty = "<img src=x onerror='window.hacked = 1'>"
    preview = serve(device=nasty)
    browser.open(preview.url)
    browser.sees(lambda: preview.has_viewers, "it is connected")
    shown = [dataclasses.replace(moment.shown[0], expression=nasty, probabilities={nasty: 1.0, "bored": 0.0})]
    preview.show(moment.frame, moment.faces, shown, 15.0)
    browser.sees(lambda: browser.text("expression") == nasty, "it is shown literally")
    assert browser.text("device") == nasty
    assert browser.run("return window.hacked") is None
    assert browser.errors() == []


class Panel:
    """The state of a collector, with a given text in every field."""

    kind: Final = "collect"

    def __init__(self, text: str) -> None:
        self.text = text
        self.actions: list[object] = []

    def state(self) -> dict[str, object]:
        empty = [[0, 0], [0, 0]]
        return {
            "subject": self.text,
            "session": "",
            "consent": False,
            "labels": [self.text, "happiness"],
            "pictures": False,
            "recording": True,
            "label": 0,
            "rows": 7,
            "undo": self.text,
            "note": self.text,
            "coverage": {
                "subjects": 1,
                "rows": 7,
                "enough": 3,
                "least": 5,
                "poses": [self.text],
                "lights": ["dim", "bright"],
                "people": empty,
                "counts": empty,
                "own": empty,
                "thin": [self.text],
            },
        }

    def perform(self, action: object) -> None:
        self.actions.append(action)


def test_without_a_panel_there_are_no_keys(browser, serve, moment):
    preview = serve()
    browser.open(preview.url)
    browser.sees(lambda: preview.has_viewers, "it is connected")
    show(preview, moment)
    browser.sees(browser.drawn, "a face is drawn")
    browser.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'k'}))")
    assert browser.run("return ['panel', 'coverage'].map(name => document.getElementById(name).hidden)") == [True, True]
    assert browser.text("expression") == "happiness"
    assert browser.requests() <= {preview.url, f"{preview.url}events"}
    assert browser.errors() == []


def test_the_panel_replaces_the_reading(browser, serve, moment):
    nasty = "<img src=x onerror='window.hacked = 1'>"
    panel = Panel(nasty)
    preview = serve(panel=panel)
    browser.open(preview.url)
    browser.sees(lambda: browser.text("what") == f"Recording {nasty}", "it is shown literally")
    show(preview, moment)
    browser.sees(browser.drawn, "a face is drawn")
    assert browser.run("return ['reading', 'past'].map(name => document.getElementById(name).hidden)") == [True, True]
    assert [browser.text(name) for name in ("rows", "why", "thin")] == [": 7", nasty, nasty]
    for key, extra in (("k", "ctrlKey: true"), ("n", "repeat: true"), ("x", ""), ("1", "")):
        browser.run(
            f"document.body.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true, {extra}}}))"
        )
    browser.sees(lambda: panel.actions, "the key is handled")
    assert panel.actions == [{"do": "label", "label": 1}]
    assert browser.run("return window.hacked") is None
    assert browser.errors() == []
