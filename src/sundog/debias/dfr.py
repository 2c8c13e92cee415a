"""Deep feature reweighting: a new head from a small set of images with all groups equally large."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike

from sundog.core.errors import InputError
from sundog.core.progress import track
from sundog.core.seeds import derive_seed
from sundog.debias.head_fit import HeadFit
from sundog.debias.head_selection import Judged, check_groups, choose, judge, no_selection
from sundog.debias.scaling import Scaling
from sundog.debias.softmax_regression import Penalty, softmax_regression
from sundog.models.feature_table import FeatureTable

STRENGTHS = (0.01, 0.03, 0.07, 0.1, 0.3, 0.7, 1.0)
"""Values of C that are compared, the most cautious first."""
FIXED_STRENGTH = 0.3
TUNE_FROM = 50
"""Images per group from which C is chosen; fewer make the choice a matter of luck."""
ENOUGH = 90
"""Images per group that were found to be needed for most of the gain."""
REFITS = 20
REFITS_AT_LEAST = 5
REFIT_IMAGES = 40_000
"""Images in all subsets together, beyond which fewer are drawn: large ones hardly differ."""
_TOLERANCE = 1e-4
_TUNING_TOLERANCE = 1e-3


def dfr(
    table: FeatureTable,
    groups: ArrayLike,
    *,
    group_names: Sequence[str] | None = None,
    train: FeatureTable | None = None,
    strength: float | None = None,
    strengths: Sequence[float] = STRENGTHS,
    penalty: Penalty = "l1",
    refits: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> HeadFit:
    """Refit the head on held-out images in which every group counts the same.

    Features are standardised. C is chosen by the worst group on one half of the images, after a
    fit on the other half (groups split alike); below 50 images in the smallest group it stays at
    0.3. Then ``refits`` random subsets, each with as many images of every group as the smallest
    has, are fitted with ``sum CE + penalty(W) / C`` and the heads averaged.

    Args:
        table: images that the network was not trained on, with labels.
        groups: ``int64[images]``, label x attribute; -1 = unknown, left out.
        group_names: one per group; a group of it without images is refused. None: the groups
            from 0 to the largest number.
        train: the training images, for mean and spread of the features; None: those of ``table``.
        strength: C, > 0; None: chosen.
        strengths: what C is chosen from, the most cautious first.
        penalty: ``l1`` (the paper's) or ``l2``.
        refits: >= 1; None: 20, and fewer (5 at least) for subsets of over 2,000 images.
        seed: of the half split and the subsets.
        progress: show progress; None = on a terminal.

    Returns:
        The averaged head; images per group are in ``settings["group_counts"]``.

    Raises:
        InputError: an empty group, a class without images, or options out of range.

    Source: Kirichenko, Izmailov & Wilson, 2023, ICLR, arXiv 2204.02937.
    """
    begun = time.perf_counter()
    if refits is not None and refits < 1:
        raise InputError("refits", expected=">= 1", got=str(refits))
    for value in (*strengths, *(() if strength is None else (strength,))):
        if not (np.isfinite(value) and value > 0):
            raise InputError("strength", expected="> 0", got=repr(value))
    x, y, g, counts = _usable(table, groups, group_names)
    scaling = Scaling.of((train or table).features.numpy())
    x = scaling.apply(x)
    classes = table.logits.shape[1]
    smallest = min(counts.values())
    warnings = _warnings(counts)
    selection = no_selection()
    chosen, how = strength, "given"
    if chosen is None and smallest < TUNE_FROM:
        chosen, how = FIXED_STRENGTH, f"fixed: a group has fewer than {TUNE_FROM} images"
    if chosen is None:
        chosen, selection = _tune(x, y, g, classes, strengths, penalty, seed)
        how = "worst group of one half"
    # Groups of one size leave one subset: all images.
    rounds = refits
    if rounds is None:
        subset = smallest * len(counts)
        rounds = min(REFITS, max(REFITS_AT_LEAST, REFIT_IMAGES // subset))
    rounds = rounds if len(set(counts.values())) > 1 else 1
    fits: list[tuple[np.ndarray, np.ndarray]] = []
    start: tuple[np.ndarray, np.ndarray] | None = None
    unfinished = 0
    for number in track(range(rounds), description="dfr", total=rounds, visible=progress):
        rows = balanced_subset(g, seed=derive_seed(seed, "dfr", number))
        found = softmax_regression(
            x[rows],
            y[rows],
            classes=classes,
            decay=1 / (chosen * len(rows)),
            penalty=penalty,
            start=start,
            tolerance=_TOLERANCE,
        )
        unfinished += not found.converged
        fits.append((found.weight, found.bias))
        start = fits[0]
    if unfinished:
        warnings.append(f"{unfinished} of {rounds} refits stopped before they converged.")
    weight, bias = scaling.to_raw(
        np.mean([w for w, _ in fits], axis=0), np.mean([b for _, b in fits], axis=0)
    )
    settings: dict[str, Any] = {
        "strength": float(chosen),
        "strength_from": how,
        "penalty": penalty,
        "refits": rounds,
        "seed": seed,
        "group_counts": counts,
        "images_per_group": smallest,
        "left_out": len(table) - len(y),
        "standardised_by": "train" if train is not None else "the same images",
    }
    return HeadFit(
        method="dfr",
        weight=weight,
        bias=bias,
        settings=settings,
        selection=selection,
        warnings=tuple(warnings),
        seconds=time.perf_counter() - begun,
    )


def balanced_subset(
    groups: Int64[np.ndarray, "images"], *, seed: int
) -> Int64[np.ndarray, "chosen"]:
    """Return as many random positions of each group as the smallest group has, ascending."""
    found, counts = np.unique(groups, return_counts=True)
    rng = np.random.default_rng(seed)
    parts = [rng.permutation(np.flatnonzero(groups == group))[: counts.min()] for group in found]
    return np.sort(np.concatenate(parts))


def _usable(
    table: FeatureTable, groups: ArrayLike, group_names: Sequence[str] | None
) -> tuple[np.ndarray, np.ndarray, Int64[np.ndarray, "images"], dict[str, int]]:
    given, labels = check_groups(groups, len(table)), table.labels.numpy()
    keep = (labels >= 0) & (given >= 0)
    if not keep.any():
        raise InputError(
            "groups", expected="known for some labelled images", got=f"0 of {len(table)}"
        )
    g, y = given[keep], labels[keep]
    names = list(group_names) if group_names is not None else [str(i) for i in range(g.max() + 1)]
    if g.max() >= len(names):
        raise InputError(
            "groups", expected=f"below {len(names)}, the group names", got=str(g.max())
        )
    sizes = np.bincount(g, minlength=len(names)).tolist()
    counts = dict(zip(names, sizes, strict=True))
    empty = [name for name, n in counts.items() if not n]
    if empty:
        raise InputError(
            "Every group",
            expected="with at least one image, to be balanced",
            got=f"none in {', '.join(empty[:5])}",
            hint="Add such images, or use a method that needs pairs or masks: projection or cue "
            "augmentation.",
        )
    present = np.bincount(y, minlength=table.logits.shape[1])
    missing = np.flatnonzero(present == 0)
    if len(missing):
        raise InputError(
            "Every class", expected="with images", got=f"none of class {int(missing[0])}"
        )
    return table.features.numpy()[keep], y, g, counts


def _tune(
    x: Float64[np.ndarray, "n d"],
    y: Int64[np.ndarray, "n"],
    g: Int64[np.ndarray, "n"],
    classes: int,
    strengths: Sequence[float],
    penalty: Penalty,
    seed: int,
) -> tuple[float, pd.DataFrame]:
    """Return the strength with the best worst group on the half that was not fitted."""
    rng = np.random.default_rng(derive_seed(seed, "dfr halves"))
    first = np.zeros(len(g), dtype=bool)
    for group in np.unique(g):
        members = rng.permutation(np.flatnonzero(g == group))
        first[members[: len(members) // 2]] = True
    rows = np.flatnonzero(first)[balanced_subset(g[first], seed=derive_seed(seed, "dfr tuning"))]
    judged: list[Judged] = []
    start: tuple[np.ndarray, np.ndarray] | None = None
    for strength in strengths:
        found = softmax_regression(
            x[rows],
            y[rows],
            classes=classes,
            decay=1 / (strength * len(rows)),
            penalty=penalty,
            start=start,
            tolerance=_TUNING_TOLERANCE,
        )
        start = (found.weight, found.bias)
        judged.append(judge(x[~first] @ found.weight.T + found.bias, y[~first], g[~first]))
    best, table = choose([{"strength": float(s)} for s in strengths], judged)
    return float(strengths[best]), table


def _warnings(counts: dict[str, int]) -> list[str]:
    few = [f"{name} ({n})" for name, n in counts.items() if n < ENOUGH]
    if not few:
        return []
    shown = ", ".join(few[:6]) + (", ..." if len(few) > 6 else "")
    return [
        f"{len(few)} of {len(counts)} groups have fewer than {ENOUGH} images: {shown}. "
        "With 20 per group about half of the gain is kept."
    ]
