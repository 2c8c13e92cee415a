"""Automatic feature reweighting: a head refit that leans on images the classifier gets wrong."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike
from scipy import special

from sundog.core.errors import InputError
from sundog.core.progress import track
from sundog.debias.head_fit import HeadFit
from sundog.debias.head_selection import Judged, Validation, choose
from sundog.debias.near_head import start_of
from sundog.debias.softmax_regression import softmax_regression
from sundog.models.feature_table import FeatureTable
from sundog.models.head import Head

GAMMAS = (1.0, 2.0, 4.0, 8.0, 12.0)
PULLS = (0.3, 0.1, 0.03, 0.01)
_TOLERANCE = 1e-4


def afr(
    table: FeatureTable,
    head: Head,
    *,
    validation: FeatureTable,
    validation_groups: ArrayLike | None = None,
    gammas: Sequence[float] = GAMMAS,
    pulls: Sequence[float] = PULLS,
    progress: bool | None = None,
) -> HeadFit:
    """Refit the head with weights ``mu_i ∝ beta_y exp(-gamma p_i(y))`` near the old one.

    ``beta_y`` is one over the number of images of the class, p_i(y) the classifier's probability
    of the label, and the objective ``sum mu_i CE_i + pull * ||theta - theta_0||²`` (weights and
    bias, on standardised features), solved exactly for every gamma and pull. The old head is a
    candidate, too: on the validation images nothing gets worse.

    Images that the network has fitted are all right and tell nothing: use images it was not
    trained on (the paper holds out 20 %). Guesses groups from errors: on a hard task errors are
    not the minority group, and little is gained.

    Args:
        table: held-out labelled images; unlabelled ones are left out.
        head: of the classifier that made the table.
        validation: other labelled images, on which gamma and pull are chosen.
        validation_groups: ``int64[images]``, -1 = unknown; None: chosen by the worst class.
        gammas: candidates, >= 0, ascending; 0 weights by class alone.
        pulls: candidates, > 0, the strongest first.
        progress: show progress; None = on a terminal.

    Returns:
        The head; ``settings["effective_size"]`` says how many equally weighted images the weights
        are worth.

    Raises:
        InputError: a class without images, a head of other features, or options out of range.

    Source: Qiu, Potapczynski, Izmailov & Wilson, 2023, ICML, arXiv 2306.11074.
    """
    begun = time.perf_counter()
    for name, values, low in (("gammas", gammas, 0.0), ("pulls", pulls, 1e-300)):
        if not values or not all(np.isfinite(v) and v >= low for v in values):
            raise InputError(
                name, expected=f"finite and >{'=' if low == 0 else ''} 0", got="others"
            )
    labels = table.labels.numpy()
    keep = labels >= 0
    y, classes = labels[keep], table.logits.shape[1]
    scaling, centre = start_of(head, table)
    x = scaling.apply(table.features.numpy()[keep])
    log_p = special.log_softmax(table.logits.numpy()[keep].astype(np.float64), axis=1)
    own = np.exp(log_p[np.arange(len(y)), y])
    judge = Validation(validation, validation_groups)
    candidates: list[dict[str, Any]] = [{"gamma": None, "pull": None}]
    heads = [(head.weight.numpy().astype(np.float64), head.bias.numpy().astype(np.float64))]
    judged: list[Judged] = [judge.judge(*heads[0])]
    sizes = [float(len(y))]
    for gamma in track(gammas, description="afr", total=len(gammas), visible=progress):
        weights = afr_weights(own, y, classes=classes, gamma=gamma)
        start = centre
        for pull in pulls:
            found = softmax_regression(
                x,
                y,
                classes=classes,
                decay=2 * pull,
                sample_weight=weights,
                centre=centre,
                start=start,
                tolerance=_TOLERANCE,
            )
            start = (found.weight, found.bias)
            heads.append(scaling.to_raw(*start))
            judged.append(judge.judge(*heads[-1]))
            candidates.append({"gamma": float(gamma), "pull": float(pull)})
            sizes.append(float(1 / (weights**2).sum()))
    best, selection = choose(candidates, judged)
    warnings = []
    if best == 0:
        warnings.append(
            "No candidate was better on the validation images: the head is the old one."
        )
    if judge.smallest < 30:
        warnings.append(
            f"The smallest validation {judge.by.removeprefix('worst ')} has {judge.smallest} "
            "images: the choice is partly luck."
        )
    return HeadFit(
        method="afr",
        weight=heads[best][0],
        bias=heads[best][1],
        settings={
            **candidates[best],
            "changed": best > 0,
            "chosen_by": judge.by,
            "effective_size": sizes[best],
            "images": len(y),
            "left_out": len(table) - len(y),
        },
        selection=selection,
        warnings=tuple(warnings),
        seconds=time.perf_counter() - begun,
    )


def afr_weights(
    own_probability: ArrayLike, labels: ArrayLike, *, classes: int, gamma: float
) -> Float64[np.ndarray, "images"]:
    """Return ``mu_i ∝ beta_y exp(-gamma p_i(y))`` with ``beta_y = 1 / n_y``, sum 1.

    Args:
        own_probability: ``[images]``, probability of the label, in [0, 1].
        labels: ``[images]`` in 0..classes-1.
        classes: number of classes.
        gamma: >= 0; larger leans more on images that are wrong.

    Raises:
        InputError: a class without images.
    """
    p, y = np.asarray(own_probability, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    counts = np.bincount(y, minlength=classes)
    if not counts.all():
        raise InputError(
            "Every class",
            expected="with images",
            got=f"none of class {int(np.flatnonzero(counts == 0)[0])}",
        )
    raw = np.exp(-gamma * p) / counts[y]
    weights: Float64[np.ndarray, "images"] = raw / raw.sum()
    return weights
