"""Apply a function to many items in threads: results in order, a bounded number held."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from sundog.core.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
LOOK_AHEAD = 4
"""Items under way per worker."""


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Iterator[Result]:
    """Yield ``function(item)`` in the order of ``items``.

    Args:
        function: called in this thread (``workers=0``) or in one of the workers.
        items: read only as far as the look-ahead (4 items per worker) reaches.
        workers: threads, >= 0.

    Raises:
        InputError: a negative number of workers. Errors of ``function`` arrive in order.
    """
    if workers < 0:
        raise InputError("workers", expected=">= 0", got=str(workers))
    if workers == 0:
        return map(function, items)
    return _threaded(function, items, workers)


def _threaded(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="sundog-images")
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= LOOK_AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
