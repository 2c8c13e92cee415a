"""SpRAy with a null distribution: do the maps of a class fall into clusters, clearer than chance?

Spectral relevance analysis groups the attribution maps of one class; a group that looks at a spot
of its own may look at an artifact. Its sources leave the judgement to a person (Lapuschkin et al.,
2019) or to fixed thresholds. Here the separability of the clearest cluster is compared with that
of maps that have no clusters, so that a p-value exists.

Maps only propose. A cluster can be real and innocent (sevens with and without a bar), and a cue
that every image of the class carries makes one cluster and no gap: candidates
(:mod:`sundog.bias.spray_boxes`) are for a causal test to judge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float, Int64

from sundog.bias.spray_features import check_maps, fixed_features, free_features
from sundog.bias.spray_graph import Embedding, assign, embed, neighbour_graph, separabilities
from sundog.bias.spray_null import blended, permutation_p
from sundog.bias.spray_result import SprayCluster, SprayResult
from sundog.core.errors import InputError
from sundog.core.seeds import derive_seed
from sundog.core.statistics import wilson_interval

Maps = Float[np.ndarray, "maps height width"]
Describe = Callable[[Maps], Float[np.ndarray, "maps features"]]
COPIES = 99
SPOT = 0.15


def spray(
    maps: Float[np.ndarray, "maps height width"],
    *,
    null_maps: Iterable[Float[np.ndarray, "maps height width"]] | None = None,
    grid: int = 20,
    neighbours: int = 10,
    position_free: bool = False,
    spot: float = SPOT,
    copies: int = COPIES,
    class_index: int | None = None,
    positions: Int64[np.ndarray, "maps"] | None = None,
    seed: int = 0,
) -> SprayResult:
    """Cluster the maps of one class and test whether the clusters are clearer than chance.

    Positive relevance on a small grid, divided by its sum -> graph of nearest neighbours ->
    eigenvectors of its normalised Laplacian, as many as the largest eigengap says -> clusters ->
    Fisher's tau of each against the rest. The largest tau is the statistic. ``p`` is the larger of
    two permutation-style p-values: against blends of the same maps, and against maps of null models
    if there are any; the structure that the images bring along is in the latter.

    Args:
        maps: of the images of one class, for that class, finite; signed maps count where they are
            positive.
        null_maps: one array per null model (weights made random, labels permuted), of the same
            shape, for the same images in the same order
            (:func:`sundog.audit.spray_null.null_maps`). Their number bounds p from below:
            19 models allow 0.05.
        grid: cells per side.
        neighbours: of each map in the graph; clusters below half of it are not tested.
        position_free: compare the surroundings of each map's hottest spot, wherever it is.
        spot: side of that spot as a share of the map's shorter side.
        copies: blended copies.
        class_index: kept in the result.
        positions: number of each map's image, 0..n-1 if None; clusters are told in these.
        seed: of the blends.

    Returns:
        Clusters, eigengap, tau and p-values. Low p: there are clusters; whether they matter is for
        a causal test to say.

    Raises:
        InputError: maps that are not finite, too few maps, null maps of another shape.

    Source: Lapuschkin et al., 2019, arXiv 1902.10178; Anders et al., 2022, arXiv 1912.11425;
    defaults as in CoRelAy.
    """
    values = check_maps(maps)
    if neighbours < 2 or copies < 1:
        raise InputError(
            "neighbours and copies",
            expected="at least 2 and at least 1",
            got=f"{neighbours} and {copies}",
        )
    where = np.arange(len(values)) if positions is None else np.asarray(positions, dtype=np.int64)
    if where.shape != (len(values),):
        raise InputError("positions", expected=f"{len(values)} numbers", got=str(where.shape))

    def features(given: Maps) -> Float[np.ndarray, "maps features"]:
        if position_free:
            return free_features(given, grid=grid, spot=spot)
        return fixed_features(given, grid=grid)

    full = np.asarray(values.max(axis=(1, 2)) > 0)
    used = values[full]
    if len(used) < fewest(neighbours):
        raise InputError(
            "maps",
            expected=f"at least {fewest(neighbours)} with positive relevance",
            got=f"{len(used)} of {len(values)}",
            hint="Give more images of the class, or fewer neighbours.",
        )
    described = features(used)
    embedding, labels, taus = _clusters(described, neighbours, seed)
    random = np.random.default_rng(derive_seed(seed, "spray", class_index or 0))
    blends = np.array(
        [_clusters(blended(described, random), neighbours, seed)[2].max() for _ in range(copies)]
    )
    tau = float(taus.max())
    models = None
    if null_maps is not None:
        found = [_null_tau(other, values.shape, features, neighbours, seed) for other in null_maps]
        if not found:
            raise InputError("null_maps", expected="maps of at least one model", got="none")
        # A model whose maps are empty says nothing: it counts as one that shows as much.
        models = np.where(np.isnan(found), tau, found)
    p_blended = permutation_p(tau, blends)
    p_model = None if models is None else permutation_p(tau, models)
    return SprayResult(
        class_index=class_index,
        n=len(used),
        empty=where[~full],
        clusters=_describe(used, where[full], labels, taus, grid),
        eigenvalues=embedding.values,
        eigengap=embedding.gap,
        tau=tau,
        p=p_blended if p_model is None else max(p_blended, p_model),
        p_blended=p_blended,
        p_model=p_model,
        null_blended=blends,
        null_model=models,
        position_free=position_free,
        spot=spot,
    )


def fewest(neighbours: int) -> int:
    """Return how many maps a class must have for a graph with so many neighbours."""
    return 2 * neighbours + 1


def _clusters(
    described: Float[np.ndarray, "maps features"], neighbours: int, seed: int
) -> tuple[Embedding, Int64[np.ndarray, "maps"], Float[np.ndarray, "clusters"]]:
    embedding = embed(neighbour_graph(described, neighbours), seed=seed)
    labels = assign(embedding)
    smallest = max(2, neighbours // 2)
    return embedding, labels, separabilities(embedding.directions, labels, smallest=smallest)


def _null_tau(
    other: Float[np.ndarray, "maps height width"],
    shape: tuple[int, ...],
    features: Describe,
    neighbours: int,
    seed: int,
) -> float:
    """Return the tau of a null model's maps; NaN if too many of them are empty."""
    values = check_maps(other)
    if values.shape != shape:
        raise InputError("null_maps", expected=f"arrays {shape}, as maps", got=str(values.shape))
    used = values[np.asarray(values.max(axis=(1, 2)) > 0)]
    if len(used) < fewest(neighbours):
        return math.nan
    return float(_clusters(features(used), neighbours, seed)[2].max())


def _describe(
    used: Float[np.ndarray, "maps height width"],
    where: Int64[np.ndarray, "maps"],
    labels: Int64[np.ndarray, "maps"],
    taus: Float[np.ndarray, "clusters"],
    grid: int,
) -> tuple[SprayCluster, ...]:
    cells = fixed_features(used, grid=grid)
    rows = min(grid, used.shape[1])
    clusters = []
    for label in np.argsort(-taus, kind="stable").tolist():
        inside = labels == label
        count = int(inside.sum())
        if count:
            clusters.append(
                SprayCluster(
                    members=where[inside],
                    share=wilson_interval(count, len(used)),
                    tau=float(taus[label]),
                    mean=cells[inside].mean(axis=0).reshape(rows, -1),
                )
            )
    return tuple(clusters)
