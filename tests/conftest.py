"""Settings of all tests."""

import os

from hypothesis import settings

# No deadlines: how long an example takes says something about the machine, not about the code.
# Where a failure must not depend on luck, the examples are the same in every run.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")
