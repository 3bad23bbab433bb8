"""`emotion-train sign`: sign a bundle, so that devices can verify who made it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import UsageError
from host_training.commands import shared_arguments

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Make a signing key, or sign a bundle with it. A device with .pub files in /etc/emotion-edge/trusted-keys\n"
        "accepts only bundles that one of those keys has signed, and none whose counter is lower than that of an\n"
        "earlier one. Keep the secret key off the devices, and a copy of it elsewhere."
    )
    parser.epilog = (
        "example: emotion-train sign --new-key fleet.key\n"
        "         emotion-train sign build/models/mine --key fleet.key\n"
        "         emotion-train sign build/models/mine --key fleet.key --expires 2027-01-31"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--new-key", type=Path, metavar="FILE", help="make a key: FILE, which is secret, and FILE.pub")
    what.add_argument("--key", type=Path, metavar="FILE", help="sign the bundle with this key")
    parser.add_argument("bundle", type=Path, nargs="?", metavar="DIR", help="folder of the bundle to sign")
    parser.add_argument("--counter", type=int, metavar="N", help="counter of the bundle (default: seconds since 1970)")
    parser.add_argument("--expires", metavar="DATE", help="last day on which devices load it (default: never)")

    shared_arguments.add_force(parser)


def run(args: argparse.Namespace) -> int:
    """Make a key or sign."""
    from host_training.training import signing
    from host_training.training.bundle_files import ensure_replaceable

    if args.new_key is not None:
        if any(value is not None for value in (args.bundle, args.counter, args.expires)):
            raise UsageError("--new-key FILE makes a key and takes no other argument; sign with --key")
        name = signing.new_key(args.new_key).name
        public = signing.public_file(args.new_key)
        print(f"wrote key {name}: {args.new_key} is secret, {public} is for trusted-keys on devices")
        return 0
    if args.bundle is None:
        raise UsageError("--key FILE signs a bundle; give its folder (see `emotion-train sign --help`)")
    if args.counter is not None and args.counter < 0:
        raise UsageError(f"--counter {args.counter}: give 0 or more")
    expires = _date(args.expires) if args.expires is not None else None
    ensure_replaceable(args.bundle, force=args.force)
    key = signing.read_key(args.key)
    manifest = signing.sign(args.bundle, key, counter=args.counter, expires=expires)
    until = f", until {expires}" if expires else ""
    print(f"signed {args.bundle}: {manifest.id}, counter {manifest.counter}{until}")
    return 0


def _date(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--expires {text}: not a date; give one such as 2027-01-31") from error
    if day < datetime.now(UTC).date():
        raise UsageError(f"--expires {text} is in the past; no device would load the bundle")
    return day
