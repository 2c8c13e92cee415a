"""Maps without clusters for SpRAy to be held against, and the correction over classes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sundog.core.errors import InputError

_BLENDED = 3


def blended(
    features: Float[np.ndarray, "maps features"], random: np.random.Generator
) -> Float[np.ndarray, "maps features"]:
    """Return as many blends of three maps each: the same mean and covariance, no clusters.

    ``mean + sum_j w_j (x_j - mean) / sqrt(sum_j w_j^2)`` with ``w`` uniform on the simplex and
    ``x_j`` drawn with replacement. Maps of a sound model vary in many ways, but without gaps, and
    so do their blends; clusters are filled up by maps between them. Maps turned and shifted at
    random would be compared with maps that agree on nothing: on sound models of digits they
    called twice as many classes.

    Args:
        features: of the maps.
        random: source of the draws.
    """
    n = len(features)
    weights = random.dirichlet(np.ones(_BLENDED), size=n)
    weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))
    drawn = random.integers(n, size=(n, _BLENDED))
    mean = features.mean(axis=0)
    centred = features - mean
    mixed = sum(weights[:, j, None] * centred[drawn[:, j]] for j in range(_BLENDED))
    return (mean + mixed).astype(features.dtype)


def permutation_p(observed: float, null: Float[np.ndarray, "copies"]) -> float:
    """Return ``(1 + #{null >= observed}) / (1 + copies)``.

    Source: Phipson & Smyth, 2010, Statistical Applications in Genetics 9 (never zero).
    """
    return float((1 + np.sum(null >= observed)) / (1 + len(null)))


def step_down_maximum(
    observed: Float[np.ndarray, "classes"], null: Float[np.ndarray, "copies classes"]
) -> Float[np.ndarray, "classes"]:
    """Return p-values of several classes that keep P(any false one) at its level.

    Each class's statistics (observed and null) are standardised together; the largest class is
    compared with the largest of all classes in each copy, the next with the largest of those that
    are left, and so on. Holm's bound would need ``classes / alpha`` copies to call anything (200
    random networks for ten classes); this needs ``1 / alpha``.

    Args:
        observed: statistic of each class, higher = more surprising.
        null: of the copies; a row holds the classes of one copy.

    Raises:
        InputError: shapes that do not fit.

    Source: Westfall & Young, 1993, Resampling-Based Multiple Testing (step-down maximum).
    """
    if null.ndim != 2 or null.shape[1] != len(observed) or not len(null):
        raise InputError(
            "null", expected=f"of shape (copies, {len(observed)})", got=str(null.shape)
        )
    both = np.concatenate([observed[None], null])
    spread = both.std(axis=0)
    scores = (both - both.mean(axis=0)) / np.where(spread > 0, spread, 1)
    order = np.argsort(-scores[0], kind="stable")
    adjusted = np.empty(len(observed))
    before = 0.0
    for place, index in enumerate(order):
        largest = scores[1:, order[place:]].max(axis=1)
        before = max(before, permutation_p(float(scores[0, index]), largest))
        adjusted[index] = before
    return adjusted
