"""Chromium, driven by chromedriver, for tests of pages.

PYTEST_DONT_REWRITE: this module is both a helper and a plugin; pytest would warn that it is already imported.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.broker import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHROME, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
COPY = """
    const canvas = document.getElementById("NAME"), copy = document.createElement("canvas");
    [copy.width, copy.height] = [canvas.width, canvas.height];
    const context = copy.getContext("2d", {willReadFrequently: true});
    context.drawImage(canvas, 0, 0);
    const data = context.getImageData(0, 0, copy.width, copy.height).data;
"""
"""Script that copies a canvas: reading the canvas itself would change how the browser draws it."""
TIMEOUT_S = 90.0
"""Longest wait for the browser, on a busy machine."""


class Browser:
    """Chromium, with the questions that tests have about a page."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str, width: int = 1100, height: int = 800, *, dark: bool = False) -> None:
        self.resize(width, height)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})
        self.driver.get(url)

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def text(self, name: str) -> str:
        return str(self.driver.find_element("id", name).text)

    def run(self, script: str) -> Any:
        return self.driver.execute_script(script)

    def drawn(self, canvas: str = "mesh") -> str:
        """The picture on a canvas as a data URL; empty while the canvas is blank."""
        return str(self.run(f"{COPY.replace('NAME', canvas)} return data.some(v => v) ? copy.toDataURL() : '';"))

    def errors(self) -> list[dict[str, Any]]:
        return list(self.driver.get_log("browser"))

    def requests(self) -> set[str]:
        """The URLs that have been requested since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
        return {url for url in urls if not url.startswith("data:")}

    def sees(self, condition: Callable[[], Any], what: str) -> Any:
        return until(condition, what, TIMEOUT_S)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The driver of the one that all tests share."""
    for needed in (CHROME, DRIVER):
        if not needed.exists():
            pytest.skip(f"{needed} is missing (Debian: sudo apt install chromium chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is missing (pip install selenium)")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROME)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.set_capability("unhandledPromptBehavior", "accept")
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def chrome(chromium: Any) -> Iterator[Any]:
    """The driver, with an empty page of the usual size and colours, and nothing in its logs."""
    chromium.get("about:blank")
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    chromium.execute_cdp_cmd("Network.clearBrowserCookies", {})
    for log in ("browser", "performance"):
        chromium.get_log(log)
    yield chromium
    chromium.get("about:blank")


@pytest.fixture
def browser(chrome: Any) -> Browser:
    return Browser(chrome)
