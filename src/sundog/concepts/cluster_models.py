"""Two ways to find groups in feature vectors, and how much a vector belongs to each group."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.optimize import nnls

from sundog.core.errors import InputError
from sundog.core.seeds import derive_seed

Vectors = Float32[np.ndarray, "images features"]
Shares = Float32[np.ndarray, "images groups"]
_DECIMALS = 6


class GroupModel(Protocol):
    """Groups that were found: one row of ``centres`` each."""

    @property
    def centres(self) -> Float64[np.ndarray, "groups features"]:
        """One row per group."""

    def shares(self, vectors: Vectors) -> Shares:
        """Return how much each vector belongs to each group, in [0, 1]."""


@dataclass(frozen=True, eq=False)
class KMeansGroups:
    """Spherical k-means: groups of directions.

    Attributes:
        centres: means of unit vectors.
        spread: mean squared distance of the unit vectors to their centre.
    """

    centres: Float64[np.ndarray, "groups features"]
    spread: float

    def shares(self, vectors: Vectors) -> Shares:
        """Return ``exp(-|u - c|^2 / (s / 4))``, normalised over the groups; NaN for a zero vector.

        u is the unit vector, c a centre and s the spread: a point whose squared distances to two
        centres differ by the spread / 4 belongs to the nearer one by e to 1.
        """
        units = unit_vectors(vectors)
        distances = np.square(units).sum(axis=1)[:, None] - 2 * units @ self.centres.T
        distances += np.square(self.centres).sum(axis=1)
        exponent = -distances / (self.spread / 4)
        exponent -= exponent.max(axis=1, keepdims=True)
        weights = np.exp(exponent)
        return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class NmfGroups:
    """Non-negative matrix factorisation: parts whose sum makes up the vectors.

    Attributes:
        centres: parts, each of length 1.
    """

    centres: Float64[np.ndarray, "groups features"]

    def shares(self, vectors: Vectors) -> Shares:
        """Return the weights w >= 0 that minimise ``|u - w H|``, divided by their sum.

        Solved for each vector alone (Lawson & Hanson's active set). A vector that no part can make
        up has 0 everywhere; a zero vector NaN.
        """
        units = unit_vectors(vectors)
        found = np.full((len(units), len(self.centres)), np.nan)
        for row, unit in enumerate(units):
            if not np.isnan(unit).any():
                weights, _ = nnls(self.centres.T, unit)
                found[row] = weights / max(weights.sum(), np.finfo(np.float64).tiny)
        return found.astype(np.float32)


def unit_vectors(vectors: Vectors) -> Float64[np.ndarray, "images features"]:
    """Return the vectors with length 1, NaN for zero vectors."""
    wide = vectors.astype(np.float64)
    length = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    return np.divide(wide, length, out=np.full_like(wide, np.nan), where=length > 0)


def find_groups(vectors: Vectors, *, method: str, groups: int, seed: int) -> GroupModel:
    """Find groups in vectors, the largest first; centres are rounded to 6 decimals.

    Args:
        vectors: at least one per group; zero vectors are left out.
        method: ``kmeans`` or ``nmf``.
        groups: >= 2.
        seed: of the start.

    Raises:
        InputError: fewer distinct vectors than groups; negative numbers for ``nmf``.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    units = unit_vectors(vectors)
    units = units[~np.isnan(units).any(axis=1)]
    distinct = len(np.unique(units.round(_DECIMALS), axis=0))
    if distinct < groups:
        raise InputError(
            "clusters",
            expected=f"at most the number of different feature vectors ({distinct})",
            got=str(groups),
        )
    state = derive_seed(seed, "clusters", method) % 2**32
    if method == "nmf":
        if units.min() < 0:
            raise InputError(
                "Features for method 'nmf'",
                expected=">= 0",
                got="negative ones",
                hint="Use method='kmeans'.",
            )
        parts = NMF(groups, init="nndsvda", random_state=state, max_iter=500, tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # parts are parts all the same
            found = parts.fit(units).components_
        lengths = np.sqrt(np.square(found).sum(axis=1, keepdims=True))
        made = NmfGroups(np.round(found / np.maximum(lengths, 1e-12), _DECIMALS))
        return NmfGroups(made.centres[_largest_first(made, units)])
    model = KMeans(groups, n_init=4, random_state=state).fit(units)
    centres = np.round(model.cluster_centers_, _DECIMALS)
    nearest = np.square(units - centres[model.labels_]).sum(axis=1)
    spread = max(float(np.round(nearest.mean(), 9)), 1e-9)
    order = _largest_first(KMeansGroups(centres, spread), units)
    return KMeansGroups(centres[order], spread)


def _largest_first(
    model: GroupModel, units: Float64[np.ndarray, "images features"]
) -> Int64[np.ndarray, "groups"]:
    sizes = np.nansum(model.shares(units.astype(np.float32)), axis=0)
    return np.argsort(-sizes.round(3), kind="stable")
