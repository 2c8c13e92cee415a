"""Deletion and insertion of each attribution method, on images with the cue and without it."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.planted.loading import open_setting, read_images
from benchmarks.planted.numbers import finite
from benchmarks.planted.planted_images import with_cue, without_cue
from benchmarks.planted.score import PLACED
from benchmarks.planted.settings import Setting
from sundog.data.sampling import balanced_sample
from sundog.explain.attribute import attribute
from sundog.explain.attribution import Attribution
from sundog.faithfulness.run import evaluate_faithfulness
from sundog.models.classifier import Classifier

METHODS = (
    "gradient_norm",
    "gradient_x_input",
    "integrated_gradients",
    "deep_lift",
    "occlusion",
    "grad_cam",
)
IMAGES = 60
EXPLAINED = {
    "digits": ("patch", "border"),
    "photographs": ("patch", "text"),
    "imagenette": ("patch",),
}
"""Data set -> cues of the settings whose classifiers are explained."""
METRICS = ("deletion", "insertion", "pointing_game", "mass_lift")


def wants_explanations(setting: Setting) -> bool:
    """Return whether the maps of this setting are scored."""
    return not setting.control and setting.cue in EXPLAINED.get(setting.data, ())


def score_maps(setting: Setting, folder: Path, imagenette: Path | None) -> dict[str, Any]:
    """Return mean scores of each method: with each image's own class's cue, and without any."""
    begun = time.process_time()
    loaded = open_setting(setting, folder, imagenette, limit=1)
    held_out = loaded.data.held_out
    chosen = balanced_sample(held_out.labels, held_out.ids, limit=IMAGES, seed=setting.seed)
    part = held_out.subset(chosen)
    cue = with_cue(setting, loaded.data, part, part.labels)
    found: dict[str, Any] = {"setting": setting.to_dict(), "images": len(part)}
    for name, shown in (("with", cue), ("without", without_cue(part))):
        pixels = read_images(shown.images, loaded.data)
        masks = None
        if shown.masks is not None and setting.cue in PLACED:
            places = shown.masks(np.arange(len(part))).numpy()
            masks = dict(zip(shown.images.ids, places, strict=True))
        found[name] = _scores(loaded.classifier, pixels, shown.images.ids, masks, setting.seed)
    found["seconds"] = round(time.process_time() - begun, 2)
    return found


def _scores(
    classifier: Classifier,
    images: Tensor,
    ids: tuple[str, ...],
    masks: dict[str, np.ndarray] | None,
    seed: int,
) -> list[dict[str, Any]]:
    """Return a row per metric and method; controls (random, centre, edge) are among them."""

    def explain(given: Tensor, *, method: str) -> Attribution:
        return attribute(classifier, given, method)

    table = evaluate_faithfulness(
        classifier,
        [(images[i : i + 20], ids[i : i + 20]) for i in range(0, len(ids), 20)],
        {method: partial(explain, method=method) for method in METHODS},
        metrics=METRICS if masks is not None else METRICS[:2],
        masks=masks,
        permutations=99,
        seed=seed,
    )
    columns = ["metric", "fill", "method", "control", "n", "mean", "low", "high"]
    rows = table.summary[columns].to_dict("records")
    return [
        {str(k): finite(v) if isinstance(v, float) else _plain(v) for k, v in row.items()}
        for row in rows
    ]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
