"""The command `emotion-edge` with a shorter calibration: `python -m tests.support.impatient run ...`.

A recording plays all of its frames however busy the machine is, so a short calibration is enough.
"""

from __future__ import annotations

import sys

from edge.classifier import calibration

CALIBRATION_S = 1.5
"""Time of a calibration, s: at 15 frames/s, twice the frames that it needs."""


def main() -> int:
    calibration.CALIBRATION_S = CALIBRATION_S  # before another module imports the name
    from edge.cli import main as program

    return program()


if __name__ == "__main__":
    sys.exit(main())
