"""The command line: runs one command and turns every error into one line and an exit status."""

from __future__ import annotations

import argparse
import errno
import importlib
import keyword
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import edge
from edge import hints, terminal
from edge.errors import EdgeError, UsageError
from edge.paths import home_path
from edge.redaction import has_password, without_password, without_passwords

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edge.settings import Settings

COMMANDS = {
    "run": "read expressions from a camera and publish them over MQTT",
    "classify": "read the expressions in pictures",
    "watch": "show what devices publish, live in the terminal",
    "status": "show all devices in one table: model, speed, temperature, problems",
    "calibrate": "measure the neutral face of the person in front of a device",
    "forget": "remove an old device from the broker and from Home Assistant",
    "doctor": "check camera, models, broker and libraries, and say what to do",
    "bench": "measure speed and memory on this machine",
    "record": "record the landmarks of faces to a file, without pictures",
    "model": "list, verify, install, roll back and uninstall model bundles, fetch the face mesh models",
}
"""Commands and their summaries. Each command is a module of `edge.commands`; see `run_command`."""

INTERRUPTED = 130
"""Exit status that shells report for a command that Ctrl-C interrupted."""


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of printing the usage and exiting; `type=Path` knows the home folder."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register("type", Path, home_path)

    def error(self, message: str) -> NoReturn:
        """See ArgumentParser.error."""
        raise UsageError(f"{message} (see `{self.prog} --help`)")


def absolute_path(text: str) -> Path:
    """Resolve the path of an option, so that it doesn't depend on the working directory.

    Raises:
        ArgumentTypeError: it is empty, as from an unset variable: a default must not be taken for what was meant.
    """
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; give one, or leave the option out")
    return home_path(text).absolute()


def add_settings_arguments(
    parser: argparse.ArgumentParser, *, camera: bool = False, mqtt: bool = False, model: bool = False
) -> None:
    """Add --config, and the options that override the settings file."""
    parser.add_argument(
        "--config",
        type=absolute_path,
        metavar="FILE",
        help="settings (default: /etc/emotion-edge/emotion-edge.toml)",
    )
    if camera:
        parser.add_argument(
            "--camera",
            metavar="SPEC",
            help="auto, picamera2[:N], v4l2:/dev/videoN, rtsp://HOST/PATH, http://HOST/PATH, video:FILE, images:DIR, "
            "recording:FILE or demo",
        )
    if mqtt:
        parser.add_argument("--mqtt", metavar="URL", help="broker, as in mqtt://user@host:1883")
    if model:
        parser.add_argument(
            "--model", type=absolute_path, metavar="DIR", help="folder of the model bundle (default: the installed one)"
        )


def load_settings(args: argparse.Namespace) -> Settings:
    """The settings from the file, overridden by the options of the command line."""
    from edge import settings

    overrides: dict[str, Any] = {}
    if getattr(args, "camera", None) is not None:
        overrides["camera.source"] = args.camera
    if getattr(args, "mqtt", None) is not None:
        overrides["mqtt.url"] = args.mqtt
    overrides |= getattr(args, "overrides", {})
    if getattr(args, "model", None) is not None:
        overrides["model.bundle"] = str(args.model)
    return settings.load(args.config, overrides)


def configure_logging(level: int) -> None:
    """Log to stderr, without the time and the program's name: journald adds both."""
    logging.basicConfig(level=level, format="%(levelname)s %(message)s", stream=sys.stderr, force=True)
    logging.captureWarnings(capture=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. Raises nothing but SystemExit, for --help and --version."""
    configure_logging(logging.INFO)
    return run_command(
        argv,
        program="emotion-edge",
        description="Reads facial expressions from a camera and publishes them over MQTT.",
        epilog="example: emotion-edge run --camera demo --mqtt mqtt://localhost:1883",
        commands=COMMANDS,
        package="edge.commands",
        extra="litert",
    )


def run_command(
    argv: Sequence[str] | None,
    *,
    program: str,
    description: str,
    epilog: str,
    commands: Mapping[str, str],
    package: str,
    extra: str,
    begin: Callable[[str], None] = lambda _command: None,
) -> int:
    """Run one command of a program.

    Args:
        argv: arguments after the program's name; None: those of this process.
        program: the program's name.
        description: what the program does, for `--help`.
        epilog: an example, for `--help`.
        commands: name -> summary, in lower case and without a full stop.
        package: package with a module for each command, with `add_arguments(parser)` and `run(args) -> exit status`.
        extra: extra of pyproject.toml that lists the libraries the program needs.
        begin: called with the command's name before it runs, once its arguments are known to be right.

    Returns:
        The command's exit status, or the error's. An error is printed in one line.

    Raises:
        SystemExit: for `--help` and `--version` only.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    terminal.configure()

    def module(command: str) -> Any:
        """Import a command's module: `-` becomes `_`, and a keyword such as `import` gets a trailing `_`."""
        return importlib.import_module(f"{package}.{command.replace('-', '_')}{'_' * keyword.iskeyword(command)}")

    def parse_and_run() -> int:
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
            if name == chosen:  # the others need no import
                module(name).add_arguments(subparser)
        args = parser.parse_args(arguments)
        begin(args.command)
        status: int = module(args.command).run(args)
        return status

    # The password of an address in the wrong place, such as a file's, would be repeated with it.
    secret = [argument for argument in arguments if "://" in argument and has_password(argument)]

    def print_error(message: str) -> None:
        for form in (form for argument in secret for form in (argument, str(Path(argument)))):
            message = message.replace(form, without_password(form))
        _print_error(program, without_passwords(message))

    return _guarded(print_error, extra, parse_and_run)


def _guarded(print_error: Callable[[str], None], extra: str, run: Callable[[], int]) -> int:
    """Run a command and turn every error into one line and an exit status."""
    try:
        status = run()
        sys.stdout.flush()
    except EdgeError as error:
        print_error(str(error))
        status = error.exit_status
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:  # the reader has closed the pipe, as `| head` does
        _discard_output()
        status = 0
    except ImportError as error:
        print_error(f"{error}: {hints.install(extra)}")
        status = os.EX_UNAVAILABLE
    except OSError as error:
        if error.errno != errno.ENOSPC:
            return _internal_error(print_error, error)
        print_error("no space left on the device; free some space and run the command again")
        _discard_output()
        status = os.EX_IOERR
    except Exception as error:  # noqa: BLE001  the last resort: users never see a traceback
        status = _internal_error(print_error, error)
    return status


def _discard_output() -> None:
    """Redirect stdout to /dev/null: at exit, Python would try again to flush it, and print another error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _internal_error(print_error: Callable[[str], None], error: Exception) -> int:
    if os.environ.get("EMOTION_EDGE_DEBUG"):
        raise error
    line = f"internal error: {type(error).__name__}: {error}; set EMOTION_EDGE_DEBUG=1 for a traceback, and report this"
    print_error(line)
    return os.EX_SOFTWARE


def _print_error(program: str, message: str) -> None:
    from edge.device.journal import stderr_is_journal

    priority = "<3>" if stderr_is_journal() else ""  # LOG_ERR, so that `journalctl -p err` shows it
    print(f"{priority}{program}: {' '.join(message.split())}", file=sys.stderr)
