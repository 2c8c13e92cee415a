"""A process that does one step of one setting after another, as the lines of its input ask."""

import argparse
import sys
import traceback
from pathlib import Path

import torch

from benchmarks.planted.loading import read_plan
from benchmarks.planted.steps import STEPS, do_step


def main() -> None:
    """Read ``STEP SETTING`` per line; answer ``done SECONDS`` or ``failed``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings, imagenette = read_plan(options.out)
    for line in sys.stdin:
        step, name = line.split()
        try:
            spent = do_step(STEPS[step], settings[name], options.out, imagenette)
        except Exception:  # the others go on; the parent counts
            traceback.print_exc()
            print("failed", flush=True)
        else:
            print(f"done {spent:.1f}", flush=True)


if __name__ == "__main__":
    main()
