#!/usr/bin/env python3
"""The devices of `make deploy HOSTS=pi@livingroom.local,pi@10.0.0.7:2222` as an inventory for Ansible."""

from __future__ import annotations

import json
import os
import re
import sys

HOST = re.compile(r"(?:(?P<user>\w[^@\s]*)@)?(?P<host>\w[\w.-]*|\[[0-9a-fA-F:.%\w]+\])(?::(?P<port>\d{1,5}))?")


def main() -> int:
    """Print the inventory; print one line and return 64 if HOSTS is not valid."""
    inventory: dict[str, dict[str, str | int]] = {}
    for word in os.environ.get("HOSTS", "").replace(",", " ").split():
        found = HOST.fullmatch(word)
        if found is None:
            print(f"HOSTS: {word!r} is not a device; write user@name, as in HOSTS=pi@livingroom.local", file=sys.stderr)
            return os.EX_USAGE
        variables: dict[str, str | int] = {"ansible_host": found["host"].strip("[]")}
        if found["user"]:
            variables["ansible_user"] = found["user"]
        if found["port"]:
            variables["ansible_port"] = int(found["port"])
        inventory[word] = variables
    if not inventory:
        print("no devices given; pass HOSTS=pi@livingroom.local or INVENTORY=FILE", file=sys.stderr)
        return os.EX_USAGE
    print(json.dumps({"_meta": {"hostvars": inventory}, "all": {"hosts": list(inventory)}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
