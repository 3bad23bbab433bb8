"""Work on every core without other processes, for what OpenCV and the interpreters do: they hold no thread up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from joblib import cpu_count
from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Result = TypeVar("Result")


def fan_out(work: Callable[..., Result], jobs: Iterable[tuple[Any, ...]], *, label: str, unit: str) -> list[Result]:
    """What `work` returns for the arguments of each job, in their order, with a progress bar.

    Args:
        work: can be called from several threads at once.
        jobs: its arguments.
        label: what the progress bar says.
        unit: what it counts, as in ` faces`.

    Raises:
        Exception: the first that a job raises; those that have not begun by then never do. So it is with Ctrl-C.
    """
    with ThreadPoolExecutor(cpu_count()) as pool:
        futures = [pool.submit(work, *job) for job in jobs]
        try:
            return [future.result() for future in tqdm(futures, label, unit=unit)]
        finally:
            # No thread may outlive the program: one that is inside of OpenCV then would take it down.
            pool.shutdown(cancel_futures=True)
