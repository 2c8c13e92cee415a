"""Densities of the rows that Gaussians were fitted on, each row left out of the fit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from sundog.risk.gaussian import BLOCK, CentredRows, Gaussians, Member, scatter


def left_out_log_joint(
    rows: Tensor, members: Sequence[Member], fitted: Gaussians
) -> Float64[Tensor, "rows components"]:
    """Return ``log pi_c + log N(x; mu_c, Sigma_c)`` of each row, fitted without that row.

    In closed form: leaving out row x with weight w in a component of weight n, mean m and
    covariance S gives, with e = x - m and n' = n - w,

        mean ``m - (w / n') e``, covariance ``(n / n') S - (w n / n'^2) e e^T``, weight ``n'``,

    a change of rank one. How much the covariance is shrunk, towards what, and how much of a row
    belongs to which component stay as they were fitted. A component that nothing is left of gets
    minus infinity.

    Args:
        rows: those that the components were fitted on.
        members: as they were fitted.
        fitted: what :func:`sundog.risk.gaussian.fit_gaussians` made of them. With one shared
            covariance, every row must belong to one component alone, with weight 1.

    Source:
        Sherman & Morrison, 1950, Ann. Math. Stat. 21.
    """
    weights = torch.zeros((len(rows), len(members)), dtype=torch.float64)
    for index, (where, weight) in enumerate(members):
        weights[where, index] = weight
    if len(fitted.whiteners) == 1 and len(members) > 1:
        found = _tied(rows, members, fitted, weights)
    else:
        found = torch.empty_like(weights)
        for index, member in enumerate(members):
            found[:, index] = _alone(rows, member, fitted, index, weights[:, index])
    left = (fitted.counts - weights).clamp_min(0)
    return found + left.log() - left.sum(dim=1, keepdim=True).log()


def _alone(rows: Tensor, member: Member, fitted: Gaussians, index: int, weights: Tensor) -> Tensor:
    """Return ``log N`` of every row under one component with a covariance of its own."""
    total, mean = fitted.counts[index], fitted.means[index]
    share, ridge = fitted.shrinkages[index], fitted.ridges[index]
    values, vectors = torch.linalg.eigh(scatter(CentredRows(rows, [(member, mean)])))
    values = values.clamp_min(0)
    found = torch.empty(len(rows), dtype=torch.float64)
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        weight = weights[part]
        left = total - weight
        grown = total / left
        # Eigenvalues of (1 - s) (n / n') S + ridge I, before the change of rank one.
        spread = (1 - share) * grown[:, None] * values + ridge
        turned = (rows[part].double() - mean) @ vectors
        inner = (turned.square() / spread).sum(dim=1)
        taken = (1 - share) * weight * total / left.square()
        kept = (1 - taken * inner).clamp_min(torch.finfo(torch.float64).tiny)
        distance = grown.square() * inner / kept
        volume = spread.log().sum(dim=1) + kept.log()
        log_density = -0.5 * (distance + volume + len(mean) * math.log(2 * math.pi))
        found[part] = torch.where(left > 1e-9 * total, log_density, -torch.inf)
    return found


def _tied(rows: Tensor, members: Sequence[Member], fitted: Gaussians, weights: Tensor) -> Tensor:
    """Return ``log N`` under every component, all with one covariance; weights are 0 or 1."""
    total, size = fitted.counts.sum(), fitted.means.shape[1]
    share, ridge = fitted.shrinkages[0], fitted.ridges[0]
    every = CentredRows(rows, list(zip(members, fitted.means, strict=True)))
    base = (1 - share) * total / (total - 1) * scatter(every)
    base += ridge * torch.eye(size, dtype=torch.float64)
    factor = torch.linalg.cholesky(base)
    volume = 2 * factor.diagonal().log().sum()
    found = torch.empty_like(weights)
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        block, weight = rows[part].double(), weights[part]
        owner = weight.argmax(dim=1)
        count, belongs = fitted.counts[owner], weight.gather(1, owner[:, None])[:, 0]
        white = [
            torch.linalg.solve_triangular(factor, (block - mean).T, upper=False).T
            for mean in fitted.means
        ]
        own = torch.stack(white, dim=1)[torch.arange(len(block)), owner]
        inner = own.square().sum(dim=1)
        grown = torch.where(count > belongs, count / (count - belongs), 1.0)
        taken = (1 - share) * belongs * grown / (total - 1)
        kept = (1 - taken * inner).clamp_min(torch.finfo(torch.float64).tiny)
        for index, each in enumerate(white):
            is_own = owner == index
            cross = (each * own).sum(dim=1)
            distance = each.square().sum(dim=1) + taken * cross.square() / kept
            distance = torch.where(is_own, grown.square() * distance, distance)
            found[part, index] = -0.5 * (
                distance + volume + kept.log() + size * math.log(2 * math.pi)
            )
    return found
