"""``python -m benchmarks.debias.run --imagenette FOLDER``: every setting, seed and method.

A result is a JSON file and the answers to the test images; what is there is not made again, and a
killed training goes on at its last epoch. Each setting and seed is a process of its own with one
thread, so that the numbers do not depend on the machine's cores; ``--jobs`` run side by side.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.debias.folders import cell_folder
from benchmarks.debias.methods import METHODS
from benchmarks.debias.pictures import Pictures, open_setting, split_audit
from benchmarks.debias.settings import SETTINGS, Setting
from benchmarks.debias.shown_ways import TestImages, test_images
from benchmarks.debias.summarise import summarise
from benchmarks.debias.timing import time_refits
from benchmarks.debias.work import Work
from sundog.core.errors import SundogError
from sundog.core.files import write_json
from sundog.models.group_scores import without_nan


def run_cell(
    setting: Setting, seed: int, folder: Path, images: Path | None, only: set[str]
) -> None:
    """Run the methods of one setting and seed that have no result yet."""
    timed = folder.parent / "timing.json"
    wants_timing = setting.name == "digits" and seed == 0 and not only and not timed.is_file()
    missing = [
        name
        for name in setting.methods
        if (not only or name in only) and not is_done(folder / f"{name}.json")
    ]
    if not missing and not wants_timing:
        return
    train, test = open_setting(setting, images)
    kept, audit = split_audit(train, setting.audit_share)
    work = Work(Pictures(setting, kept, audit, test, seed), folder, seed)
    shown = test_images(work.pictures)
    for name in missing:
        result = run_method(name, work, shown)
        write_json(folder / f"{name}.json", without_nan(result))
        print(
            f"{setting.name} seed {seed} {name}: {result['status']}, {result['wall']:.1f} s",
            flush=True,
        )
    if wants_timing:
        write_json(timed, time_refits(work))


def is_done(file: Path) -> bool:
    """Return whether there is a result; a method that failed is tried again."""
    return file.is_file() and json.loads(file.read_text(encoding="utf-8"))["status"] != "failed"


def run_method(name: str, work: Work, shown: TestImages) -> dict[str, Any]:
    """Run one method; a clear error of the library is a refusal, with its reason."""
    work.seconds.clear()
    begun = time.perf_counter()
    cpu = time.process_time()
    result: dict[str, Any] = {"method": name, "seed": work.seed, "status": "done"}
    try:
        outcome = METHODS[name].run(work)
        shown.ask(outcome.classifier).write(work.folder / f"{name}.npz")
        result |= {"seconds": outcome.seconds, "notes": outcome.notes}
    except SundogError as error:
        result |= {"status": "refused", "reason": str(error)}
    except Exception as error:
        result |= {"status": "failed", "reason": f"{type(error).__name__}: {error}"[:400]}
        traceback.print_exc()
    return {**result, "wall": time.perf_counter() - begun, "cpu": time.process_time() - cpu}


def start_cell(setting: Setting, seed: int, options: argparse.Namespace) -> int:
    """Run one setting and seed in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.debias.run", "--cell", setting.name, str(seed)]
    command += ["--work", str(options.work), "--only", options.only]
    if options.imagenette is not None:
        command += ["--imagenette", str(options.imagenette)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return subprocess.run(command, env={**os.environ, **threads}, check=False).returncode


def main() -> None:
    """Run what is missing, in as many processes as asked for, then summarise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--imagenette", type=Path, help="folder with train/ and validation/")
    parser.add_argument("--work", type=Path, default=Path("debias-work"), help="cache of all runs")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--settings", default="", help="names, separated by commas; all if empty")
    parser.add_argument("--seeds", default="", help="numbers; those of the setting if empty")
    parser.add_argument("--only", default="", help="methods, separated by commas; all if empty")
    parser.add_argument("--again", action="store_true", help="forget the results of --only first")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cell", nargs=2, metavar=("SETTING", "SEED"))
    options = parser.parse_args()
    only = {name for name in options.only.split(",") if name}
    if options.cell:
        setting, seed = SETTINGS[options.cell[0]], int(options.cell[1])
        folder = cell_folder(options.work, setting, seed)
        run_cell(setting, seed, folder, options.imagenette, only)
        return
    chosen = [SETTINGS[name] for name in options.settings.split(",") if name] or list(
        SETTINGS.values()
    )
    seeds = tuple(int(seed) for seed in options.seeds.split(",") if seed)
    cells = [(setting, seed) for setting in chosen for seed in seeds or setting.seeds]
    if options.again:
        for setting, seed in cells:
            for name in only:
                (cell_folder(options.work, setting, seed) / f"{name}.json").unlink(missing_ok=True)
    # The longest first, so that no processor waits at the end.
    cells.sort(key=lambda cell: -len(cell[0].methods) * (3 if cell[0].name == "ten" else 1))
    with ThreadPoolExecutor(options.jobs) as pool:
        codes = list(pool.map(lambda cell: start_cell(*cell, options), cells))
    summarise(chosen, options.work, options.out)
    if any(codes):
        raise SystemExit(f"{sum(code != 0 for code in codes)} of {len(codes)} cells did not finish")


if __name__ == "__main__":
    main()
