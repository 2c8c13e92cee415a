"""How alike two maps of one image are: rank correlation and structural similarity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.stats import rankdata

from sundog.core.errors import InputError
from sundog.core.shapes import Maps


def spearman(a: Maps, b: Maps, *, absolute: bool = False) -> NDArray[np.float64]:
    """Return Spearman's rank correlation between the maps of each image, ties ranked midway.

    Args:
        a: ``float[batch, height, width]``.
        b: maps of the same images.
        absolute: compare magnitudes, blind to the sign.

    Returns:
        ``float64[batch]`` in [-1, 1], 1 = the same order of pixels; NaN if a map is constant or
        not finite.

    Raises:
        InputError: different shapes.
    """
    scores = []
    for first, second in _pairs(a, b):
        if absolute:
            first, second = np.abs(first), np.abs(second)
        x, y = (rankdata(m.ravel()) for m in (first, second))
        x, y = x - x.mean(), y - y.mean()
        spread = np.sqrt((x @ x) * (y @ y))
        usable = spread > 0 and np.isfinite(first).all() and np.isfinite(second).all()
        scores.append(float(x @ y / spread) if usable else np.nan)
    return np.array(scores)


def structural_similarity(a: Maps, b: Maps, *, window: int = 7) -> NDArray[np.float64]:
    """Return the mean structural similarity (SSIM) of each image's maps, both scaled to [0, 1].

    Uniform windows, sample covariance, constants 0.01² and 0.03², mean over windows that lie
    inside the map. A constant map scales to 0.

    Args:
        a: ``float[batch, height, width]``.
        b: maps of the same images.
        window: side of the window in pixels, odd; smaller maps take the largest odd one that fits.

    Returns:
        ``float64[batch]`` in [-1, 1], 1 = equal after scaling; NaN if a map is not finite.

    Raises:
        InputError: different shapes, an even window.

    Source: Wang et al., 2004, IEEE TIP 13.
    """
    if window < 1 or window % 2 == 0:
        raise InputError("window", expected="odd and at least 1", got=str(window))
    return np.array([_ssim(_scaled(x), _scaled(y), window) for x, y in _pairs(a, b)])


def _pairs(a: Maps, b: Maps) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    if a.ndim != 3 or a.shape != b.shape:
        raise InputError(
            "Two sets of maps",
            expected="of the same shape [batch, height, width]",
            got=f"{tuple(a.shape)} and {tuple(b.shape)}",
        )
    first, second = (m.detach().cpu().double().numpy() for m in (a, b))
    return list(zip(first, second, strict=True))


def _scaled(relevance: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(relevance).all():
        return np.full_like(relevance, np.nan)
    span = float(np.ptp(relevance))
    return (relevance - relevance.min()) / span if span != 0 else np.zeros_like(relevance)


def _ssim(a: NDArray[np.float64], b: NDArray[np.float64], window: int) -> float:
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("nan")
    smallest = min(a.shape)
    window = min(window, smallest if smallest % 2 else smallest - 1)
    count = window * window
    unbiased = count / (count - 1) if count > 1 else 1.0

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        edge = window // 2
        inner = (slice(edge, values.shape[0] - edge), slice(edge, values.shape[1] - edge))
        return np.asarray(uniform_filter(values, window))[inner]

    mean_a, mean_b = mean(a), mean(b)
    var_a = unbiased * (mean(a * a) - mean_a**2)
    var_b = unbiased * (mean(b * b) - mean_b**2)
    cov = unbiased * (mean(a * b) - mean_a * mean_b)
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    bottom = (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return float((top / bottom).mean())
