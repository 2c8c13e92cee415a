"""Would the classifier be right more often if it were fed otherwise?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.seeds import generator
from sundog.core.shapes import Images
from sundog.core.statistics import Estimate, holm, paired_proportions, wilson_interval
from sundog.models.batch_norm_fit import Fit
from sundog.models.classifier import Classifier
from sundog.models.normalisations import Normalisation, seen_as
from sundog.models.sample_logits import sample_logits

SCREENED = 64
"""Images on which every way is tried first."""


@dataclass(frozen=True)
class NormalisationTrial:
    """One other way to feed the network, tried.

    Attributes:
        normalisation: the way.
        accuracy: share right, on the images that it was tried on.
        difference: its accuracy minus that as given, same images; > 0: this way is better.
        p_value: McNemar's exact test; 1 if it was given up after the first images.
        adjusted: after Holm over all ways.
        complete: whether it was tried on all images: not one that was no better on the first.
    """

    normalisation: Normalisation
    accuracy: Estimate
    difference: Estimate
    p_value: float
    adjusted: float
    complete: bool


@dataclass(frozen=True)
class NormalisationTest:
    """Accuracy as given, and of every other way.

    Attributes:
        accuracy: as given.
        trials: one per way.
        best: the way to take; None if none is significantly better.
    """

    accuracy: Estimate
    trials: tuple[NormalisationTrial, ...]
    best: NormalisationTrial | None


def compare_normalisations(
    classifier: Classifier,
    images: Images,
    labels: Int64[np.ndarray, "images"],
    right: Bool[np.ndarray, "images"],
    others: Sequence[Normalisation],
    *,
    columns: Sequence[int],
    fits: Sequence[Fit] = (),
    alpha: float = 0.01,
    seed: int = 0,
) -> NormalisationTest:
    """Compare the accuracy of every way to feed the network with that as given.

    All ways are tried on the first images of a random order; one that gains nothing there is given
    up and counts as not better. The others, and the one that the first batch norm likes best, are
    tried on all. McNemar's exact test on the same
    images, Holm over all ways, given up or not.

    Args:
        classifier: in eval mode, with all of its network's outputs.
        images: ``float[n, 3, height, width]`` in [0, 1], all labelled.
        labels: class of each image.
        right: whether each image is right as given.
        others: ways to try.
        columns: the network's output of each class.
        fits: how well each way fits the first batch norm: among ways that are equally right the
            one that fits best is taken.
        alpha: a way is better only if its adjusted p-value is at most this.
        seed: of the order.

    Raises:
        InputError: lengths that differ.
    """
    n = len(images)
    if not len(labels) == len(right) == n:
        raise InputError("labels", expected=f"one per image ({n})", got=str(len(labels)))
    wanted = {min(fits, key=lambda fit: fit.divergence).normalisation.name} if fits else set()
    order = torch.randperm(n, generator=generator(seed, "normalisation"))
    first, rest = order[:SCREENED], order[SCREENED:]
    chosen = list(columns)

    def hits(rows: Tensor, way: Normalisation) -> Bool[np.ndarray, "rows"]:
        logits = sample_logits(
            classifier, images[rows], change=lambda part: seen_as(classifier, part, way)
        )
        return logits[:, chosen].argmax(dim=1).numpy() == labels[rows.numpy()]

    made = []
    for way in others:
        rows, ours = first, hits(first, way)
        gains = int(ours.sum()) > int(right[rows.numpy()].sum())
        complete = len(rest) == 0 or gains or way.name in wanted
        if complete and len(rest):
            rows, ours = order, np.concatenate([ours, hits(rest, way)])
        pair = paired_proportions(ours, right[rows.numpy()])
        made.append((way, ours, pair, complete))
    adjusted = holm([pair.p_value if complete else 1.0 for _, _, pair, complete in made])
    trials = tuple(
        NormalisationTrial(
            normalisation=way,
            accuracy=wilson_interval(int(ours.sum()), ours.size),
            difference=pair.difference,
            p_value=pair.p_value if complete else 1.0,
            adjusted=float(p),
            complete=complete,
        )
        for (way, ours, pair, complete), p in zip(made, adjusted, strict=True)
    )
    return NormalisationTest(
        accuracy=wilson_interval(int(right.sum()), n),
        trials=trials,
        best=_best(trials, fits, alpha),
    )


def _best(
    trials: Sequence[NormalisationTrial], fits: Sequence[Fit], alpha: float
) -> NormalisationTrial | None:
    better = [t for t in trials if t.adjusted <= alpha and t.difference.low > 0]
    if not better:
        return None
    top = max(better, key=lambda t: t.accuracy.value)
    known = {fit.normalisation.name: fit.divergence for fit in fits}
    # As right as the best, as far as these images can tell.
    equal = [t for t in better if t.accuracy.value >= top.accuracy.low]
    return min(equal, key=lambda t: (known.get(t.normalisation.name, 0.0), -t.accuracy.value))
