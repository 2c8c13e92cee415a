"""Approximate search among very many vectors with faiss: cells, and 16 bits per number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from sundog.core.errors import MissingExtraError
from sundog.core.seeds import derive_seed

CELL_ROWS = 64
"""Training vectors per cell, enough for faiss not to warn."""
MOST_CELLS = 4096
SHARE_VISITED = 1 / 16
LEAST_VISITED = 16
ADDED = 65_536
"""Vectors that are added at a time."""


class ApproximateIndex:
    """An inverted file: vectors in cells about k-means centres; only the nearest cells are seen.

    Numbers are kept with 16 bits, half the memory of an exact bank, and nothing else holds the
    vectors. A sixteenth of the cells, at least 16, are visited.

    Args:
        bank: ``float32[vectors, features]``; may be let go afterwards.
        centres: of the cells, as :attr:`centres` returned them; None learns them.
        seed: of the k-means.

    Raises:
        MissingExtraError: faiss is not installed.

    Source:
        Douze et al., 2024, "The Faiss library", arXiv 2401.08281.
    """

    def __init__(
        self,
        bank: Float32[Tensor, "vectors features"],
        *,
        centres: Float32[Tensor, "cells features"] | None = None,
        seed: int = 0,
    ) -> None:
        faiss = _faiss()
        rows, size = bank.shape
        if centres is None:
            cells = max(1, min(MOST_CELLS, int(4 * math.sqrt(rows)), rows // CELL_ROWS))
            centres = _learn_centres(faiss, bank, cells=cells, seed=seed)
        self.centres = centres
        quantizer = faiss.IndexFlatL2(size)
        quantizer.add(_array(centres))
        index = faiss.IndexIVFScalarQuantizer(
            quantizer, size, len(centres), faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_L2, False
        )
        index.train(_array(bank[:1]))  # the centres are there, and 16-bit floats need no training
        for start in range(0, rows, ADDED):
            index.add(_array(bank[start : start + ADDED]))
        index.make_direct_map()
        index.nprobe = min(len(centres), max(LEAST_VISITED, round(SHARE_VISITED * len(centres))))
        self._faiss, self._index = faiss, index
        self._quantizer = quantizer  # faiss does not keep it alive

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def vectors(self, positions: Int64[Tensor, "*shape"]) -> Float32[Tensor, "*shape features"]:
        """Return the vectors at these positions, as they were rounded to 16 bits."""
        flat = np.ascontiguousarray(positions.reshape(-1).numpy())
        found = torch.from_numpy(self._index.reconstruct_batch(flat))
        return found.reshape(*positions.shape, -1)

    def candidates(
        self, queries: Float32[Tensor, "queries features"], count: int
    ) -> Int64[Tensor, "queries count"]:
        """Return the positions of the nearest vectors in the visited cells.

        A query whose cells hold fewer than ``count`` vectors visits all of them.
        """
        asked = min(count, len(self))
        rows = _array(queries)
        _, found = self._index.search(rows, asked)
        short = (found < 0).any(axis=1)
        if short.any():
            everywhere = self._faiss.SearchParametersIVF(nprobe=len(self.centres))
            _, found[short] = self._index.search(rows[short], asked, params=everywhere)
        return torch.from_numpy(found)


def _learn_centres(faiss: Any, bank: Tensor, *, cells: int, seed: int) -> Tensor:
    rows, size = bank.shape
    kept = min(rows, cells * CELL_ROWS)
    draw = np.random.default_rng(derive_seed(seed, "cells"))
    chosen = np.sort(draw.choice(rows, size=kept, replace=False))
    kmeans = faiss.Kmeans(
        size, cells, niter=10, seed=derive_seed(seed, "centres") % 2**31, verbose=False
    )
    kmeans.train(_array(bank[torch.from_numpy(chosen)]))
    return torch.from_numpy(np.array(kmeans.centroids, dtype=np.float32))


def _array(values: Tensor) -> np.ndarray:
    return np.ascontiguousarray(values.numpy(), dtype=np.float32)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError(
            "faiss", extra="knn", purpose="An approximate nearest-neighbour index"
        ) from error
    return faiss
