from __future__ import annotations

import threading
import time

import pytest
from joblib import cpu_count

from edge.errors import NoInputError
from host_training.threads import fan_out


def test_results_come_in_the_order_of_the_jobs():
    def slow(number, pause):
        time.sleep(pause)
        return number * 10

    assert fan_out(slow, [(1, 0.05), (2, 0), (3, 0.02)], label="test", unit=" jobs") == [10, 20, 30]


@pytest.mark.skipif(cpu_count() < 2, reason="needs two cores")
def test_jobs_run_at_the_same_time():
    both = threading.Barrier(2, timeout=60)

    fan_out(both.wait, [(), ()], label="test", unit=" jobs")


def test_starts_no_job_after_an_error():
    begun = []

    def work(number):
        begun.append(number)
        if number == 0:
            raise NoInputError("gone.png: No such file")
        time.sleep(0.02)

    with pytest.raises(NoInputError, match="gone"):
        fan_out(work, [(number,) for number in range(1000)], label="test", unit=" jobs")
    assert len(begun) < 500
    assert not any("ThreadPool" in each.name for each in threading.enumerate())
