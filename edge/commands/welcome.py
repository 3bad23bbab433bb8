"""What `emotion-edge run --watch` says before the events: what is read, and how to go on. Pure."""

from __future__ import annotations

from edge import hints


def welcome(camera: str, device: str, *, demo_reason: str, page: str | None) -> list[str]:
    """Lines for a terminal.

    Args:
        camera: its name.
        device: its name.
        demo_reason: why the demo takes the place of a camera; empty: it doesn't, or was asked for.
        page: URL of the live page; None: it isn't served.
    """
    checkout = hints.checkout() is not None
    run = "make run ARGS='{}'" if checkout else "emotion-edge run --watch {}"
    doctor = "make doctor" if checkout else "emotion-edge doctor"
    if demo_reason:
        lines = [
            "DEMO: the face below is a drawn one that plays in a loop, because there is no camera",
            f"  why:  {demo_reason}",
            f"  next: connect a camera and start again, or name one: {run.format('--camera v4l2:/dev/video0')}",
            f"        `{doctor}` says what is wrong with a camera that is not found",
        ]
    else:
        lines = [
            f"device {device!r} reads {camera}",
            f"  next: smile at it; `{doctor}` checks everything; `emotion-edge watch` shows this in another terminal",
        ]
    shown = page or f"not served here: {run.format('--preview 127.0.0.1:8090')} serves it at another port"
    return [*lines, f"  page: {shown}", "  stop: Ctrl-C", ""]
