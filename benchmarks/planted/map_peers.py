"""Peers that look at attribution maps alone: concentration, and SpRAy with fixed thresholds."""

import numpy as np
from scipy import ndimage
from sklearn.cluster import SpectralClustering
from sklearn.metrics import silhouette_score
from sklearn.metrics.pairwise import cosine_similarity

TOP = 0.005
"""Share of the pixels whose mass is taken."""
GRID = 20
"""Side to which maps are shrunk for SpRAy."""
CLUSTERS = (2, 10)
SMALL, PURE, FOCUSED, SEPARATED, MIXED = 0.05, 0.8, 0.6, 0.3, 0.6
"""Thresholds of ShortKit-ML's SpRAy detector: share of a small cluster, purity of its labels, focus
of its maps, silhouette, and mean purity below which separate clusters do not follow the labels."""


def concentration(maps: np.ndarray) -> float:
    """Return the mean share of a map's mass in its highest 0.5 % of pixels, in [0, 1].

    Args:
        maps: ``[images, height, width]``, >= 0.
    """
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    count = max(1, round(TOP * flat.shape[1]))
    highest = np.partition(flat, -count, axis=1)[:, -count:]
    total = flat.sum(axis=1)
    shares = np.divide(highest.sum(axis=1), total, out=np.zeros(len(flat)), where=total > 0)
    return float(shares.mean())


def spray(maps: np.ndarray, labels: np.ndarray, *, seed: int) -> dict[str, object]:
    """Cluster maps and decide by fixed thresholds.

    Maps are shrunk to 20 x 20 and scaled to [0, 1]; cosine affinity, normalised Laplacian, number
    of clusters by the largest eigengap, spectral clustering. A shortcut is flagged by a small pure
    cluster, by focused maps in a pure cluster, or by clusters that do not follow the labels.

    Args:
        maps: ``[images, height, width]``, >= 0.
        labels: ``int64[images]``.
        seed: of the clustering.

    Source: Lapuschkin et al., 2019, arXiv 1902.10178; thresholds of ShortKit-ML 0.1.0.
    """
    features = np.stack([_small(one) for one in maps]).reshape(len(maps), -1)
    affinity = np.clip(cosine_similarity(features), 0.0, 1.0)
    count = _eigengap(affinity)
    model = SpectralClustering(
        n_clusters=count, affinity="precomputed", assign_labels="kmeans", random_state=seed
    )
    groups = model.fit_predict(affinity)
    return {"clusters": count, "flags": _flags(features, groups, labels)}


def _small(one: np.ndarray) -> np.ndarray:
    side = min(GRID, *one.shape)
    shrunk = ndimage.zoom(
        one.astype(np.float64), (side / one.shape[0], side / one.shape[1]), order=1
    )
    shrunk = shrunk - shrunk.min()
    return shrunk / max(float(shrunk.max()), 1e-8)


def _eigengap(affinity: np.ndarray) -> int:
    """Return the number of clusters before the largest gap of the Laplacian's eigenvalues."""
    scale = 1 / np.sqrt(np.maximum(affinity.sum(axis=1), 1e-8))
    laplacian = np.eye(len(affinity)) - scale[:, None] * affinity * scale[None]
    values = np.linalg.eigvalsh(laplacian)[: CLUSTERS[1] + 1]
    gaps = np.diff(values)[CLUSTERS[0] - 1 :]
    return int(np.argmax(gaps)) + CLUSTERS[0]


def _flags(features: np.ndarray, groups: np.ndarray, labels: np.ndarray) -> list[str]:
    shares, purity, focus = [], [], []
    for group in np.unique(groups):
        inside = groups == group
        shares.append(inside.mean())
        purity.append(np.bincount(labels[inside]).max() / inside.sum())
        focus.append(_focus(features[inside]).mean())
    flags = []
    if any(s < SMALL and p >= PURE for s, p in zip(shares, purity, strict=True)):
        flags.append("small pure cluster")
    if max(focus) >= FOCUSED and max(purity) >= PURE:
        flags.append("focused maps")
    if len(shares) > 1:
        separate = silhouette_score(features, groups, metric="cosine") >= SEPARATED
        if separate and np.mean(purity) < MIXED:
            flags.append("clusters beside the labels")
    return flags


def _focus(features: np.ndarray) -> np.ndarray:
    """Return 1 - entropy / its maximum of each map, in [0, 1]."""
    mass = features / (features.sum(axis=1, keepdims=True) + 1e-8)
    entropy = -(mass * np.log(mass + 1e-8)).sum(axis=1)
    return np.clip(1 - entropy / np.log(features.shape[1]), 0, 1)
