"""`python -m host_training` is `emotion-train`."""

import sys

from host_training.cli import main

if __name__ == "__main__":
    sys.exit(main())
