"""An error-aware mixture, as Domino's: clusters of features, labels and predictions together."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, softmax
from sklearn.decomposition import PCA

COMPONENTS = 25
SLICES = 10
DIMENSIONS = 128
STEPS = 100
LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class Slices:
    """Slices of a mixture, the one with the largest error first.

    Attributes:
        members: ``bool[slices, images]``: images that belong to no other component more.
        gaps: ``float[slices]``, the largest ``|P(predicted c) - P(label c)|`` over classes c.
    """

    members: np.ndarray
    gaps: np.ndarray


def error_slices(
    features: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, *, seed: int
) -> Slices:
    """Fit the mixture by expectation maximisation.

    ``log p = sum_s w_s N(z; m_s, v_s) P(y | s) P(predicted | s)``; diagonal covariances, features
    reduced to 128 principal components, 25 components that start from the cells of the confusion
    table, 100 steps.

    Args:
        features: ``float[images, features]`` of the last layer.
        labels: ``int64[images]``.
        probabilities: ``float[images, classes]``, of the classifier.
        seed: of the start.

    Source: Eyuboglu et al., 2022, arXiv 2203.14960.
    """
    rng = np.random.default_rng(seed)
    size = min(DIMENSIONS, features.shape[1], len(features) - 1)
    reduced = PCA(size, random_state=seed).fit_transform(features.astype(np.float64))
    known = np.eye(probabilities.shape[1])[labels]
    shares = _start(labels, probabilities.argmax(axis=1), rng)
    for _ in range(STEPS):
        weight = shares.sum(axis=0) + LEAST
        mean = shares.T @ reduced / weight[:, None]
        spread = shares.T @ reduced**2 / weight[:, None] - mean**2
        variance = np.maximum(spread, LEAST * max(1.0, float(reduced.var()))) + LEAST
        label = (shares.T @ known + LEAST) / weight[:, None]
        answer = (shares.T @ probabilities + LEAST) / weight[:, None]
        log = np.log(weight / weight.sum()) + _log_normal(reduced, mean, variance)
        log = log + known @ np.log(label).T + probabilities @ np.log(answer).T
        shares = np.exp(log - logsumexp(log, axis=1, keepdims=True))
    gaps = np.abs(answer - label).max(axis=1)
    members = shares.argmax(axis=1)[None] == np.arange(shares.shape[1])[:, None]
    order = np.argsort(-np.where(members.any(axis=1), gaps, -1.0), kind="stable")[:SLICES]
    order = order[members[order].any(axis=1)]
    return Slices(members[order], gaps[order])


def _start(labels: np.ndarray, predicted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return responsibilities: a component per frequent cell (label, predicted), and noise."""
    cells, inverse, counts = np.unique(
        np.stack([labels, predicted]), axis=1, return_inverse=True, return_counts=True
    )
    kept = np.argsort(-counts, kind="stable")[:COMPONENTS]
    place = np.full(cells.shape[1], -1)
    place[kept] = np.arange(len(kept))
    own = place[inverse.reshape(-1)]
    noise = rng.uniform(0, 1e-3, (len(labels), max(COMPONENTS, 2)))
    start = np.where(own[:, None] == np.arange(noise.shape[1]), 5.0, 0.0) + noise
    return softmax(start, axis=1)


def _log_normal(rows: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return ``float[rows, components]``, the log density of diagonal Gaussians."""
    exact = (rows**2) @ (1 / variance).T - 2 * rows @ (mean / variance).T
    exact = exact + (mean**2 / variance).sum(axis=1)
    return -0.5 * (exact + np.log(2 * np.pi * variance).sum(axis=1))
