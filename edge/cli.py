"""The command line: finds the command, and turns whatever goes wrong into one line and an exit status."""

from __future__ import annotations

import argparse
import errno
import importlib
import keyword
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import edge
from edge.errors import EdgeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edge.settings import Settings

COMMANDS = {
    "run": "read expressions from a camera and publish them over MQTT",
    "classify": "read the expressions in pictures",
    "watch": "show what devices publish, live in the terminal",
    "status": "show all devices in one table: model, speed, temperature, problems",
    "calibrate": "have a device measure the neutral face of the person in front of it",
    "forget": "take a device that is gone off the broker, and out of Home Assistant",
    "doctor": "check camera, models, broker and libraries, and say what to do",
    "bench": "measure speed and memory on this machine",
    "record": "write the landmarks of a camera to a file, without pictures",
    "model": "list, verify, install and roll back model bundles, fetch the face mesh models",
}
"""Each is a module of `edge.commands` with `add_arguments(parser)` and `run(args) -> exit status`."""


INTERRUPTED = 130
"""What a shell reports for a command that Ctrl-C ended."""


class Parser(argparse.ArgumentParser):
    """Leaves with the exit status of sysexits.h, and with one line."""

    def error(self, message: str) -> NoReturn:
        """See ArgumentParser."""
        raise UsageError(f"{message} (see `{self.prog} --help`)")


def add_settings_arguments(parser: argparse.ArgumentParser, *, camera: bool = False, mqtt: bool = False) -> None:
    """The options that stand above the settings file."""
    parser.add_argument("--config", metavar="FILE", help="settings (default: /etc/emotion-edge/emotion-edge.toml)")
    if camera:
        parser.add_argument(
            "--camera",
            metavar="SPEC",
            help="auto, picamera2[:N], v4l2:/dev/videoN, video:FILE, images:DIR, recording:FILE or demo",
        )
    if mqtt:
        parser.add_argument("--mqtt", metavar="URL", help="broker, as in mqtt://user@host:1883")


def load_settings(args: argparse.Namespace) -> Settings:
    """The settings that a command's options and the file give."""
    from pathlib import Path

    from edge import settings

    overrides: dict[str, Any] = {}
    if getattr(args, "camera", None) is not None:
        overrides["camera.source"] = args.camera
    if getattr(args, "mqtt", None) is not None:
        overrides["mqtt.url"] = args.mqtt
    return settings.load(Path(args.config) if args.config else None, overrides)


def configure_logging(level: int) -> None:
    """Send log lines to stderr, as short as a journal that adds time and name likes them."""
    logging.basicConfig(level=level, format="%(levelname)s %(message)s", stream=sys.stderr, force=True)
    logging.captureWarnings(capture=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status and never raises but for SystemExit from --help."""
    configure_logging(logging.INFO)
    return run_command(
        argv,
        program="emotion-edge",
        description="Reads facial expressions from a camera and publishes them over MQTT.",
        epilog="example: emotion-edge run --camera demo --mqtt mqtt://localhost:1883",
        commands=COMMANDS,
        package="edge.commands",
    )


def run_command(
    argv: Sequence[str] | None,
    *,
    program: str,
    description: str,
    epilog: str,
    commands: Mapping[str, str],
    package: str,
    extra: str = "",
) -> int:
    """Run one command of a program.

    Args:
        argv: what stands behind the program's name; None: what this process was started with.
        program: its name.
        description: what it is, for `--help`.
        epilog: an example, for `--help`.
        commands: name -> what it does, in a line that begins small and ends without a full stop.
        package: has a module for each, with `add_arguments(parser)` and `run(args) -> exit status`.
        extra: of the distribution, whose libraries it needs beside those of the daemon.

    Returns:
        Its exit status, or that of what went wrong, which is told in one line.

    Raises:
        SystemExit: it was `--help` or `--version`, and nothing else.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)

    def module(command: str) -> Any:
        """A hyphen is an underscore there, and `import`, a keyword, has one more."""
        return importlib.import_module(f"{package}.{command.replace('-', '_')}{'_' * keyword.iskeyword(command)}")

    def work() -> int:
        parser = Parser(prog=program, description=description, epilog=epilog)
        parser.add_argument("--version", action="version", version=f"%(prog)s {edge.__version__}")
        subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
        chosen = next((argument for argument in arguments if argument in commands), None)
        for name, summary in commands.items():
            subparser = subparsers.add_parser(
                name,
                help=summary,
                description=summary[0].upper() + summary[1:] + ".",
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            if name == chosen:  # the others need not be imported
                module(name).add_arguments(subparser)
        args = parser.parse_args(arguments)
        status: int = module(args.command).run(args)
        return status

    return _guarded(program, extra, work)


def _guarded(program: str, extra: str, work: Callable[[], int]) -> int:
    """Do the work of a command and turn whatever goes wrong into one line and an exit status."""
    try:
        status = work()
        sys.stdout.flush()
    except EdgeError as error:
        _complain(program, str(error))
        status = error.exit_status
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:  # the reader went away, as `| head` does
        _discard_output()
        status = 0
    except ImportError as error:
        _complain(program, f"{error}: {_how_to_install(extra)}")
        status = os.EX_UNAVAILABLE
    except OSError as error:
        if error.errno != errno.ENOSPC:
            return _internal(program, error)
        _complain(program, "no space left on the device; free some and run the command again")
        _discard_output()
        status = os.EX_IOERR
    except Exception as error:  # noqa: BLE001  the last line of defence: a user is never shown a traceback
        status = _internal(program, error)
    return status


def _how_to_install(extra: str) -> str:
    """The command that installs what is missing of the daemon's libraries and of an extra's."""
    import re
    import shlex
    from importlib import metadata

    try:
        requirements = metadata.requires("emotion-edge") or []
    except metadata.PackageNotFoundError:
        requirements = []
    missing = []
    for requirement in requirements:
        wanted, _, condition = (part.strip() for part in requirement.partition(";"))
        if "extra" not in condition or f'extra == "{extra}"' in condition:
            try:
                metadata.distribution(re.split(r"[^\w.-]", wanted)[0])
            except metadata.PackageNotFoundError:
                missing.append(wanted)
    if not missing:
        return "a library is damaged; remove this environment and install it afresh"
    return f"libraries are missing; {shlex.join([sys.executable, '-m', 'pip', 'install', *missing])}"


def _discard_output() -> None:
    """What could not be written would be tried again, and complained about, at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _internal(program: str, error: Exception) -> int:
    if os.environ.get("EMOTION_EDGE_DEBUG"):
        raise error
    line = f"internal error: {type(error).__name__}: {error}; set EMOTION_EDGE_DEBUG=1 to see where, and report it"
    _complain(program, line)
    return os.EX_SOFTWARE


def _complain(program: str, message: str) -> None:
    from edge.device.journal import stderr_is_journal

    priority = "<3>" if stderr_is_journal() else ""  # an error, for journalctl -p err
    print(f"{priority}{program}: {' '.join(message.split())}", file=sys.stderr)
