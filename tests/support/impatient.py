"""The command `emotion-edge` with a shorter calibration: `python -m tests.support.impatient run ...`.

A recording has each of its frames whatever else the machine does, so that its calibration may be as short as that.
"""

from __future__ import annotations

import sys

from edge.classifier import calibration

CALIBRATION_S = 1.5
"""At 15 frames a second, twice the frames that it takes."""


def main() -> int:
    calibration.CALIBRATION_S = CALIBRATION_S  # before anybody takes it by its name
    from edge.cli import main as program

    return program()


if __name__ == "__main__":
    sys.exit(main())
