"""`emotion-edge run`: the daemon."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING

from edge import settings as settings_module
from edge.cli import add_settings_arguments, load_settings
from edge.service import Requests, Systemd, log_to_journal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from edge.settings import Settings

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = "example: emotion-edge run --camera v4l2:/dev/video0 --mqtt mqtt://localhost:1883"
    add_settings_arguments(parser, camera=True, mqtt=True)
    parser.add_argument("--watch", action="store_true", help="show in the terminal what a subscriber sees")
    parser.add_argument(
        "--local-broker", action="store_true", help="start a broker if none answers here (for trying out)"
    )
    parser.add_argument(
        "--no-demo", action="store_true", help="fail where there is no camera, instead of showing the demo"
    )
    parser.add_argument("--print-config", action="store_true", help="print a commented settings file and leave")


def run(args: argparse.Namespace) -> int:
    """Run until a signal or the end of the source; SIGHUP makes it read settings and bundle again."""
    if args.print_config:
        print(settings_module.template(), end="")
        return 0
    log_to_journal()
    settings = load_settings(args)
    requests = Requests()
    requests.listen()
    with contextlib.ExitStack() as stack:
        if args.local_broker:
            from edge.local_broker import ensure_broker

            if stack.enter_context(ensure_broker(settings.mqtt.url)):
                log.info("no broker answers at %s, so one has been started for this run", settings.mqtt.url)
        if args.watch:
            logging.getLogger().setLevel(logging.WARNING)
            stack.enter_context(_watching(settings))
        _serve(args, settings, requests)
    return 0


def _serve(args: argparse.Namespace, settings: Settings, requests: Requests) -> None:
    import cv2

    from edge.daemon import Daemon
    from edge.pipeline import Pipeline

    # One frame at a time keeps one core busy; OpenCV's pool would only wake the others.
    cv2.setNumThreads(1)
    with contextlib.closing(Pipeline(settings, allow_demo=not args.no_demo)) as pipeline:
        Daemon(settings, pipeline, Systemd(), lambda: load_settings(args)).run(requests)


@contextlib.contextmanager
def _watching(settings: Settings) -> Iterator[None]:
    """Subscribe as anybody would, over the broker, while the daemon runs."""
    from edge.watch import watch

    stop = threading.Event()
    mqtt = settings.mqtt
    thread = threading.Thread(
        target=watch,
        kwargs={
            "url": mqtt.url,
            "base": mqtt.base,
            "username": mqtt.username,
            "password_file": mqtt.password_file,
            "stop_event": stop,
        },
        name="watch",
        daemon=True,
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(3)
