"""``python -m benchmarks.slices``: the search for slices, its bars and its peers on one grid.

Every search runs in a process of its own, after a warm-up, with a limit; a search over the limit
is stopped, and not tried on larger cells. Memory is that of the first call of another process. The
results go to JSON and to a table for the docs; run it on a machine that does nothing else.
"""

import argparse
import datetime
import importlib.metadata as metadata
import itertools
import json
import platform
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

from benchmarks.measure import peak_growth, peak_in_subprocess
from benchmarks.slice_peers import SEARCHES, make_world

BARS = (
    ("20,000 x 200 x 3, counted", "ours", (20_000, 200, 3), 0.5),
    ("20,000 x 200 x 3, tested", "ours, tested", (20_000, 200, 3), 2.0),
    ("50,000 x 400 x 3, counted", "ours", (50_000, 400, 3), 5.0),
    ("1,000,000 x 100 x 2, counted", "ours", (1_000_000, 100, 2), 5.0),
    ("1,000 x 200 x 3, Westfall-Young", "ours, Westfall-Young", (1_000, 200, 3), 0.5),
    ("20,000 x 200 x 3, Westfall-Young", "ours, Westfall-Young", (20_000, 200, 3), 60.0),
)
"""Name, search, images x tags x size, most seconds."""
GRID = tuple(itertools.product((1_000, 5_000, 20_000, 50_000), (50, 100, 200, 400), (2, 3)))
SHOWN = ("ours", "dense", "sliceline", "divexplorer")
START_SECONDS = 20
PACKAGES = ("sundog", "numpy", "numba", "sliceline", "divexplorer")


def time_cell(who: str, cell: tuple[int, int, int]) -> None:
    """Warm up, repeat for up to two seconds, and print the seconds after every repeat."""
    search, size = SEARCHES[who], cell[2]
    search(*make_world(200, 8), 3)
    world = make_world(*cell[:2])
    seconds: list[float] = []
    while not seconds or (len(seconds) < 31 and sum(seconds) < 2):
        start = time.perf_counter()
        found = search(*world, size)
        seconds.append(time.perf_counter() - start)
        print(json.dumps({"seconds": seconds, "found": found}), flush=True)


def weigh_cell(who: str, cell: tuple[int, int, int]) -> None:
    """Warm up on something small and print the peak of memory of the first call."""
    search = SEARCHES[who]
    search(*make_world(200, 8), 3)
    world = make_world(*cell[:2])
    print(json.dumps({"bytes": peak_growth(lambda: search(*world, cell[2]))}))


def run_cell(who: str, cell: tuple[int, int, int], *, limit: float) -> dict[str, object]:
    """Run one search on one cell in new processes; over the limit gives ``{"limit": ...}``."""
    command = [sys.executable, "-m", "benchmarks.slices", "--cell", who, *map(str, cell)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    problem = None
    try:
        # The last repeat may start just before two seconds are over.
        output, problem = process.communicate(timeout=2 * limit + START_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
    lines = output.splitlines()
    if not lines and problem is None:
        return {"limit": limit}
    if not lines:
        return {"failed": (problem.strip().splitlines() or ["no output"])[-1][:200]}
    row = json.loads(lines[-1])
    row["median"] = statistics.median(row["seconds"])
    if row["median"] > limit:
        return {"limit": limit}
    row["bytes"] = peak_in_subprocess("benchmarks.slices", "--memory", *command[3:])
    return row


def run_grid(cells: list[tuple[int, int, int]], *, limit: float) -> list[dict[str, object]]:
    """Run all searches, in turn, cell by cell."""
    rows = []
    beyond: dict[str, list[tuple[int, int, int]]] = {who: [] for who in SHOWN}
    for cell in cells:
        row: dict[str, object] = {"images": cell[0], "tags": cell[1], "size": cell[2]}
        for who in SHOWN:
            smaller = [c for c in beyond[who] if all(a <= b for a, b in zip(c, cell, strict=True))]
            if smaller:
                row[who] = {"limit": limit, "because": smaller[0]}
                continue
            row[who] = run_cell(who, cell, limit=limit)
            if "seconds" not in row[who]:
                beyond[who].append(cell)
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def run_bars(only: str) -> list[dict[str, object]]:
    """Run ours where the issue sets a bar."""
    rows = []
    for name, who, cell, bar in BARS:
        if only in name:
            rows.append({"name": name, "bar": bar, **run_cell(who, cell, limit=10 * bar + 60)})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def shown(found: dict[str, object]) -> str:
    """Return the seconds of one search for the table."""
    if "median" in found:
        return f"{found['median']:.4f}"
    return f"> {found['limit']:g}" if "limit" in found else "fails"


def markdown(result: dict[str, object]) -> str:
    """Return both tables."""
    lines = ["| bar | slices | at most, s | ours, s | peak, MiB |", "|---|---|---|---|---|"]
    for row in result["bars"]:
        peak = f"{row['bytes'] / 2**20:.0f}" if "bytes" in row else "–"
        slices = f"{row.get('found', 0):,}"
        lines.append(f"| {row['name']} | {slices} | {row['bar']:g} | {shown(row)} | {peak} |")
    lines += [
        "",
        "| images x tags x size | slices | " + " | ".join(f"{x}, s" for x in SHOWN) + " |",
    ]
    lines.append("|---|---|" + "---|" * len(SHOWN))
    for row in result["grid"]:
        cell = f"{row['images']:,} x {row['tags']} x {row['size']}"
        times = " | ".join(shown(row[who]) for who in SHOWN)
        lines.append(f"| {cell} | {row['ours'].get('found', 0):,} | {times} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--limit", type=float, default=20.0, help="seconds per cell and search")
    parser.add_argument("--most-images", type=int, default=50_000)
    parser.add_argument("--only", default="", help="bars whose name holds this")
    parser.add_argument("--no-grid", action="store_true")
    parser.add_argument("--cell", nargs=4, metavar=("WHO", "IMAGES", "TAGS", "SIZE"))
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    if options.cell:
        warnings.simplefilter("ignore")
        images, tags, size = map(int, options.cell[1:])
        run = weigh_cell if options.memory else time_cell
        run(options.cell[0], (images, tags, size))
        return
    cells = [] if options.no_grid else [c for c in GRID if c[0] <= options.most_images]
    result = {
        "machine": {
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "cpu": platform.processor() or platform.machine(),
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in PACKAGES},
        },
        "limit": options.limit,
        "bars": run_bars(options.only),
        "grid": run_grid(cells, limit=options.limit),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "slices.json").write_text(json.dumps(result, indent=2) + "\n")
    (options.out / "slices.md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
