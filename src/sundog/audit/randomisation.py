"""Do the maps notice that the network's weights were replaced? One row per method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from torch import Tensor

from sundog.audit.subject import Subject, spread
from sundog.explain.attribute import attribute
from sundog.faithfulness.sanity import model_randomisation
from sundog.models.classifier import Classifier

Methods = Mapping[str, tuple[str, Mapping[str, Any]]]


def randomise_methods(
    subject: Subject, methods: Methods, *, count: int, seed: int = 0
) -> pd.DataFrame:
    """Compare each method's maps with those of a copy of the network with random weights.

    All weights are replaced at once (``model_randomisation(mode="full")``); images are spread over
    the set, so that every class is seen. A method that explains no class (attention rollout) is
    compared as it is.

    Args:
        subject: images and classifier.
        methods: label -> (name, parameters).
        count: images to use, at least 1.
        seed: of the random weights.

    Returns:
        One row per method and similarity (``spearman_abs``, ``ssim``): ``mean``, ``low``, ``high``,
        ``n``. 1 = the map did not notice; lower is better.

    Raises:
        ModelStateError: a network without weights of its own (ONNX).
    """
    images = _images(subject, count)
    rows = []
    for label, (name, given) in methods.items():

        def explain(
            classifier: Classifier,
            batch: Tensor,
            target: Tensor,
            *,
            name: str = name,
            given: Mapping[str, Any] = given,
        ) -> Tensor:
            return attribute(classifier, batch, name, target=target, **given).maps

        found = model_randomisation(subject.classifier, images, explain, mode="full", seed=seed)
        kept = found.summary[found.summary["similarity"].isin(["spearman_abs", "ssim"])]
        rows.append(kept.assign(method=label))
    table = pd.concat(rows, ignore_index=True)
    return table[["method", "similarity", "mean", "low", "high", "n", "missing"]]


def _images(subject: Subject, count: int) -> Tensor:
    chosen = spread(len(subject.image_set), count)
    part = subject.image_set.subset(chosen)
    batch = next(part.batches(size=subject.size, batch_size=len(chosen), resize=subject.resize))
    return batch.images.to(subject.classifier.device)
