"""``python -m benchmarks.planted.run --suite small --out FOLDER``: all settings of a suite.

A classifier is a folder, a result a JSON file; what is there is not made again, and a killed
training goes on at its last epoch. Each job is a process of its own with one thread.
"""

import argparse
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from benchmarks.planted.data_sets import open_data
from benchmarks.planted.loading import read_plan, write_plan
from benchmarks.planted.settings import Setting
from benchmarks.planted.suites import DRAWS, SUITES
from benchmarks.planted.training import trained_classifier
from sundog.core.files import write_json

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def train_setting(setting: Setting, folder: Path, imagenette: Path | None) -> None:
    """Train the setting's classifier, if it is not there, and note the processor time it took."""
    noted = folder / "training" / f"{setting.model_id}.json"
    if noted.is_file():
        return
    begun = time.process_time()
    trained_classifier(
        setting, open_data(setting.data, setting.model_seed, imagenette), folder / "models"
    )
    seconds = time.process_time() - begun
    write_json(noted, {"model": setting.model_id, "seconds": round(seconds, 2)})
    print(f"{setting.model_id}: trained in {seconds:.1f} s", flush=True)


STEPS: dict[str, Callable[[Setting, Path, Path | None], None]] = {"train": train_setting}
"""What is done with each setting, in this order."""


def run_share(folder: Path, step: str, share: tuple[int, int], wanted: set[str]) -> int:
    """Do one step for every n-th setting; return how many failed."""
    settings, imagenette = read_plan(folder)
    chosen = [s for s in settings.values() if not wanted or s.id in wanted]
    if step == "train":  # controls share classifiers
        chosen = list({s.model_id: s for s in chosen}.values())
    failed = 0
    for setting in chosen[share[0] :: share[1]]:
        try:
            STEPS[step](setting, folder, imagenette)
        except Exception:  # the others go on; the exit code tells
            failed += 1
            print(f"{setting.id}: {step} failed", file=sys.stderr)
            traceback.print_exc()
    return failed


def run_step(folder: Path, step: str, jobs: int, settings: str) -> int:
    """Do one step for all settings in some processes side by side; return how many failed."""
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    command = [sys.executable, "-m", "benchmarks.planted.run", "--out", str(folder)]
    command += ["--settings", settings, "--step", step]
    running = [
        subprocess.Popen([*command, "--share", str(i), str(jobs)], env=environment)
        for i in range(jobs)
    ]
    return sum(process.wait() != 0 for process in running)


def main() -> None:
    """Run what is missing, then write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", choices=sorted(SUITES), default="small")
    parser.add_argument("--draw", choices=[*DRAWS, "both"], default="tuning")
    parser.add_argument("--out", type=Path, required=True, help="classifiers and results")
    parser.add_argument("--imagenette", type=Path, help="folder with train/ and validation/")
    parser.add_argument("--settings", default="", help="names, separated by commas; all if empty")
    parser.add_argument("--only", choices=sorted(STEPS), help="one step alone")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--step", choices=sorted(STEPS), help=argparse.SUPPRESS)
    parser.add_argument("--share", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        wanted = {name for name in options.settings.split(",") if name}
        raise SystemExit(run_share(options.out, options.step, options.share, wanted) > 0)
    draws = list(DRAWS) if options.draw == "both" else [options.draw]
    settings = [
        setting
        for draw in draws
        for setting in SUITES[options.suite](draw=draw, imagenette=options.imagenette is not None)
    ]
    write_plan(options.out, settings, options.imagenette)
    failed = 0
    for step in [options.only] if options.only else STEPS:
        failed += run_step(options.out, step, options.jobs, options.settings)
    if failed:
        raise SystemExit(f"{failed} processes met errors; run again to try what is missing")


if __name__ == "__main__":
    main()
