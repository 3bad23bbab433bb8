"""The live page of the installed service, in a browser: with the real camera library, inside the service's sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.broker import free_port, until
from tests.support.previews import TOKEN
from tests.system.device import CHECKOUT, PYTHON, UNIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.device import Device

pytest_plugins = ["tests.support.browsers"]

DROP_IN = f"/etc/systemd/system/{UNIT}.d/network.conf"
SERVED, ELSEWHERE = "192.0.2.30", "192.0.2.40"
"""Addresses for documentation (RFC 5737), used in a network namespace."""


@pytest.fixture
def page(installed: Device) -> Iterator[tuple[Device, str]]:
    """The installed service, started with a page of its own. Containers share the host's loopback device."""
    address = f"127.0.0.1:{free_port()}"
    installed.set(f'[preview]\naddress = "{address}"\n')
    installed.drop_in("")
    installed.run("systemctl", "restart", UNIT)
    yield installed, f"http://{address}/"
    installed.run("systemctl", "stop", UNIT)


def test_the_service_shows_its_camera_and_obeys(page, browser):
    device, url = page
    browser.open(url, 1280, 800)
    browser.sees(browser.drawn, "a face is drawn")
    browser.sees(lambda: browser.text("camera").startswith("picamera2:0 · 640x480"), "the camera is shown")
    assert browser.text("demo") == browser.text("badge") == ""
    browser.sees(lambda: browser.text("broker").startswith("Broker\nconnected"), "the broker is shown")
    browser.sees(lambda: browser.text("list"), "an event is listed")
    browser.driver.find_element("css selector", "[data-mirror=horizontal]").click()
    browser.sees(lambda: browser.text("lines") == 'rotation = 0\nflip = "horizontal"', "the picture is mirrored")
    browser.sees(lambda: browser.text("notice") == "" and browser.drawn(), "a face is drawn again")
    browser.sees(lambda: browser.run("return ready()"), "the next action is possible")
    browser.driver.find_element("id", "pause").click()
    browser.sees(lambda: browser.text("notice") == "The camera is off", "it is paused")
    assert "paused" in until(lambda: "paused" in device.show("StatusText") and device.show("StatusText"), "the status")
    browser.driver.find_element("id", "pause").click()
    browser.sees(lambda: browser.text("notice") == "" and browser.drawn(), "it is on again")
    assert browser.errors() == []


def test_a_port_in_use_does_not_stop_the_service(installed: Device):
    with_port = installed.broker.url.rpartition(":")[2]  # the broker uses that one
    installed.set(f'[preview]\naddress = "127.0.0.1:{with_port}"\n')
    installed.mark()
    installed.run("systemctl", "restart", UNIT)
    assert installed.is_ready()
    assert any("no live page" in line and "another program uses that port" in line for line in installed.journal())
    installed.run("systemctl", "stop", UNIT)


FETCH = """
import http.client, socket, sys
source, address, path = sys.argv[1:]
connection = http.client.HTTPConnection(address, 8080, timeout=3, source_address=(source, 0))
try:
    connection.request("GET", path)
    print(connection.getresponse().status)
except TimeoutError:
    print("timeout")
"""


@pytest.fixture
def lab(installed: Device) -> Iterator[Device]:
    """A network namespace with an address of the service, and one that is in no network of its."""
    run, allowed = installed.run, installed.container.read(DROP_IN)
    run("ip", "netns", "add", "page")
    run("ip", "-n", "page", "link", "set", "lo", "up")
    run("ip", "-n", "page", "address", "add", f"{SERVED}/32", "dev", "lo")
    yield installed
    run("systemctl", "stop", UNIT)
    installed.drop_in("")
    installed.write(DROP_IN, allowed)
    installed.write("/etc/emotion-edge/preview-token", "")
    run("ip", "netns", "delete", "page")


def test_in_the_network_it_needs_a_token_and_answers_that_network_alone(lab: Device):
    lab.set(f'[preview]\naddress = "{SERVED}:8080"\n')
    allow = ("env", "CREDENTIALS_DIRECTORY=/etc/emotion-edge", PYTHON, f"{CHECKOUT}/deploy/device/allow_network.py")
    in_lab = ("ip", "netns", "exec", "page")
    refused = lab.run(*in_lab, *allow, check=False)
    assert (refused.returncode, refused.stderr.count("\n")) == (78, 1)
    assert "set a token" in refused.stderr

    lab.run("sh", "-c", f"echo {TOKEN} > /etc/emotion-edge/preview-token")
    allowed = lab.run(*in_lab, *allow).stdout
    assert f"IPAddressAllow={SERVED}/32\n" in allowed
    lab.write(DROP_IN, allowed)
    lab.drop_in("NetworkNamespacePath=/run/netns/page")
    lab.run("systemctl", "restart", UNIT)
    lab.run("ip", "-n", "page", "address", "add", f"{ELSEWHERE}/32", "dev", "lo")

    def fetch(source: str, path: str) -> str:
        return lab.run(*in_lab, "python3", "-c", FETCH, source, SERVED, path).stdout.strip()

    assert fetch(SERVED, "/") == "403"
    assert fetch(SERVED, f"/?token={TOKEN}") == "303"
    assert fetch(ELSEWHERE, f"/?token={TOKEN}") == "timeout"
    assert TOKEN not in "\n".join(lab.journal())
