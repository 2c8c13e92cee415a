"""Spectral clustering of maps: a graph of nearest neighbours, its first eigenvectors, its parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64
from scipy.linalg import eigh, qr
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh

MOST_CLUSTERS = 8
"""Eigenvalues looked at: more clusters of one class than seven are not told apart."""
DENSE = 300
"""Up to so many maps a dense eigenproblem is faster, and it is used for graphs in pieces."""
_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class Embedding:
    """Maps in the space of the first eigenvectors.

    Attributes:
        values: ``float[MOST_CLUSTERS + 1]`` (fewer for very few maps), smallest eigenvalues of the
            normalised Laplacian, ascending, the first is 0.
        vectors: ``float[maps, clusters]``, the eigenvectors of the first ``clusters`` of them.
        clusters: where the largest gap between eigenvalues is, from 2 on.
        gap: that gap.
    """

    values: Float[np.ndarray, "eigenvalues"]
    vectors: Float[np.ndarray, "maps clusters"]
    clusters: int
    gap: float

    @property
    def directions(self) -> Float[np.ndarray, "maps clusters"]:
        """Rows of the eigenvectors, each of length 1 (Ng, Jordan & Weiss)."""
        length = np.linalg.norm(self.vectors, axis=1, keepdims=True)
        return self.vectors / np.where(length > 0, length, 1)


def neighbour_graph(features: Float[np.ndarray, "maps features"], neighbours: int) -> csr_array:
    """Return the symmetric graph of nearest neighbours: ``(A + A') / 2``, ``A`` of ones.

    Args:
        features: Euclidean distances between its rows count.
        neighbours: of each map, itself not among them.

    Source: CoRelAy's SparseKNN (10 neighbours, symmetric).
    """
    n = len(features)
    centred = features - features.mean(axis=0)
    square = (centred**2).sum(axis=1)
    distance = square[:, None] + square - 2 * (centred @ centred.T)
    np.fill_diagonal(distance, np.inf)
    near = np.argpartition(distance, neighbours - 1, axis=1)[:, :neighbours]
    starts = np.arange(0, n * neighbours + 1, neighbours)
    directed = csr_array((np.ones(n * neighbours), near.ravel(), starts), shape=(n, n))
    return csr_array((directed + directed.T) / 2)


def embed(graph: csr_array, *, seed: int = 0) -> Embedding:
    """Return the smallest eigenvalues of ``I - D^-1/2 A D^-1/2`` and where their gap is.

    Args:
        graph: symmetric, every map has a neighbour.
        seed: of the first vector of the iteration (above :data:`DENSE` maps).

    Source: von Luxburg, 2007, Statistics and Computing 17 (eigengap); Ng, Jordan & Weiss, 2001.
    """
    n = graph.shape[0]
    scale = 1 / np.sqrt(np.asarray(graph.sum(axis=1)).ravel())
    links = graph.tocoo()
    weights = links.data * scale[links.row] * scale[links.col]
    normal = csr_array((weights, (links.row, links.col)), shape=(n, n))
    wanted = min(MOST_CLUSTERS + 1, n)
    # One starting vector cannot be trusted to find an eigenvalue as often as it occurs.
    pieces, _ = connected_components(graph, directed=False)
    if n <= DENSE or pieces > 1:
        found, vectors = eigh(normal.toarray(), subset_by_index=[n - wanted, n - 1])
    else:
        start = np.random.default_rng(seed).standard_normal(n)
        found, vectors = eigsh(normal, k=wanted, which="LA", v0=start, tol=1e-8, ncv=4 * wanted)
        order = np.argsort(found)
        found, vectors = found[order], vectors[:, order]
    values = 1 - found[::-1]
    gaps = np.diff(values)[1:]
    clusters = 2 + int(np.argmax(gaps[: MOST_CLUSTERS - 2])) if len(gaps) else 1
    gap = float(gaps[clusters - 2]) if len(gaps) else 0.0
    return Embedding(values, vectors[:, ::-1][:, :clusters], clusters, gap)


def assign(embedding: Embedding) -> Int64[np.ndarray, "maps"]:
    """Return the cluster of each map, 0..clusters-1: a pivoted QR, then Lloyd's rounds.

    Both are deterministic: no draw decides the clusters.

    Source: Damle, Minden & Ying, 2019, Information and Inference 8 (QR).
    """
    vectors, rows = embedding.vectors, embedding.directions
    count = embedding.clusters
    pivots = qr(vectors.T, mode="r", pivoting=True)[1][:count]
    left, _, right = np.linalg.svd(vectors[pivots].T)
    labels = np.abs(vectors @ (left @ right)).argmax(axis=1)
    for _ in range(_ROUNDS):
        member = np.eye(count)[labels]
        sizes = member.sum(axis=0)
        centres = (member.T @ rows) / np.maximum(sizes, 1)[:, None]
        distance = (centres**2).sum(axis=1) - 2 * (rows @ centres.T)
        distance[:, sizes == 0] = np.inf
        moved = distance.argmin(axis=1)
        if (moved == labels).all():
            break
        labels = moved
    return labels.astype(np.int64)


def separabilities(
    rows: Float[np.ndarray, "maps dimensions"], labels: Int64[np.ndarray, "maps"], *, smallest: int
) -> Float[np.ndarray, "clusters"]:
    """Return Fisher's tau of each cluster against the rest: between over within, best direction.

    ``tau = d' W^-1 d`` with ``d`` the difference of the means and ``W`` the pooled within-group
    covariance. 0 for a cluster with fewer than ``smallest`` maps inside or outside.

    Args:
        rows: of the embedding, of length 1.
        labels: cluster of each row.
        smallest: maps.

    Source: Anders et al., 2022, arXiv 1912.11425 (tau ranks classes with artifacts).
    """
    found = []
    for label in range(int(labels.max()) + 1):
        inside = labels == label
        if min(inside.sum(), (~inside).sum()) < smallest:
            found.append(0.0)
            continue
        parts = [rows[inside], rows[~inside]]
        gap = parts[0].mean(axis=0) - parts[1].mean(axis=0)
        within = sum((p - p.mean(axis=0)).T @ (p - p.mean(axis=0)) for p in parts) / len(rows)
        # Rows have length 1: a millionth keeps clusters without any spread finite.
        within = within + 1e-6 * np.eye(len(gap))
        found.append(float(gap @ np.linalg.solve(within, gap)))
    return np.array(found)
