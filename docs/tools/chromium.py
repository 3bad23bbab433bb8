"""Headless Chromium, for screenshots of pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Chromium:
    """A browser with one page."""

    def __init__(self, height: int) -> None:
        """Start the browser.

        Args:
            height: height of the screen, CSS px.
        """
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
            options.add_argument(argument)
        self._driver: Any = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        self._height = height

    def open(self, url: str, width: int, theme: str, *, mobile: bool, height: int | None = None) -> None:
        """Open a page on a screen of `width` CSS px, and `height` if it isn't that of the browser."""
        metrics = {"width": width, "height": height or self._height, "deviceScaleFactor": 1, "mobile": mobile}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self._driver.get(url)

    def screenshot(self) -> NDArray[np.uint8]:
        """Take a screenshot: uint8[H, W, 3], BGR."""
        data = np.frombuffer(self._driver.get_screenshot_as_png(), np.uint8)
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)

    def close(self) -> None:
        """End the browser."""
        self._driver.quit()
