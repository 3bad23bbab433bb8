"""Prints the systemd drop-in that lets the service reach its broker and its network camera, and nothing else.

deploy/install.sh runs it with the Python of the release that it installs. systemd filters by address, so names are
resolved here. If one is a network name, the service must reach the name servers as well. If the
live page is served to the network, whoever is in that network may open it.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from edge import settings
from edge.camera.address import CameraAddress
from edge.errors import ConfigError
from edge.mqtt.address import BrokerAddress
from edge.preview.address import Address, check_token, page_token

RESOLVERS = Path("/etc/resolv.conf")


def main() -> int:
    """Print the drop-in for the settings; print one line and return 78 if the settings are wrong."""
    try:
        found = settings.load(None)
        # The passwords are not needed here, but settings that the service would refuse are refused now.
        broker = BrokerAddress.of(found.mqtt)
        hosts = {"broker": (broker.host, str(broker))}
        if found.camera.is_network:
            camera = CameraAddress.of(found.camera)
            hosts["camera"] = (camera.host, str(camera))
        page = page_networks(found.preview)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    addresses: set[str] = set()
    for what, (host, _) in hosts.items():
        addresses |= reachable(what, host)
    print(drop_in(" and ".join(shown for _, shown in hosts.values()), addresses | page), end="")
    return 0


def reachable(what: str, host: str) -> set[str]:
    """The addresses that the service has to reach for a host: its own, and those of the name servers for a name."""
    try:
        addresses = resolve(host)
    except OSError as error:
        print(
            f"the {what}'s name {host} cannot be resolved ({error.strerror}), so the service cannot reach it; "
            "run the installer again when the name resolves",
            file=sys.stderr,
        )
        addresses = set()
    if addresses != {host} and not (addresses and all(map(_of_this_device, addresses))):
        addresses |= name_servers(RESOLVERS.read_text(encoding="utf-8") if RESOLVERS.exists() else "")
    return addresses


def resolve(host: str) -> set[str]:
    """The IP addresses of a host name or address.

    Raises:
        OSError: the name cannot be resolved.
    """
    return {_without_scope(str(info[4][0])) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}


def page_networks(preview: settings.PreviewSettings) -> set[str]:
    """The networks from which the live page may be opened, besides this device.

    Raises:
        ConfigError: the address is not usable, or it needs a token and has none.
    """
    if not preview.address:
        return set()
    address = Address.parse(preview.address)
    check_token(address, page_token(preview))
    if address.ip.is_loopback:
        return set()
    listed = subprocess.run(["ip", "-json", "address"], check=True, capture_output=True, text=True).stdout
    return networks_of(address.ip, json.loads(listed))


def networks_of(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, interfaces: list[dict[str, Any]]) -> set[str]:
    """The networks that an address is in, or all networks of this machine if it stands for all its addresses.

    Args:
        ip: the address.
        interfaces: output of `ip -json address`.
    """
    found = {
        ipaddress.ip_interface(f"{each['local']}/{each['prefixlen']}")
        for interface in interfaces
        for each in interface["addr_info"]
        if "local" in each
    }
    wanted = {each for each in found if (ip.is_unspecified and each.version == ip.version) or each.ip == ip}
    return {str(each.network) for each in wanted if not each.is_loopback}


def name_servers(resolv_conf: str) -> set[str]:
    """The IP addresses in a resolv.conf(5)."""
    lines = [line.split() for line in resolv_conf.splitlines()]
    return {_without_scope(words[1]) for words in lines if len(words) > 1 and words[0] == "nameserver"}


def drop_in(hosts: str, addresses: set[str]) -> str:
    """The text of the drop-in. The same addresses give the same text."""
    lines = [f"IPAddressAllow={address}" for address in sorted(addresses)]
    head = f"# {hosts}, as the installer found them; run the installer again if one changes."
    return "\n".join([head, "[Service]", *lines, ""])


def _of_this_device(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _without_scope(address: str) -> str:
    """fe80::1%eth0 as fe80::1: the filter does not support interfaces."""
    return address.partition("%")[0]


if __name__ == "__main__":
    sys.exit(main())
