"""Settings of all tests."""

import os

from hypothesis import settings

# No deadlines: how long an example takes says something about the machine, not about the code.
# Where a failure must not depend on luck, the examples are the same in every run.
settings.register_profile("default", deadline=None, max_examples=50, derandomize=bool(os.environ.get("CI")))
settings.register_profile("nightly", deadline=None, max_examples=10_000, print_blob=True)
settings.load_profile("default")
