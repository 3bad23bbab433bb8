"""Coverage is that of `edge`, which has its own tests: the processes of the deploy scripts start sooner without it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _processes_without_coverage(monkeypatch) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
