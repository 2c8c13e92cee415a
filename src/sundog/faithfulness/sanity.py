"""Model randomisation: an explanation of a network should change when its weights do.

A map that stays the same shows the image, not the classifier. High similarity after randomisation
is therefore bad; low similarity is necessary, not sufficient, for a good explanation.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from sundog.core.errors import UnknownNameError
from sundog.core.shapes import Images, Labels, Maps
from sundog.core.statistics import mean_interval
from sundog.faithfulness.perturbation import check_maps
from sundog.faithfulness.similarity import spearman, structural_similarity
from sundog.faithfulness.weights import How, randomise, weight_stages
from sundog.models.checks import check_images, resolve_target
from sundog.models.classifier import Classifier

Mode = Literal["cascading", "independent", "full"]
"""From the logits down and staying random, one stage at a time, or everything at once."""


@dataclass(frozen=True, eq=False)
class RandomisationCheck:
    """How alike the maps are before and after the weights became random.

    Attributes:
        scores: one row per stage and image: ``stage`` (1 = nearest the logits), ``layer`` (the
            layers made random at this stage), ``image`` (position in the batch), ``spearman``,
            ``spearman_abs``, ``ssim`` (NaN if a map is constant or not finite), and
            ``same_class``: whether the prediction survived.
        summary: per stage and similarity: mean, 95 % interval, ``n``, ``missing``.
        mode: cascading, independent or full.
        target: ``int64[batch]``, the class explained throughout: the original's prediction.
    """

    scores: pd.DataFrame
    summary: pd.DataFrame
    mode: Mode
    target: Labels

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the per-image scores."""
        return self.scores.copy()


def model_randomisation(
    classifier: Classifier,
    images: Images,
    explainer: Callable[[Classifier, Images, Labels], Maps],
    *,
    mode: Mode = "cascading",
    how: How = "normal",
    target: Labels | int | None = None,
    seed: int = 0,
) -> RandomisationCheck:
    """Compare the maps of the trained network with those of randomised copies.

    Args:
        classifier: in eval mode; it is never changed, a deep copy is.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        explainer: ``(classifier, images, target) -> float[batch, height, width]``.
        mode: ``cascading`` from the logits to the input, ``independent`` one stage at a time, or
            ``full``. A stage is a layer with weights and the norms that follow it.
        how: ``normal`` (mean and standard deviation of each tensor kept) or ``permute``.
        target: the class explained; None: the original's prediction, for all networks alike.
        seed: same seed, same random weights.

    Returns:
        Similarities per stage and image; 1 = the map did not notice. Lower is better. Cost: one
        explanation per stage and one for the original.

    Raises:
        UnknownNameError: unknown mode or ``how``. ModelStateError: train mode, or no weights.
        InputError: bad images, or maps of a wrong shape.

    Source: Adebayo et al., 2018, arXiv 1810.03292; criticism: Binder et al., 2022, 2211.12486.
    """
    if mode not in get_args(Mode):
        raise UnknownNameError("mode", mode, get_args(Mode))
    classifier.require_eval()
    check_images(images)
    logits = classifier.predict(images)
    classes = resolve_target(target, logits)
    original = check_maps(explainer(classifier, images, classes), images)
    stages = list(reversed(weight_stages(classifier, images[:1])))
    if mode == "full":
        stages = [tuple(name for stage in stages for name in stage)]
    weights = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    changed = copy.deepcopy(classifier)
    frames = []
    for number, layers in enumerate(stages, start=1):
        if mode == "independent":
            changed.load_state_dict(weights)
        randomise(changed, layers, how=how, seed=seed)
        maps = check_maps(explainer(changed, images, classes), images)
        same = changed.predict(images).argmax(dim=1) == logits.argmax(dim=1)
        frames.append(
            pd.DataFrame(
                {
                    "stage": number,
                    "layer": ", ".join(layers) if mode != "full" else "all",
                    "image": np.arange(len(images)),
                    "spearman": spearman(original, maps),
                    "spearman_abs": spearman(original, maps, absolute=True),
                    "ssim": structural_similarity(original, maps),
                    "same_class": same.cpu().numpy(),
                }
            )
        )
    scores = pd.concat(frames, ignore_index=True)
    return RandomisationCheck(scores, _summary(scores), mode, classes)


def _summary(scores: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (stage, layer), part in scores.groupby(["stage", "layer"], sort=False):
        for name in ("spearman", "spearman_abs", "ssim"):
            values = part[name].dropna().to_numpy(dtype=np.float64)
            estimate = mean_interval(values)
            rows.append(
                {
                    "stage": stage,
                    "layer": layer,
                    "similarity": name,
                    "mean": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                    "n": estimate.n,
                    "missing": len(part) - estimate.n,
                    "same_class": float(part["same_class"].mean()),
                }
            )
    return pd.DataFrame(rows)
