"""`emotion-edge run`: run the daemon."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from edge import settings as settings_module
from edge.cli import absolute_path, add_settings_arguments, load_settings
from edge.daemon.signals import Signals
from edge.device.journal import log_to_journal
from edge.device.systemd import Systemd

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from edge.daemon.page import Page
    from edge.daemon.pipeline import Pipeline
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
        "--preview",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="serve the live page at this address (default: that of the settings), and fail if that is impossible",
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
    args.overrides = _preview_overrides(args)
    settings = load_settings(args)
    signals = Signals()
    signals.listen()
    with contextlib.ExitStack() as stack:
        if args.local_broker:
            from edge.mqtt.address import BrokerAddress
            from edge.mqtt.local_broker import ensure_broker

            if stack.enter_context(ensure_broker(settings.mqtt.url)):
                log.info("no broker answers at %s: started one for this run", BrokerAddress.parse(settings.mqtt.url))
        if args.watch:
            logging.getLogger().setLevel(logging.WARNING)
            stack.enter_context(_watching(settings))
        _serve(args, settings, signals)
    return 0


def _serve(args: argparse.Namespace, settings: Settings, signals: Signals) -> None:
    import cv2

    from edge.daemon import state_directory
    from edge.daemon.loop import Daemon
    from edge.daemon.page import Page
    from edge.daemon.pipeline import Pipeline
    from edge.mqtt.inbox import Inbox

    # One frame at a time keeps one core busy; OpenCV's thread pool would only wake the others.
    cv2.setNumThreads(1)
    inbox = Inbox(time.monotonic)
    with (
        # Before the camera, which stays off if the page can't be served.
        contextlib.closing(
            Page(settings.preview, settings.device_name, inbox, required=args.preview is not None)
        ) as page,
        contextlib.closing(
            Pipeline(
                settings,
                allow_demo=not args.no_demo,
                paused=state_directory.load_paused(),
                baseline=state_directory.load_baseline(),
            )
        ) as pipeline,
    ):
        _say(settings, pipeline, page, watching=args.watch)
        Daemon(settings, pipeline, Systemd(), lambda: load_settings(args), inbox=inbox, page=page).run(signals)


def _say(settings: Settings, pipeline: Pipeline, page: Page, *, watching: bool) -> None:
    """Say what runs, once it does: an address of a page must not be printed before the camera fails."""
    if watching:  # which shows no such line of the log
        from edge.commands.welcome import welcome

        for line in welcome(
            pipeline.camera.name, settings.device_name, demo_reason=pipeline.demo_reason, page=page.url
        ):
            print(line, flush=True)
    elif page.url is not None:
        log.info("live page: %s", page.url)


def _preview_overrides(args: argparse.Namespace) -> dict[str, Any]:
    """The settings of the page that the options override."""
    overrides: dict[str, Any] = {}
    if args.preview:
        overrides["preview.address"] = args.preview
    if args.preview_token_file:
        overrides["preview.token_file"] = str(args.preview_token_file)
    if args.preview_picture:
        overrides["preview.picture"] = True
    return overrides


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
