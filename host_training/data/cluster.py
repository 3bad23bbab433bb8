"""Work on other machines: their Dask workers, reached through the scheduler that the user runs."""

from __future__ import annotations

import asyncio
import logging
import re
from concurrent.futures import CancelledError
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from edge import hints
from edge.errors import EdgeError, UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

WAIT_S = 8
"""s for a scheduler to answer, and for a first worker to be there."""
AHEAD = 2
"""Jobs for each core that are under way or waiting there, so that none waits for the network."""


def ensure_address(address: str) -> None:
    """Check that it can be one.

    Raises:
        UsageError: it can't.
    """
    if not re.fullmatch(r"tcp://[^\s/]+:\d{1,5}", address):
        raise UsageError(f"{address!r} is no address: give the one that `dask scheduler` prints, as in tcp://host:8786")


def fan_out(address: str, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """What `function(*job)` returns for each job, in the order in which they are done.

    Dask's own client, since joblib's Dask backend waits for ever for a job whose worker or scheduler died.

    Args:
        address: of the scheduler, as in `tcp://host:8786`.
        function: of a module that workers and scheduler can import.
        jobs: their arguments; taken only when there is room.

    Raises:
        UnavailableError: Dask is not installed, or scheduler or workers do not answer, lack something or die.
        EdgeError: what the function raised.
    """
    with _client(address) as client:
        from distributed import wait

        waiting = iter(jobs)
        running: set[Any] = set()
        while True:
            # At least one: a job that waits for a worker to come back.
            room = max(AHEAD * sum(client.ncores().values()), 1) - len(running)
            running |= {client.submit(function, *job, pure=False) for job in islice(waiting, max(room, 0))}
            if not running:
                return
            try:
                done, running = wait(running, timeout=WAIT_S, return_when="FIRST_COMPLETED")
            except TimeoutError:
                if client.ncores():
                    continue  # they are at work
                raise UnavailableError(f"{address}: all its workers are gone; their own output says why") from None
            for future in done:
                try:
                    result = future.result(timeout=WAIT_S)
                except TimeoutError:
                    running.add(future)  # the worker died that had it; another does it again
                else:
                    yield result


@contextmanager
def _client(address: str) -> Iterator[Any]:
    """A connection to the scheduler; whatever goes wrong with it becomes one line."""
    ensure_address(address)
    try:
        from distributed import Client, KilledWorker
        from distributed.comm import connect
    except ImportError as error:
        raise UnavailableError(f"work on a cluster needs Dask: {hints.install('cluster')}") from error
    # What it logs comes again as an error, without the tracebacks.
    logging.getLogger("distributed").setLevel(logging.CRITICAL + 1)

    async def knock() -> None:
        # A client that gets no answer from what listens there would wait for ever.
        comm = await asyncio.wait_for(connect(address, timeout=WAIT_S), WAIT_S)
        await comm.close()

    try:
        asyncio.run(knock())
        client = Client(address, timeout=WAIT_S)
    except Exception as error:  # Dask takes whatever another program says there for its own language
        raise UnavailableError(f"{address}: no Dask scheduler answers; start one with `dask scheduler`") from error
    try:
        client.wait_for_workers(1, timeout=WAIT_S)
        yield client
    except EdgeError:
        raise
    except TimeoutError as error:
        raise UnavailableError(f"{address}: has no workers; start some with `dask worker {address}`") from error
    except (CancelledError, OSError) as error:
        raise UnavailableError(f"{address}: the scheduler is gone; its own output says why") from error
    except KilledWorker as error:
        raise UnavailableError(f"{address}: workers died at the same job, time and again ({error})") from error
    except (ImportError, RuntimeError) as error:
        lacking = error if isinstance(error, ImportError) else error.__cause__
        if not isinstance(lacking, ImportError):
            raise
        raise UnavailableError(
            f"{address}: {lacking}; scheduler and workers need the emotion-edge of this machine, with its extras train "
            "and cluster"
        ) from error
    finally:
        client.close(timeout=WAIT_S)
