"""Prints the systemd drop-in that lets the service reach its broker, and nothing else beyond this device.

deploy/install.sh runs it with the Python of the release that it installs. systemd filters by address, so the broker's
name is resolved here. If it is a network name, the service must reach the name servers as well.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from pathlib import Path

from edge import settings
from edge.errors import ConfigError
from edge.mqtt.address import BrokerAddress

RESOLVERS = Path("/etc/resolv.conf")


def main() -> int:
    """Print the drop-in for the broker of the settings; print one line and return 78 if the settings are wrong."""
    try:
        mqtt = settings.load(None).mqtt
        # The password is not needed here, but settings that the service would refuse are refused now.
        broker = BrokerAddress.of(mqtt)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    try:
        addresses = resolve(broker.host)
    except OSError as error:
        print(
            f"the broker's name {broker.host} cannot be resolved ({error.strerror}), so the service cannot reach it; "
            "run the installer again when the name resolves",
            file=sys.stderr,
        )
        addresses = set()
    if addresses != {broker.host} and not (addresses and all(map(_of_this_device, addresses))):
        addresses |= name_servers(RESOLVERS.read_text(encoding="utf-8") if RESOLVERS.exists() else "")
    print(drop_in(str(broker), addresses), end="")
    return 0


def resolve(host: str) -> set[str]:
    """The IP addresses of a host name or address.

    Raises:
        OSError: the name cannot be resolved.
    """
    return {_without_scope(str(info[4][0])) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}


def name_servers(resolv_conf: str) -> set[str]:
    """The IP addresses in a resolv.conf(5)."""
    lines = [line.split() for line in resolv_conf.splitlines()]
    return {_without_scope(words[1]) for words in lines if len(words) > 1 and words[0] == "nameserver"}


def drop_in(broker: str, addresses: set[str]) -> str:
    """The text of the drop-in. The same addresses give the same text."""
    lines = [f"IPAddressAllow={address}" for address in sorted(addresses)]
    head = f"# {broker}, as the installer found it; run the installer again if the broker changes."
    return "\n".join([head, "[Service]", *lines, ""])


def _of_this_device(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _without_scope(address: str) -> str:
    """fe80::1%eth0 as fe80::1: the filter does not support interfaces."""
    return address.partition("%")[0]


if __name__ == "__main__":
    sys.exit(main())
