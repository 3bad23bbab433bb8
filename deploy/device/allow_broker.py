"""Prints the drop-in that lets the service reach its broker, and nothing else beyond this device.

For deploy/install.sh, with the Python of the release that is being installed. systemd filters by address, so the
broker's name is resolved here; where it is a name of the network, the service has to ask the name servers as well.
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
    """Print the drop-in for the broker of the settings; one line and 78 where they are wrong."""
    try:
        mqtt = settings.load(None).mqtt
        # With its password, although it is not needed here: what the service would refuse is refused now.
        broker = BrokerAddress.of(mqtt)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    try:
        addresses = resolve(broker.host)
    except OSError as error:
        print(
            f"the broker's name, {broker.host}, cannot be resolved ({error.strerror}), so the service may not reach "
            "it: run the installer again when it can",
            file=sys.stderr,
        )
        addresses = set()
    if addresses != {broker.host} and not (addresses and all(map(_of_this_device, addresses))):
        addresses |= name_servers(RESOLVERS.read_text(encoding="utf-8") if RESOLVERS.exists() else "")
    print(drop_in(str(broker), addresses), end="")
    return 0


def resolve(host: str) -> set[str]:
    """The IP addresses of a name, or of an address itself.

    Raises:
        OSError: nobody knows it.
    """
    return {_without_scope(str(info[4][0])) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}


def name_servers(resolv_conf: str) -> set[str]:
    """The IP addresses in a resolv.conf(5)."""
    lines = [line.split() for line in resolv_conf.splitlines()]
    return {_without_scope(words[1]) for words in lines if len(words) > 1 and words[0] == "nameserver"}


def drop_in(broker: str, addresses: set[str]) -> str:
    """The text of the drop-in; the same addresses give the same text."""
    lines = [f"IPAddressAllow={address}" for address in sorted(addresses)]
    head = f"# {broker}, as the installer found it; run it again when the broker has changed."
    return "\n".join([head, "[Service]", *lines, ""])


def _of_this_device(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _without_scope(address: str) -> str:
    """fe80::1%eth0 as fe80::1: the filter knows no interfaces."""
    return address.partition("%")[0]


if __name__ == "__main__":
    sys.exit(main())
