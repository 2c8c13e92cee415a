"""What SpRAy returns: clusters of one class's maps, and how surprising they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64

from sundog.core.statistics import Estimate


@dataclass(frozen=True, eq=False)
class SprayCluster:
    """Maps that look alike.

    Attributes:
        members: ``int64[members]``, positions of their images.
        share: of the class's maps, Wilson interval.
        tau: Fisher's separability from the rest, higher = clearer; 0 if too small to tell.
        mean: ``float[rows, columns]``, mean share of positive relevance per cell; sums to 1.
    """

    members: Int64[np.ndarray, "members"]
    share: Estimate
    tau: float
    mean: Float[np.ndarray, "rows columns"]


@dataclass(frozen=True, eq=False)
class SprayResult:
    """Clusters among the maps of one class.

    Attributes:
        class_index: of the class, or None if it was not said.
        n: maps used.
        empty: positions of the maps without positive relevance, which were left out.
        clusters: largest tau first.
        eigenvalues: smallest of the normalised Laplacian, ascending.
        eigengap: largest gap after the second eigenvalue; says how many clusters there are.
        tau: of the clearest cluster: the statistic that is tested.
        p: that maps without clusters show as large a tau; the larger of the two below.
        p_blended: against blended copies of the same maps (no clusters, same mean and covariance).
        p_model: against the maps of the null models; None if none were given.
        null_blended: ``float[copies]``, their taus.
        null_model: ``float[models]``, their taus, in the order given; None as above.
        position_free: whether spots were compared wherever they are.
        spot: side of the spot's window as a share, for ``position_free``.
    """

    class_index: int | None
    n: int
    empty: Int64[np.ndarray, "empty"]
    clusters: tuple[SprayCluster, ...]
    eigenvalues: Float[np.ndarray, "eigenvalues"]
    eigengap: float
    tau: float
    p: float
    p_blended: float
    p_model: float | None
    null_blended: Float[np.ndarray, "copies"]
    null_model: Float[np.ndarray, "models"] | None
    position_free: bool
    spot: float


@dataclass(frozen=True, eq=False)
class SprayClasses:
    """SpRAy on every class.

    Attributes:
        results: class index -> result.
        table: one row per class: ``class_index``, ``n``, ``clusters``, ``eigengap``, ``tau``,
            ``null_tau`` (mean of the blended copies), ``largest`` (share of the clearest cluster,
            with ``low`` and ``high``), ``p``, ``p_adjusted``.
        left_out: class index -> why it could not be tested.
    """

    results: dict[int, SprayResult]
    table: pd.DataFrame
    left_out: dict[int, str]
