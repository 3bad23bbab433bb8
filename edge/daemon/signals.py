"""What signals ask of the loop."""

from __future__ import annotations

import os
import signal


class Requests:
    """What signals ask of the loop, which looks at it between two frames.

    Plain attributes: a handler interrupts the thread that reads them, so a lock that this thread holds at that
    moment, as inside `threading.Event`, would never be released.
    """

    def __init__(self) -> None:
        self.stop = False
        """SIGTERM, SIGINT: end every face, say `offline`, leave."""
        self.reload = False
        """SIGHUP: read settings and bundle again."""

    def listen(self) -> None:
        """Take the signals. Call it in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "stop", True))
        # In a terminal, SIGHUP says that the terminal has gone: nobody wants the camera to stay on then.
        if not os.isatty(0):
            signal.signal(signal.SIGHUP, lambda *_: setattr(self, "reload", True))
