"""The doctor's checks of the layers: what can be listened to, and which methods run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sundog.audit.doctor_result import Check
from sundog.core.errors import SundogError, first_line
from sundog.core.shapes import Images, Maps
from sundog.explain.attribute import attribute
from sundog.explain.plan import parameters_of
from sundog.explain.registry import METHODS
from sundog.models.classifier import Classifier
from sundog.models.feature_table import forward_features
from sundog.models.head import read_head
from sundog.models.layers import capture
from sundog.models.tokens import to_feature_map

PRACTICAL = (
    "occlusion",
    "gradient_norm",
    "gradient_x_input",
    "integrated_gradients",
    "grad_cam",
)
"""Methods of a run that names none."""
SLOW = 1.0
"""Seconds of a dry run above which it is not repeated."""
FEWER = {"n_steps": 4, "n_samples": 4}
"""Parameters that only make a method longer, in a dry run."""
NEED_MORE = ("neuron_conductance",)
"""Needs a unit to be named."""


FROZEN = "a network in a file has no layers to listen to: give the network itself"


@dataclass(frozen=True)
class DryRun:
    """One method on one image.

    Attributes:
        method: its name.
        seconds: for one image with the method's own parameters, extrapolated from the dry run.
        error: why it does not run; empty if it does.
    """

    method: str
    seconds: float
    error: str


def layer_checks(classifier: Classifier, images: Images) -> list[Check]:
    """Return the checks of the feature layer, the map layer and the last linear layer.

    Args:
        classifier: in eval mode.
        images: ``float[n, 3, height, width]`` in [0, 1].
    """
    probe = images[:2].to(classifier.device)
    return [_features(classifier, probe), _map(classifier, probe), _head(classifier)]


def _features(classifier: Classifier, probe: Images) -> Check:
    name, expected = "layers: features", "a layer that feeds the last linear one"
    if classifier.feature_layer is None:
        return Check(
            name,
            "warn",
            "none was found",
            expected,
            FROZEN
            if _is_frozen(classifier)
            else "name it (feature_layer='NAME:input'): risks, neural tags and refits need it",
        )
    try:
        with torch.no_grad():
            features, _ = forward_features(classifier, probe)
    except SundogError as error:
        return Check(name, "fail", error.message, expected, "name another layer")
    return Check(name, "ok", f"{classifier.feature_layer!r}: {features.shape[1]} numbers", expected)


def _is_frozen(classifier: Classifier) -> bool:
    return "file" in (classifier.recipe or {})


def _map(classifier: Classifier, probe: Images) -> Check:
    name, expected = "layers: map", "a layer whose output is a map of the image"
    if classifier.cam_layer is None:
        return Check(
            name,
            "warn",
            "none was found",
            expected,
            FROZEN
            if _is_frozen(classifier)
            else "name it (cam_layer='NAME') for Grad-CAM, or use pixel methods",
        )
    size = (int(probe.shape[2]), int(probe.shape[3]))
    try:
        with torch.no_grad(), capture(classifier, classifier.cam_layer) as captured:
            classifier.forward(probe)
        found = to_feature_map(captured.one(classifier.cam_layer), size)
    except SundogError as error:
        return Check(name, "fail", error.message, expected, "name another layer")
    rows, columns = found.shape[2:]
    coarse = min(rows, columns) < 3
    return Check(
        name,
        "warn" if coarse else "ok",
        f"{classifier.cam_layer!r}: {found.shape[1]} channels, {rows} x {columns} places",
        expected,
        "so coarse a map shows no place: name an earlier layer, or use larger images"
        if coarse
        else "",
    )


def _head(classifier: Classifier) -> Check:
    name, expected = "layers: head", "logits = W features + b"
    try:
        head = read_head(classifier)
    except SundogError as error:
        return Check(
            name,
            "warn",
            error.message,
            expected,
            "methods that fit the last layer again (dfr, afr, projection) cannot be used",
        )
    shape = " x ".join(str(side) for side in head.weight.shape)
    return Check(name, "ok", f"{head.layer!r}: {shape} weights", expected)


def dry_runs(classifier: Classifier, images: Images, methods: Sequence[str]) -> tuple[DryRun, ...]:
    """Run each method on one image, with few steps, and say how long its own steps would take.

    Args:
        classifier: in eval mode.
        images: ``float[n, 3, height, width]`` in [0, 1]; the first is used.
        methods: names.
    """
    image = images[:1].to(classifier.device)
    return tuple(_dry_run(classifier, image, method) for method in methods)


def _dry_run(classifier: Classifier, image: Images, method: str) -> DryRun:
    own = parameters_of(METHODS[method])
    fewer: dict[str, Any] = {
        key: value
        for key, value in FEWER.items()
        if isinstance(own.get(key), int) and own[key] > value
    }
    longer = max((own[key] / value for key, value in fewer.items()), default=1.0)

    def run(times: int) -> tuple[Maps, float]:
        began = time.perf_counter()
        more = {key: times * value for key, value in fewer.items()}
        found = attribute(classifier, image, method, **more)
        return found.maps, time.perf_counter() - began

    try:
        maps, seconds = run(1)
        if not bool(torch.isfinite(maps).all()):
            return DryRun(method, 0.0, "its map holds NaN or infinity")
        if seconds > SLOW:
            return DryRun(method, longer * seconds, "")
        # The first run of anything takes longer; what each step costs shows in two others.
        _, once = run(1)
        _, twice = run(2) if fewer else (maps, once)
    except SundogError as error:
        return DryRun(method, 0.0, error.message)
    except Exception as error:  # networks of others raise any kind
        return DryRun(method, 0.0, first_line(error))
    return DryRun(method, once + (longer - 1) * max(0.0, twice - once), "")


def method_check(runs: Sequence[DryRun], asked: Sequence[str]) -> Check:
    """Return the check of the methods.

    Args:
        runs: of every method that was tried.
        asked: methods that the long run will use.
    """
    works = [run for run in runs if not run.error]
    broken = [run for run in runs if run.error]
    needed = [run for run in broken if run.method in asked]
    text = ", ".join(f"{run.method} {duration(run.seconds)}" for run in works)
    if broken:
        text += "; not: " + "; ".join(f"{run.method} ({_short(run.error)})" for run in broken)
    return Check(
        "layers: methods",
        "fail" if needed and len(needed) == len(asked) else "warn" if needed else "ok",
        f"per image: {text}" if works else text,
        f"{len(asked)} asked for",
        f"leave out {', '.join(run.method for run in needed)} (--methods)" if needed else "",
    )


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _short(text: str) -> str:
    first = text.split(". ")[0]
    return first if len(first) <= 160 else first[:157] + "..."
