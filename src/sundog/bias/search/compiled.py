"""How the loops of this room are compiled: without the interpreter lock, kept on disk if possible.

Threads are plain Python threads around functions that release the lock, not numba's own: its
default thread layer ends the process when two threads of a server start a search at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at the first call; keep the machine code beside the source or in the user's cache.

    Where neither place can be written (a read-only installation without a home folder) the code is
    compiled once per process instead.
    """
    try:
        return numba.njit(cache=True, nogil=True, boundscheck=False)(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return numba.njit(nogil=True, boundscheck=False)(function)


def _popcount(_context: Any, _word: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


def _trailing_zeros(_context: Any, _word: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.uint64(types.uint64), generate


popcount = cast(Callable[[Any], Any], intrinsic(_popcount))
"""Set bits of a 64-bit word; only inside compiled functions."""
trailing_zeros = cast(Callable[[Any], Any], intrinsic(_trailing_zeros))
"""Position of the lowest set bit of a 64-bit word that is not 0; only inside compiled functions."""
