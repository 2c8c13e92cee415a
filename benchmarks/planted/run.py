"""``python -m benchmarks.planted.run --suite small --out FOLDER``: all settings of a suite.

A classifier is a folder, a result a JSON file; what is there is not made again, and a killed
training goes on at its last epoch. Jobs are processes of their own with one thread each, so that
the numbers do not depend on the machine's cores.
"""

import argparse
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

from benchmarks.planted.loading import write_plan
from benchmarks.planted.report import write_report
from benchmarks.planted.settings import Setting
from benchmarks.planted.steps import STEPS, Step
from benchmarks.planted.suites import DRAWS, HELD_OUT, SUITES, TUNING

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
RESULTS = Path("benchmarks/results")


def missing(step: Step, settings: list[Setting], folder: Path) -> list[str]:
    """Return the names of the settings that still lack the result of a step."""
    wanted = {step.file(folder, s): s.id for s in settings if step.wants(s)}
    return [name for file, name in wanted.items() if not file.is_file()]


class Job:
    """A worker process; one that dies is started again for the next setting."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None

    def ask(self, step: str, name: str) -> str:
        """Have one step done; return ``done SECONDS`` or ``failed``."""
        if self.process is None or self.process.poll() is not None:
            command = [sys.executable, "-m", "benchmarks.planted.worker", "--out", str(self.folder)]
            environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            return "failed"
        try:
            stdin.write(f"{step} {name}\n")
            stdin.flush()
        except BrokenPipeError:
            return "failed"
        return stdout.readline().strip() or "failed"

    def end(self) -> None:
        """Let the process end."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            self.process.wait()


def run_step(step: Step, settings: list[Setting], folder: Path, jobs: int) -> int:
    """Do one step for all settings that lack it; return how many failed."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in missing(step, settings, folder):
        waiting.put(name)
    failed: list[str] = []

    def work() -> None:
        job = Job(folder)
        while True:
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                break
            answer = job.ask(step.name, name)
            if answer == "failed":
                failed.append(name)
            print(f"{step.name} {name}: {answer}", flush=True)
        job.end()

    threads = [threading.Thread(target=work) for _ in range(min(jobs, waiting.qsize()))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(failed)


def main() -> None:
    """Run what is missing, then write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", choices=sorted(SUITES), default="small")
    parser.add_argument("--draw", choices=[*DRAWS, "both"], default="tuning")
    parser.add_argument("--out", type=Path, required=True, help="classifiers and results")
    parser.add_argument("--imagenette", type=Path, help="folder with train/ and validation/")
    parser.add_argument("--settings", default="", help="names, separated by commas; all if empty")
    parser.add_argument("--only", choices=[*STEPS, "report"], help="one step alone")
    parser.add_argument("--again", action="store_true", help="forget the results of --only first")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--report", type=Path, default=RESULTS, help="folder of the report")
    options = parser.parse_args()
    draws = [TUNING, HELD_OUT] if options.draw == "both" else [options.draw]
    settings = [
        setting
        for draw in draws
        for setting in SUITES[options.suite](draw=draw, imagenette=options.imagenette is not None)
    ]
    write_plan(options.out, settings, options.imagenette)
    names = {name for name in options.settings.split(",") if name}
    chosen = [setting for setting in settings if not names or setting.id in names]
    steps = [step for step in STEPS.values() if options.only in (None, step.name)]
    if options.again and options.only in STEPS:
        for setting in chosen:
            STEPS[options.only].file(options.out, setting).unlink(missing_ok=True)
    begun = time.perf_counter()
    failed = sum(run_step(step, chosen, options.out, options.jobs) for step in steps)
    print(f"{time.perf_counter() - begun:.0f} s")
    if options.only in (None, "report"):
        write_report(options.out, settings, options.report)
    if failed:
        raise SystemExit(f"{failed} results are missing; run again to try them")


if __name__ == "__main__":
    main()
