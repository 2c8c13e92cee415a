"""Fitting a mixture of Gaussians without labels: expectation maximisation from k-means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from sundog.core.progress import track
from sundog.core.seeds import derive_seed
from sundog.risk.gaussian import BLOCK, Gaussians, Member, Shrinkage, fit_gaussians

STEPS = 100
TOLERANCE = 1e-4
"""Gain of mean log-likelihood per step and feature, in nats, below which the fit ends."""
LEAST_SHARE = 1e-6
"""Rows that belong to a component by less are left out of it."""
LEAST_ROWS = 2.0
"""A component that holds less than this many rows is dropped."""


@dataclass(frozen=True, eq=False)
class MixtureFit:
    """A fitted mixture.

    Attributes:
        gaussians: the components that remain.
        log_likelihood: mean over the rows, in nats.
        steps: of expectation maximisation.
        bic: ``-2 n log_likelihood + p log n``, p the free parameters; lower is better.
    """

    gaussians: Gaussians
    log_likelihood: float
    steps: int
    bic: float


def fit_mixture(
    rows: Float64[Tensor, "rows features"],
    *,
    components: int,
    tied: bool,
    shrinkage: Shrinkage = "ledoit-wolf",
    seed: int = 0,
) -> MixtureFit:
    """Fit ``p(x) = sum_c pi_c N(x; mu_c, Sigma_c)`` by expectation maximisation.

    Begins at k-means clusters. Covariances are shrunk in every step, so that components with
    fewer rows than dimensions stay proper. Without shrinkage this is the usual algorithm.

    Args:
        rows: finite, at least two of them different.
        components: at most the number of distinct rows.
        tied: one covariance for all components.
        shrinkage: as for :func:`sundog.risk.gaussian.fit_gaussians`.
        seed: of k-means.

    Raises:
        InputError: all rows are equal.

    Source:
        Dempster, Laird & Rubin, 1977, JRSS B 39; BIC: Schwarz, 1978, Ann. Stat. 6.
    """
    members = _clusters(rows, components, seed=seed)
    before, steps = -np.inf, 0
    while True:
        gaussians = fit_gaussians(rows, members, tied=tied, shrinkage=shrinkage)
        responsibilities, likelihood = expectation(rows, gaussians)
        steps += 1
        if likelihood - before < TOLERANCE * rows.shape[1] or steps == STEPS:
            break
        before = likelihood
        members = memberships(responsibilities)
    count, size = len(gaussians.means), rows.shape[1]
    covariances = len(gaussians.whiteners)
    free = count - 1 + count * size + covariances * size * (size + 1) // 2
    bic = -2 * len(rows) * likelihood + free * float(np.log(len(rows)))
    return MixtureFit(gaussians=gaussians, log_likelihood=likelihood, steps=steps, bic=bic)


def choose_mixture(
    rows: Float64[Tensor, "rows features"],
    *,
    candidates: Sequence[int],
    tied: bool,
    shrinkage: Shrinkage = "ledoit-wolf",
    seed: int = 0,
    progress: bool | None = None,
) -> MixtureFit:
    """Return the mixture with the lowest BIC among several numbers of components."""
    fits = [
        fit_mixture(rows, components=count, tied=tied, shrinkage=shrinkage, seed=seed)
        for count in track(candidates, description="mixtures", visible=progress)
    ]
    return min(fits, key=lambda fit: fit.bic)


def expectation(
    rows: Tensor, gaussians: Gaussians
) -> tuple[Float64[Tensor, "rows components"], float]:
    """Return how much of each row belongs to each component, and the mean log-likelihood."""
    found = torch.empty((len(rows), len(gaussians.means)), dtype=torch.float64)
    total = 0.0
    for start in range(0, len(rows), BLOCK):
        joint = gaussians.log_joint(rows[start : start + BLOCK].double())
        density = joint.logsumexp(dim=1, keepdim=True)
        found[start : start + BLOCK] = (joint - density).exp()
        total += float(density.sum())
    return found, total / len(rows)


def memberships(responsibilities: Float64[Tensor, "rows components"]) -> list[Member]:
    """Return the rows of each component with their weights; empty components are dropped."""
    kept = torch.where(responsibilities >= LEAST_SHARE, responsibilities, 0.0)
    members = []
    for column in kept.T:
        if float(column.sum()) >= LEAST_ROWS:
            where = column.nonzero()[:, 0]
            members.append((where, column[where]))
    return members


def _clusters(rows: Tensor, components: int, *, seed: int) -> list[Member]:
    if components == 1:
        return [(torch.arange(len(rows)), torch.ones(len(rows), dtype=torch.float64))]
    from sklearn.cluster import KMeans

    distinct = len(np.unique(rows.numpy(), axis=0)) if len(rows) <= 8 * components else components
    kmeans = KMeans(
        min(components, distinct), n_init=1, random_state=derive_seed(seed, "k-means") % 2**32
    )
    labels = torch.from_numpy(kmeans.fit_predict(rows.numpy()).astype(np.int64))
    members = []
    for label in torch.unique(labels):
        where = (labels == label).nonzero()[:, 0]
        members.append((where, torch.ones(len(where), dtype=torch.float64)))
    return members
