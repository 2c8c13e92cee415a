"""When neither another order nor another normalisation alone helps: both may be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int64

from sundog.audit.doctor_labels import order_fix
from sundog.audit.doctor_normalisation import normalisation_fix
from sundog.audit.doctor_result import Check
from sundog.core.shapes import Images
from sundog.models.classifier import Classifier
from sundog.models.label_order import OrderTest, check_label_order
from sundog.models.normalisations import (
    Normalisation,
    has_colour,
    other_normalisations,
    seen_as,
)
from sundog.models.sample_logits import sample_logits

SEARCHED = 128
"""Images on which every normalisation is tried with every order."""


def both_wrong(
    classifier: Classifier,
    images: Images,
    labels: Int64[np.ndarray, "n"],
    *,
    columns: Sequence[int],
    names: Sequence[str],
    model: object,
    alpha: float = 0.01,
    seed: int = 0,
) -> tuple[Check, ...]:
    """Return a failed check if another order explains the predictions when fed otherwise.

    Returns:
        One check, or none if nothing was found.

    Args:
        classifier: in eval mode.
        images: ``float[n, 3, height, width]`` in [0, 1].
        labels: class of each image in 0..k - 1, -1 = unlabelled.
        columns: the network's output of each class.
        names: of the classes.
        model: what was opened, for the advice.
        alpha: of the claim, corrected for the number of normalisations.
        seed: of every draw.
    """
    known = np.flatnonzero(labels >= 0)[:: max(1, int((labels >= 0).sum()) // SEARCHED)]
    whole, ways = (
        classifier.with_classes(None, None),
        other_normalisations(classifier, colour=has_colour(images)),
    )
    found: list[tuple[Normalisation, OrderTest]] = []
    for way in ways:
        logits = sample_logits(
            whole,
            images[torch.from_numpy(known)],
            change=lambda part, way=way: seen_as(whole, part, way),  # type: ignore[misc]
        )
        test = check_label_order(
            logits.numpy(),
            labels[known],
            columns=columns,
            names=names,
            alpha=alpha / len(ways),
            seed=seed,
        )
        if test.best is not None:
            found.append((way, test))
    if not found:
        return ()
    way, test = max(found, key=lambda pair: _accuracy(pair[1]))
    best = test.best
    if best is None:
        return ()
    best = replace(best, adjusted=min(1.0, best.adjusted * len(ways)))
    gain = best.difference
    check = Check(
        "normalisation: with order",
        "fail",
        f"with {way.words} and another order of the classes ({best.words}) accuracy is "
        f"{best.accuracy.value:.1%} instead of {best.accuracy.value - gain.value:.1%}; difference "
        f"{100 * gain.value:+.1f} points [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}] "
        f"(n = {gain.n}), p = {best.adjusted:.2g}",
        "neither",
        f"{normalisation_fix(way, model)} {order_fix(best, columns, names)}",
        {"accuracy with both": best.accuracy, "difference": gain},
    )
    return (check,)


def _accuracy(test: OrderTest) -> float:
    return test.best.accuracy.value if test.best is not None else 0.0
