"""Work on every core in threads, for OpenCV and the interpreters, which release the global interpreter lock."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from joblib import cpu_count
from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Result = TypeVar("Result")


def fan_out(work: Callable[..., Result], jobs: Iterable[tuple[Any, ...]], *, label: str, unit: str) -> list[Result]:
    """The results of `work` for the arguments of each job, in order, with a progress bar.

    Args:
        work: a function that several threads can call at once.
        jobs: its arguments.
        label: title of the progress bar.
        unit: what the bar counts, such as ` faces`.

    Raises:
        Exception: the first that a job raises. Jobs that have not begun by then are cancelled, also by Ctrl-C.
    """
    with ThreadPoolExecutor(cpu_count()) as pool:
        futures = [pool.submit(work, *job) for job in jobs]
        try:
            return [future.result() for future in tqdm(futures, label, unit=unit)]
        finally:
            # No thread may outlive the program: one inside of OpenCV would then crash it.
            pool.shutdown(cancel_futures=True)
