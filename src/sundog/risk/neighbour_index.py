"""Distances to the nearest of many vectors, in memory that does not grow with their number."""

from __future__ import annotations

from typing import Protocol

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

MARGIN = 16
"""Candidates beyond those asked for, whose order is then settled by their exact distances."""
QUERY_ROWS = 256
BANK_ROWS = 16_384
"""A block of distances is 256 x 16,384 float32: 16 MiB."""
GATHERED = 1 << 18
"""Numbers of candidates gathered at a time: 1 MiB, which stays in the cache."""


class NeighbourIndex(Protocol):
    """Vectors among which the nearest ones are sought."""

    def candidates(
        self, queries: Float32[Tensor, "queries features"], count: int
    ) -> Int64[Tensor, "queries count"]:
        """Return positions of (about) the nearest ``count`` vectors, or of all if fewer."""

    def vectors(self, positions: Int64[Tensor, "*shape"]) -> Float32[Tensor, "*shape features"]:
        """Return the vectors at these positions."""

    def __len__(self) -> int:
        """Return how many vectors there are."""


class ExactIndex:
    """All vectors in float32, searched block by block.

    Args:
        bank: ``float32[vectors, features]``; not copied.
    """

    def __init__(self, bank: Float32[Tensor, "vectors features"]) -> None:
        self.bank = bank
        self._half_norms = 0.5 * bank.square().sum(dim=1)

    def __len__(self) -> int:
        return len(self.bank)

    def vectors(self, positions: Int64[Tensor, "*shape"]) -> Float32[Tensor, "*shape features"]:
        """Return the vectors at these positions."""
        return self.bank[positions]

    def candidates(
        self, queries: Float32[Tensor, "queries features"], count: int
    ) -> Int64[Tensor, "queries count"]:
        """Return the positions of the ``count`` vectors with the largest ``q.x - |x|^2 / 2``."""
        count = min(count, len(self.bank))
        found = torch.empty((len(queries), count), dtype=torch.int64)
        for row in range(0, len(queries), QUERY_ROWS):
            block = queries[row : row + QUERY_ROWS]
            best = torch.empty((len(block), 0))
            where = torch.empty((len(block), 0), dtype=torch.int64)
            for start in range(0, len(self.bank), BANK_ROWS):
                part = slice(start, start + BANK_ROWS)
                near = torch.addmm(-self._half_norms[part], block, self.bank[part].T)
                top = near.topk(min(count, near.shape[1]), dim=1)
                best = torch.cat([best, top.values], dim=1)
                where = torch.cat([where, top.indices + start], dim=1)
                if best.shape[1] > count:
                    kept = best.topk(count, dim=1)
                    best, where = kept.values, where.gather(1, kept.indices)
            found[row : row + QUERY_ROWS] = where
        return found


def nearest(
    index: NeighbourIndex,
    queries: Float32[Tensor, "queries features"],
    *,
    k: int,
    own: Int64[Tensor, "queries"] | None = None,
) -> tuple[Float64[Tensor, "queries k"], Int64[Tensor, "queries k"]]:
    """Return the Euclidean distances to the k nearest vectors, ascending, and their positions.

    Candidates come from a search by float32 dot products; their distances are then computed as
    ``|q - x|`` with a float64 sum, without the cancellation of ``|q|^2 - 2 q.x + |x|^2``. A row's
    result therefore depends neither on the other rows nor on the number of threads. Of equal
    distances the lower position comes first.

    Args:
        index: at least ``k`` vectors (``k + 1`` with ``own``).
        queries: rows.
        k: >= 1.
        own: position of the query itself in the index, which is left out.

    Returns:
        Distances >= 0, and positions.
    """
    asked = k + MARGIN + (own is not None)
    distances = torch.empty((len(queries), k), dtype=torch.float64)
    positions = torch.empty((len(queries), k), dtype=torch.int64)
    for start in range(0, len(queries), QUERY_ROWS):
        part = slice(start, start + QUERY_ROWS)
        near = index.candidates(queries[part], asked).sort(dim=1).values
        gaps = _distances(index, queries[part], near)
        if own is not None:
            gaps[near == own[part, None]] = torch.inf
        order = gaps.sort(dim=1, stable=True)
        distances[part] = order.values[:, :k]
        positions[part] = near.gather(1, order.indices[:, :k])
    return distances, positions


def _distances(index: NeighbourIndex, block: Tensor, near: Tensor) -> Tensor:
    gaps = torch.empty(near.shape, dtype=torch.float64)
    rows = max(1, GATHERED // max(1, near.shape[1] * block.shape[1]))
    for start in range(0, len(block), rows):
        some = slice(start, start + rows)
        # Exact where a vector is near: there, float32 loses nothing by the subtraction.
        difference = block[some, None] - index.vectors(near[some])
        gaps[some] = difference.square_().sum(dim=2, dtype=torch.float64).sqrt_()
    return gaps
