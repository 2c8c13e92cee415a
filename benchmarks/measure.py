"""Timing two calls side by side, and the peak memory of one call in a process of its own."""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Times:
    """Seconds of repeated calls."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    def summary(self) -> dict[str, float]:
        """Return median, minimum and interquartile range of wall and CPU seconds."""
        quartiles = statistics.quantiles(self.wall, n=4) if len(self.wall) > 1 else [0, 0, 0]
        return {
            "wall_median": statistics.median(self.wall),
            "wall_min": min(self.wall),
            "wall_iqr": quartiles[2] - quartiles[0],
            "cpu_median": statistics.median(self.cpu),
        }


def interleaved(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Times]:
    """Call each once to warm up, then in turn A B C A B C ..., so that drift hits all alike."""
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repeats):
        for name, call in calls.items():
            cpu_start, start = time.process_time(), time.perf_counter()
            call()
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - cpu_start)
    return {name: Times(tuple(wall[name]), tuple(cpu[name])) for name in calls}


def peak_growth(call: Callable[[], object]) -> int:
    """Return by how many bytes resident memory rose at most during one call (use a new process).

    The resident size is sampled every two milliseconds: the kernel's own high-water mark also
    holds what the imports needed.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    statm = Path("/proc/self/statm")

    def resident() -> int:
        return int(statm.read_text().split()[1]) * page

    before, peak, done = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    call()
    done.set()
    watcher.join()
    return max(peak, resident()) - before


def peak_in_subprocess(module: str, *arguments: str) -> int:
    """Run ``python -m module arguments`` and return the bytes it prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], check=True, capture_output=True, text=True
    )
    return int(json.loads(done.stdout.splitlines()[-1])["bytes"])
