"""Entry point of `python -m edge`, which is the command `emotion-edge`."""

import sys

from edge.cli import main

sys.exit(main())
