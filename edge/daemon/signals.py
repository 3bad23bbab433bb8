"""Unix signals, as flags that a loop reads between two frames."""

from __future__ import annotations

import os
import signal


class Signals:
    """What signals have asked for since the loop last looked.

    Plain attributes: a handler interrupts the thread that reads them. A lock that this thread holds at that moment,
    as inside `threading.Event`, would never be released.
    """

    def __init__(self) -> None:
        self.stop = False
        """SIGTERM or SIGINT: end every face, publish `offline`, exit."""
        self.reload = False
        """SIGHUP: read settings and bundle again."""

    def listen(self) -> None:
        """Install the handlers. Call it in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "stop", True))
        # In a terminal, SIGHUP means that the terminal is gone: the camera should not stay on then.
        if not os.isatty(0):
            signal.signal(signal.SIGHUP, lambda *_: setattr(self, "reload", True))
