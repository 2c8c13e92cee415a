"""Gaussians with full or shared covariance that stay usable with fewer images than dimensions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from sundog.core.errors import InputError

Shrinkage = float | Literal["ledoit-wolf"]
Member = tuple[Int64[Tensor, "members"], Float64[Tensor, "members"]]
"""Rows that belong to a component, and how much of each, in (0, 1]."""

JITTERS = (0.0, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1e-1)
"""Added to the diagonal, in units of the mean variance, until the Cholesky factor exists."""
LEAST_VARIANCE = 1e-9
"""Mean variance of a component, in units of that of all rows, below which this is taken."""
BLOCK = 4096
"""Rows that are scored at a time."""


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Weighted Gaussians ``pi_c N(mu_c, Sigma_c)``, in float64.

    Attributes:
        counts: ``[components]``, how many rows (or how much of them) each was fitted on.
        means: ``[components, features]``.
        whiteners: ``[components or 1, features, features]``; ``(x - mu) @ whitener`` has the
            identity as its covariance. One for all components if they share a covariance.
        log_volumes: ``[components or 1]``, ``log |det whitener| = -log det(Sigma) / 2``.
        shrinkages: ``[components or 1]``, the share of the scaled identity in each covariance.
        ridges: ``[components or 1]``, all that was added to the diagonal: ``shrinkage`` times the
            mean variance, and jitter.
    """

    counts: Float64[Tensor, "components"]
    means: Float64[Tensor, "components features"]
    whiteners: Float64[Tensor, "covariances features features"]
    log_volumes: Float64[Tensor, "covariances"]
    shrinkages: Float64[Tensor, "covariances"]
    ridges: Float64[Tensor, "covariances"]

    @property
    def log_weights(self) -> Float64[Tensor, "components"]:
        """``log pi_c``."""
        return self.counts.log() - self.counts.sum().log()

    def squared_distances(
        self, rows: Float64[Tensor, "rows features"]
    ) -> Float64[Tensor, "rows components"]:
        """Return the squared Mahalanobis distance of every row from every component."""
        found = torch.empty((len(rows), len(self.means)), dtype=torch.float64)
        shared = len(self.whiteners) == 1
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            for index, mean in enumerate(self.means):
                white = (block - mean) @ self.whiteners[0 if shared else index]
                found[start : start + BLOCK, index] = white.square_().sum(dim=1)
        return found

    def log_joint(
        self, rows: Float64[Tensor, "rows features"]
    ) -> Float64[Tensor, "rows components"]:
        """Return ``log pi_c + log N(x; mu_c, Sigma_c)``."""
        constant = self.log_volumes - 0.5 * self.means.shape[1] * math.log(2 * math.pi)
        return self.log_weights + constant - 0.5 * self.squared_distances(rows)

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """Return the attributes by name."""
        return {f"{prefix}{name}": getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], prefix: str = "") -> Gaussians:
        """Return the Gaussians that :meth:`tensors` described."""
        return cls(**{name: tensors[prefix + name].double() for name in cls.__dataclass_fields__})


def fit_gaussians(
    rows: Tensor,
    members: Sequence[Member],
    *,
    tied: bool,
    shrinkage: Shrinkage = "ledoit-wolf",
) -> Gaussians:
    """Fit a Gaussian to each component, ``Sigma = (1 - s) S + s (tr S / d) I``, and jitter.

    ``S`` is the maximum-likelihood covariance of the component (with ``tied``, of all rows about
    their component's mean). Jitter of 1e-12 to 1e-1 of the mean variance is added only where the
    Cholesky factorisation fails without.

    Args:
        rows: ``float[rows, features]``, finite.
        members: rows of each component, with weights; no component may be empty.
        tied: one covariance for all components.
        shrinkage: in [0, 1], or ``ledoit-wolf`` for the intensity that minimises the expected
            squared error.

    Raises:
        InputError: all rows are equal, so that there is no covariance.

    Source:
        Ledoit & Wolf, 2004, J. Multivariate Analysis 88; jitter: Mukhoti et al., 2021, arXiv
        2102.11582.
    """
    counts = torch.stack([weight.sum() for _, weight in members])
    means = torch.stack([_mean(rows, member) for member in members])
    floor = _floor(rows, members)
    covariances: list[Tensor] = []
    shares: list[float] = []
    every = list(zip(members, means, strict=True))
    for group in [every] if tied else [[one] for one in every]:
        centred = CentredRows(rows, group)
        covariance = scatter(centred)
        share = ledoit_wolf(centred, covariance) if shrinkage == "ledoit-wolf" else shrinkage
        covariances.append(covariance)
        shares.append(float(share))
    factors = [_whiten(c, s, floor=floor) for c, s in zip(covariances, shares, strict=True)]
    return Gaussians(
        counts=counts,
        means=means,
        whiteners=torch.stack([whitener for whitener, _, _ in factors]),
        log_volumes=torch.stack([volume for _, volume, _ in factors]),
        shrinkages=torch.tensor(shares, dtype=torch.float64),
        ridges=torch.tensor([ridge for _, _, ridge in factors], dtype=torch.float64),
    )


class CentredRows:
    """Rows about the mean of their component, with weights, some thousands at a time."""

    def __init__(self, rows: Tensor, group: Sequence[tuple[Member, Tensor]]) -> None:
        self._rows, self._group = rows, group
        self.total = sum(float(weight.sum()) for (_, weight), _ in group)

    def __iter__(self) -> Iterator[tuple[Float64[Tensor, "_ features"], Float64[Tensor, "_"]]]:
        for member, mean in self._group:
            for part, weight in _blocks(self._rows, member):
                yield part - mean, weight


def scatter(centred: CentredRows) -> Float64[Tensor, "features features"]:
    """Return ``sum_i w_i x_i x_i^T / sum_i w_i``."""
    total = torch.zeros((), dtype=torch.float64)
    for x, weight in centred:
        total = total + x.T @ (x * weight[:, None])
    return total / centred.total


def ledoit_wolf(centred: CentredRows, covariance: Float64[Tensor, "features features"]) -> float:
    """Return the shrinkage intensity ``min(b, delta) / delta`` of weighted, centred rows.

    ``delta = |S - m I|^2``, ``m = tr S / d``, ``b = sum_i w_i^2 |x_i x_i^T - S|^2 / (sum_i w_i)^2``
    with Frobenius norms. 0 where S is a multiple of the identity, as in one dimension.

    Source:
        Ledoit & Wolf, 2004, J. Multivariate Analysis 88.
    """
    squared_norm = float(covariance.square().sum())
    delta = squared_norm - float(covariance.trace()) ** 2 / len(covariance)
    if delta <= 1e-15 * squared_norm:
        return 0.0
    spread = 0.0
    for x, weight in centred:
        gaps = x.square().sum(dim=1).square() - 2 * ((x @ covariance) * x).sum(dim=1) + squared_norm
        spread += float(weight.square() @ gaps)
    return min(spread / centred.total**2, delta) / delta


def _blocks(rows: Tensor, member: Member) -> Iterator[tuple[Tensor, Tensor]]:
    parts = zip(torch.split(member[0], BLOCK), torch.split(member[1], BLOCK), strict=True)
    for index, weight in parts:
        yield rows[index].double(), weight


def _mean(rows: Tensor, member: Member) -> Tensor:
    total = torch.zeros(rows.shape[1], dtype=torch.float64)
    for part, weight in _blocks(rows, member):
        total += weight @ part
    return total / member[1].sum()


def _floor(rows: Tensor, members: Sequence[Member]) -> float:
    """Return the least mean variance that a component is given."""
    used = torch.unique(torch.cat([index for index, _ in members]))
    variance = 0.0
    for start in range(0, rows.shape[1], 256):
        variance += float(rows[used, start : start + 256].double().var(dim=0, correction=0).sum())
    variance /= rows.shape[1]
    if not variance > 0:
        raise InputError(
            "Features",
            expected="of images that differ",
            got=f"{len(used)} equal rows",
            hint="Look for a network whose features died, or for one image copied many times.",
        )
    return LEAST_VARIANCE * variance


def _whiten(covariance: Tensor, share: float, *, floor: float) -> tuple[Tensor, Tensor, float]:
    size = len(covariance)
    identity = torch.eye(size, dtype=torch.float64)
    variance = float(covariance.trace()) / size
    base = share * variance
    if variance < floor:
        base, variance = base + floor, floor
    for jitter in JITTERS:
        ridge = base + jitter * variance
        factor, failed = torch.linalg.cholesky_ex((1 - share) * covariance + ridge * identity)
        # A factor of rounding noise exists at times: it would give distances without meaning.
        if not int(failed) and float(factor.diagonal().min()) ** 2 > 1e-14 * variance:
            inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
            return inverse.T.contiguous(), -factor.diagonal().log().sum(), ridge
    raise InputError(
        "The covariance of the features",
        expected="positive definite once a tenth of the mean variance is added",
        got="one that is not",
        hint="Scale the features: their variances differ by more than float64 can hold.",
    )
