"""What a stage costs: wall time, and the peak of the memory that the process held meanwhile."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROCESS = Path("/proc/self")
_MIB = 1 << 20
_RESET_PEAK = "5"
"""What Linux's ``clear_refs`` takes to forget the peak so far."""


@dataclass
class Cost:
    """Filled when the measured block ends.

    Attributes:
        seconds: wall time.
        peak_mib: peak resident memory in MiB during the block. Where the system cannot forget the
            peak of what came before (not Linux), of the process so far. None where it does not say.
    """

    seconds: float = 0.0
    peak_mib: float | None = None


@contextlib.contextmanager
def measured() -> Iterator[Cost]:
    """Measure a block, also if it raises."""
    cost = Cost()
    with contextlib.suppress(OSError):
        (_PROCESS / "clear_refs").write_text(_RESET_PEAK, encoding="ascii")
    start = time.perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - start
        cost.peak_mib = peak_memory()


def peak_memory() -> float | None:
    """Return the peak resident memory of this process in MiB, or None where it is not told."""
    with contextlib.suppress(OSError, ValueError):
        for line in (_PROCESS / "status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MIB if sys.platform == "darwin" else peak / 1024  # bytes there, KiB elsewhere
