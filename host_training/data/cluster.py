"""Work on other machines: Dask workers, reached through a scheduler that the user runs."""

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
"""Time, in s, for a scheduler to answer, and for a first worker to appear."""
AHEAD = 2
"""Jobs in flight for each core: one more than it works on, so that no core waits for the network."""


def ensure_address(address: str) -> None:
    """Check that a scheduler can have this address.

    Raises:
        UsageError: it can't.
    """
    if not re.fullmatch(r"tcp://[^\s/]+:\d{1,5}", address):
        raise UsageError(
            f"{address!r} is not an address; give the one that `dask scheduler` prints, such as tcp://host:8786"
        )


def fan_out(address: str, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """Yield the result of `function(*job)` for each job, in the order in which they finish.

    This uses Dask's own client: joblib's Dask backend waits forever for a job whose worker or scheduler died.

    Args:
        address: of the scheduler, such as `tcp://host:8786`.
        function: from a module that workers and scheduler can import.
        jobs: the arguments of each; taken one by one as there is room.

    Raises:
        UnavailableError: Dask is not installed; or the scheduler or workers do not answer, lack something, or die.
        EdgeError: the function raised it.
    """
    with _client(address) as client:
        from distributed import wait

        waiting = iter(jobs)
        running: set[Any] = set()
        while True:
            # At least one, which waits at the scheduler while no worker is there.
            room = max(AHEAD * sum(client.ncores().values()), 1) - len(running)
            running |= {client.submit(function, *job, pure=False) for job in islice(waiting, max(room, 0))}
            if not running:
                return
            try:
                done, running = wait(running, timeout=WAIT_S, return_when="FIRST_COMPLETED")
            except TimeoutError:
                if client.ncores():
                    continue  # they are at work
                raise UnavailableError(f"{address}: all workers have gone away; their output says why") from None
            for future in done:
                try:
                    result = future.result(timeout=WAIT_S)
                except TimeoutError:
                    running.add(future)  # its worker died; another one does it again
                else:
                    yield result


@contextmanager
def _client(address: str) -> Iterator[Any]:
    """A connection to the scheduler; whatever goes wrong with it becomes a one-line error."""
    ensure_address(address)
    try:
        from distributed import Client, KilledWorker
        from distributed.comm import connect
    except ImportError as error:
        raise UnavailableError(f"work on a cluster needs Dask: {hints.install('cluster')}") from error
    # The same errors reach the user as exceptions, without tracebacks.
    logging.getLogger("distributed").setLevel(logging.CRITICAL + 1)

    async def knock() -> None:
        # A client would wait forever for an answer from another program that listens there.
        comm = await asyncio.wait_for(connect(address, timeout=WAIT_S), WAIT_S)
        await comm.close()

    try:
        asyncio.run(knock())
        client = Client(address, timeout=WAIT_S)
    except Exception as error:  # Dask parses whatever another program answers as if it were its own protocol
        raise UnavailableError(
            f"{address}: no Dask scheduler answers there; start one with `dask scheduler`"
        ) from error
    try:
        client.wait_for_workers(1, timeout=WAIT_S)
        yield client
    except EdgeError:
        raise
    except TimeoutError as error:
        raise UnavailableError(
            f"{address}: the scheduler has no workers; start some with `dask worker {address}`"
        ) from error
    except (CancelledError, OSError) as error:
        raise UnavailableError(f"{address}: the scheduler has gone away; its output says why") from error
    except KilledWorker as error:
        raise UnavailableError(f"{address}: the same job killed several workers ({error})") from error
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
