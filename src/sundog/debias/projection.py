"""Take the directions in which a cue moves the features out of them, then refit the head.

Both steps fold into one linear head: the network keeps its architecture.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from sundog.core.errors import InputError
from sundog.debias.head_fit import HeadFit
from sundog.debias.head_selection import no_selection
from sundog.debias.scaling import Scaling
from sundog.debias.softmax_regression import Penalty, softmax_regression
from sundog.models.feature_table import FeatureTable
from sundog.models.head import Head

SHARE = 0.95
"""Share of the squared differences that ``directions="auto"`` takes out, if it can be had with"""
MOST = 16
"""directions. Differences without a direction of their own (no shortcut) would take them all."""
FLOOR = 1e-3
"""Least spread of a projected feature, as a share of its spread before."""
_RANK = 1e-6


@dataclass(frozen=True, eq=False)
class CueDirections:
    """A subspace of the features, and the point to which it is pulled.

    ``projected = P f + (I - P) z`` with ``P = I - V V^T``.

    Attributes:
        vectors: ``float64[directions, features]``, orthonormal rows: V transposed.
        centre: ``float64[features]``, z, the mean of the features without the cue.
        shares: ``float64[directions]``, share of the squared paired differences along each
            direction, descending; their sum is what is taken out.
        pairs: number of pairs they were made from.
    """

    vectors: Float64[np.ndarray, "directions features"]
    centre: Float64[np.ndarray, "features"]
    shares: Float64[np.ndarray, "directions"]
    pairs: int

    def project(self, features: ArrayLike) -> Float64[np.ndarray, "images features"]:
        """Return features whose coordinates along the directions are those of the centre."""
        f = np.asarray(features, dtype=np.float64)
        projected: Float64[np.ndarray, "images features"] = (
            f - ((f - self.centre) @ self.vectors.T) @ self.vectors
        )
        return projected

    def fold(
        self, weight: ArrayLike, bias: ArrayLike
    ) -> tuple[Float64[np.ndarray, "classes features"], Float64[np.ndarray, "classes"]]:
        """Return the head on plain features that equals a head on projected ones.

        ``W' = W P``, ``b' = b + W (I - P) z``.
        """
        w = np.asarray(weight, dtype=np.float64)
        along = (w @ self.vectors.T) @ self.vectors
        return w - along, np.asarray(bias, dtype=np.float64) + along @ self.centre


def cue_directions(
    with_cue: FeatureTable,
    without_cue: FeatureTable,
    *,
    directions: int | Literal["auto"] = 8,
) -> CueDirections:
    """Return the leading right singular vectors of the paired feature differences.

    The differences are not centred: the mean shift that the cue causes is part of what is taken
    out.

    Args:
        with_cue: features of images with the cue.
        without_cue: features of the same images without it, row by row.
        directions: how many; ``auto``: as few as hold 95 % of the squared differences, 16 at
            most. Fewer are returned if the differences do not span as many, or the features
            have no more.

    Raises:
        InputError: tables of other images, no difference at all, or directions < 1.

    Source: Anders et al., 2022, Information Fusion, arXiv 1912.11425 (projective ClArC, with one
    direction).
    """
    if (
        with_cue.features.shape != without_cue.features.shape
        or with_cue.indices.tolist() != without_cue.indices.tolist()
    ):
        raise InputError(
            "with_cue and without_cue",
            expected="of the same images, row by row",
            got=f"{len(with_cue)} and {len(without_cue)} rows of other images or features",
            hint="Make both with masked_pairs.",
        )
    if directions != "auto" and directions < 1:
        raise InputError("directions", expected=">= 1 or 'auto'", got=str(directions))
    clean = without_cue.features.numpy().astype(np.float64)
    moved = with_cue.features.numpy().astype(np.float64) - clean
    # The eigenvectors of the d x d product are the singular vectors, at a cost linear in n.
    values, columns = np.linalg.eigh(moved.T @ moved)
    values, rows = values[::-1].clip(min=0), columns.T[::-1]
    total = float(values.sum())
    if not total > 0:
        raise InputError(
            "The pairs",
            expected="different in some feature",
            got=f"{len(moved)} pairs without a difference",
            hint="The network does not see this cue, or the edit does not change it: there is "
            "nothing to project out.",
        )
    shares = values / total
    rank = int((shares > _RANK**2).sum())
    wanted = directions
    if wanted == "auto":
        wanted = min(MOST, int(np.searchsorted(np.cumsum(shares), SHARE)) + 1)
    taken = min(wanted, rank, max(1, moved.shape[1] - 1))
    return CueDirections(
        vectors=rows[:taken].copy(),
        centre=clean.mean(axis=0),
        shares=shares[:taken].copy(),
        pairs=len(moved),
    )


def projection(
    table: FeatureTable,
    with_cue: FeatureTable,
    without_cue: FeatureTable,
    *,
    directions: int | Literal["auto"] = 8,
    strength: float = 0.01,
    penalty: Penalty = "l2",
    refit: bool = True,
    head: Head | None = None,
) -> HeadFit:
    """Project the cue's directions out of the features, then refit the head on training images.

    Needs no group labels and works when every training image carries the cue. Without the refit
    the old head meets features it was not made for and predictions drift to one class
    (worst-group accuracy .38 instead of .74 in a planted study): ``refit=False`` is for study.

    Args:
        table: features of the training images, labelled; unlabelled ones are left out. Either as
            they are, or with swapped cues, which also helps what the projection leaves over:
            ``masked_pairs(..., shown="swapped", limit=None).with_cue``.
        with_cue: see :func:`cue_directions`.
        without_cue: see :func:`cue_directions`.
        directions: how many to take out, or ``auto``.
        strength: C of the refit: ``sum CE + penalty(W) / C`` on standardised projected features.
        penalty: ``l2`` or ``l1``.
        refit: False keeps the old head.
        head: the old head; needed for ``refit=False``.

    Raises:
        InputError: a class without images, pairs of other images, or options out of range.

    Source: Anders et al., 2022, Information Fusion, arXiv 1912.11425; the refit is this package's.
    """
    begun = time.perf_counter()
    if not (np.isfinite(strength) and strength > 0):
        raise InputError("strength", expected="> 0", got=repr(strength))
    if with_cue.features.shape[1] != table.features.shape[1]:
        raise InputError(
            "The pairs",
            expected=f"with {table.features.shape[1]} features, as the table",
            got=str(with_cue.features.shape[1]),
        )
    space = cue_directions(with_cue, without_cue, directions=directions)
    warnings = []
    if directions != "auto" and len(space.vectors) < directions:
        warnings.append(
            f"The differences span {len(space.vectors)} directions, fewer than {directions}."
        )
    if refit:
        weight, bias, converged = _refitted(table, space, strength, penalty)
        if not converged:
            warnings.append("The refit stopped before it converged.")
    else:
        if head is None:
            raise InputError("head", expected="given with refit=False", got="None")
        weight, bias = space.fold(head.weight.numpy(), head.bias.numpy())
        warnings.append("Projection without a refit is for study: predictions drift to one class.")
    differ = with_cue.logits.argmax(dim=1) != without_cue.logits.argmax(dim=1)
    settings: dict[str, Any] = {
        "directions": len(space.vectors),
        "directions_asked": directions,
        "share_taken_out": float(space.shares.sum()),
        "pairs": space.pairs,
        "pairs_flipped_before": float(differ.double().mean()),
        "refit": refit,
        "strength": float(strength),
        "penalty": penalty,
        "images": int((table.labels >= 0).sum()),
    }
    return HeadFit(
        method="projection",
        weight=weight,
        bias=bias,
        settings=settings,
        selection=no_selection(),
        warnings=tuple(warnings),
        seconds=time.perf_counter() - begun,
    )


def _refitted(
    table: FeatureTable, space: CueDirections, strength: float, penalty: Penalty
) -> tuple[Float64[np.ndarray, "k d"], Float64[np.ndarray, "k"], bool]:
    labels = table.labels.numpy()
    keep, classes = labels >= 0, table.logits.shape[1]
    missing = np.flatnonzero(np.bincount(labels[keep], minlength=classes) == 0)
    if len(missing):
        raise InputError(
            "Every class", expected="with images", got=f"none of class {int(missing[0])}"
        )
    features = table.features.numpy()[keep]
    projected = space.project(features)
    before, after = Scaling.of(features), Scaling.of(projected)
    # What is left of a feature that lay in the subspace is rounding, which still knows the cue.
    scaling = Scaling(after.mean, np.maximum(after.spread, FLOOR * before.spread))
    found = softmax_regression(
        scaling.apply(projected),
        labels[keep],
        classes=classes,
        decay=1 / (strength * int(keep.sum())),
        penalty=penalty,
    )
    weight, bias = space.fold(*scaling.to_raw(found.weight, found.bias))
    return weight, bias, found.converged
