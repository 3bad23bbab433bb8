"""`emotion-edge run`: run the daemon."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from typing import TYPE_CHECKING

from edge import settings as settings_module
from edge.cli import absolute_path, add_settings_arguments, load_settings
from edge.daemon.signals import Signals
from edge.device.journal import log_to_journal
from edge.device.systemd import Systemd
from edge.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from edge.mqtt.inbox import Inbox
    from edge.preview import Preview
    from edge.settings import Settings

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.epilog = (
        "example: emotion-edge run --camera v4l2:/dev/video0 --mqtt mqtt://localhost:1883\n"
        "         emotion-edge run --watch --local-broker --model build/models/mine"
    )
    add_settings_arguments(parser, camera=True, mqtt=True, model=True)
    parser.add_argument("--watch", action="store_true", help="show in the terminal what subscribers receive")
    parser.add_argument(
        "--local-broker",
        action="store_true",
        help="start a broker if none answers on this machine, for trying things out",
    )
    parser.add_argument(
        "--no-demo", action="store_true", help="fail if there is no camera, instead of showing the demo"
    )
    parser.add_argument(
        "--preview", nargs="?", const="", metavar="ADDRESS", help="serve a live page (default: 127.0.0.1:8080)"
    )
    parser.add_argument(
        "--preview-token-file",
        type=absolute_path,
        metavar="FILE",
        help="file with the token that viewers need; required unless ADDRESS is a loopback address",
    )
    parser.add_argument("--preview-picture", action="store_true", help="also show the picture on the page")
    parser.add_argument("--print-config", action="store_true", help="print a commented settings file and exit")


def run(args: argparse.Namespace) -> int:
    """Run until a signal or the end of the source. SIGHUP reloads settings and bundle."""
    if args.print_config:
        print(settings_module.template(), end="")
        return 0
    log_to_journal()
    settings = load_settings(args)
    signals = Signals()
    signals.listen()
    with contextlib.ExitStack() as stack:
        if args.local_broker:
            from edge.mqtt.local_broker import ensure_broker

            if stack.enter_context(ensure_broker(settings.mqtt.url)):
                log.info("no broker answers at %s: started one for this run", settings.mqtt.url)
        if args.watch:
            logging.getLogger().setLevel(logging.WARNING)
            stack.enter_context(_watching(settings))
        _serve(args, settings, signals)
    return 0


def _serve(args: argparse.Namespace, settings: Settings, signals: Signals) -> None:
    import cv2

    from edge.daemon import state_directory
    from edge.daemon.loop import Daemon
    from edge.daemon.pipeline import Pipeline
    from edge.mqtt.inbox import Inbox

    # One frame at a time keeps one core busy; OpenCV's thread pool would only wake the others.
    cv2.setNumThreads(1)
    inbox = Inbox(time.monotonic)
    with (
        # Before the camera, which stays off if the page can't be served.
        _previewing(args, settings.device_name, inbox) as preview,
        contextlib.closing(
            Pipeline(
                settings,
                allow_demo=not args.no_demo,
                paused=state_directory.load_paused(),
                baseline=state_directory.load_baseline(),
            )
        ) as pipeline,
    ):
        Daemon(settings, pipeline, Systemd(), lambda: load_settings(args), inbox=inbox, preview=preview).run(signals)


@contextlib.contextmanager
def _previewing(args: argparse.Namespace, device: str, inbox: Inbox) -> Iterator[Preview | None]:
    """Serve the live page while the daemon runs, if it is asked for."""
    if args.preview is None:
        if args.preview_token_file or args.preview_picture:
            raise UsageError("--preview-token-file and --preview-picture need --preview")
        yield None
        return
    from edge.preview import Preview
    from edge.preview.access import DEFAULT_ADDRESS
    from edge.secret_files import read_secret

    def pause(paused: bool) -> None:
        inbox.put("pause", json.dumps({"paused": paused}).encode(), retained=False)

    token = read_secret(str(args.preview_token_file), "--preview-token-file") if args.preview_token_file else ""
    page = Preview(
        args.preview or DEFAULT_ADDRESS, token=token, picture=args.preview_picture, device=device, on_pause=pause
    )
    with contextlib.closing(page):
        print(f"live page: {page.url}", flush=True)
        yield page


@contextlib.contextmanager
def _watching(settings: Settings) -> Iterator[None]:
    """Subscribe like any other client of the broker while the daemon runs."""
    from edge.fleet.watch import watch

    stop = threading.Event()
    thread = threading.Thread(
        target=watch, args=(settings.mqtt,), kwargs={"stop_event": stop}, name="watch", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(3)
