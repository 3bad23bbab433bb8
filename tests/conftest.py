"""Hypothesis profiles for all tests."""

import os

from hypothesis import settings

# No deadlines: the time of an example depends on the machine.
# With CI set, every run uses the same examples, so that a failure doesn't depend on luck.
settings.register_profile("default", deadline=None, max_examples=50, derandomize=bool(os.environ.get("CI")))
settings.register_profile("nightly", deadline=None, max_examples=10_000, print_blob=True)
settings.load_profile("default")
