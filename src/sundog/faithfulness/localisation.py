"""Does the relevance lie where it should? Scores of a map against a mask, one per image.

A mask is where the evidence is known to be (a planted cue, an object). The chance level
of each share is the mask's share of the image, so :func:`mass_lift` divides by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.shapes import Maps


@dataclass(frozen=True, eq=False)
class Localisation:
    """One score per image.

    Attributes:
        values: ``float64[batch]``; NaN where there is no score.
        reasons: why an image has no score (``"empty mask"``, ``"map not finite"``,
            ``"map is zero"``, ``"no positive relevance"``), ``""`` where it has one.
    """

    values: NDArray[np.float64]
    reasons: tuple[str, ...]


def relevance_mass(maps: Maps, masks: Tensor, *, positive_only: bool = True) -> Localisation:
    """Return the share of the relevance that lies inside the mask; higher is better.

    ``sum over mask of max(R, 0) / sum over image of max(R, 0)``.

    Args:
        maps: ``float[batch, height, width]``.
        masks: ``bool[batch, height, width]``, True where the relevance should be.
        positive_only: count positive relevance alone; False counts magnitudes, ``|R|``.

    Returns:
        Shares in [0, 1]; chance level: the mask's share of the image. A constant positive map
        gives that share exactly.

    Raises:
        InputError: maps and masks of different shapes, masks that are not boolean.

    Source: Arras, Osman & Samek, 2022 (CLEVR-XAI), arXiv 2003.07258.
    """

    def score(relevance: NDArray[np.float64], mask: NDArray[np.bool_]) -> float | str:
        mass = np.maximum(relevance, 0) if positive_only else np.abs(relevance)
        peak = float(mass.max())
        if peak == 0:
            return "no positive relevance"
        mass = mass / peak  # tiny or huge maps neither vanish nor overflow
        return float(mass[mask].sum() / mass.sum())

    return _each(maps, masks, score)


def mass_lift(maps: Maps, masks: Tensor, *, positive_only: bool = True) -> Localisation:
    """Return relevance mass divided by the mask's share of the image; 1 is chance, higher better.

    Args:
        maps: ``float[batch, height, width]``.
        masks: ``bool[batch, height, width]``.
        positive_only: see :func:`relevance_mass`.

    Returns:
        Values >= 0, at most 1 / the mask's share; 1 for a constant map or a mask of every pixel.

    Raises:
        InputError: see :func:`relevance_mass`.
    """
    mass = relevance_mass(maps, masks, positive_only=positive_only)
    share = masks.flatten(1).double().mean(dim=1).cpu().numpy()
    share = np.where(share > 0, share, np.nan)
    return Localisation(mass.values / share, mass.reasons)


def rank_accuracy(maps: Maps, masks: Tensor) -> Localisation:
    """Return the share of the K most relevant pixels that lie in the mask of K pixels.

    Ties at the K-th place are broken fairly: each tied pixel counts with its chance of being
    among the K (the expected value over all orders). Higher is better.

    Args:
        maps: ``float[batch, height, width]``.
        masks: ``bool[batch, height, width]``.

    Returns:
        Shares in [0, 1]; chance level, and the value of a constant map: the mask's area share.

    Raises:
        InputError: see :func:`relevance_mass`.

    Source: Arras, Osman & Samek, 2022 (CLEVR-XAI), arXiv 2003.07258.
    """

    def score(relevance: NDArray[np.float64], mask: NDArray[np.bool_]) -> float:
        size = int(mask.sum())
        threshold = np.partition(relevance.ravel(), relevance.size - size)[relevance.size - size]
        above, tied = relevance > threshold, relevance == threshold
        chance = (size - above.sum()) / tied.sum()
        return float((above[mask].sum() + chance * tied[mask].sum()) / size)

    return _each(maps, masks, score)


def pointing_game(maps: Maps, masks: Tensor, *, tolerance: float = 0.0) -> Localisation:
    """Return whether the most relevant pixel hits the mask: 1 hit, 0 miss; higher is better.

    Equal maxima share the point: the value is the share of them that hits (the expected value).

    Args:
        maps: ``float[batch, height, width]``.
        masks: ``bool[batch, height, width]``.
        tolerance: pixels that the point may lie outside the mask (Euclidean), 15 in the paper.

    Returns:
        Values in [0, 1]; a constant map gives the area share of the (widened) mask.

    Raises:
        InputError: see :func:`relevance_mass`; a negative tolerance.

    Source: Zhang et al., 2018 (Excitation Backprop), IJCV 126, arXiv 1608.00507.
    """
    if tolerance < 0:
        raise InputError("tolerance", expected="at least 0 pixels", got=str(tolerance))

    def score(relevance: NDArray[np.float64], mask: NDArray[np.bool_]) -> float:
        area = mask if tolerance == 0 else np.asarray(distance_transform_edt(~mask)) <= tolerance
        return float(area[relevance == relevance.max()].mean())

    return _each(maps, masks, score)


LOCALISATION: dict[str, Callable[..., Localisation]] = {
    "relevance_mass": relevance_mass,
    "mass_lift": mass_lift,
    "rank_accuracy": rank_accuracy,
    "pointing_game": pointing_game,
}
"""Name to ``function(maps, masks)``; all are better when higher and cost no forward pass."""


def _each(
    maps: Maps,
    masks: Tensor,
    score: Callable[[NDArray[np.float64], NDArray[np.bool_]], float | str],
) -> Localisation:
    """Score each image, after the checks that all scores share."""
    if maps.ndim != 3 or maps.shape != masks.shape:
        raise InputError(
            "masks",
            expected=f"of the maps' shape [batch, height, width] = {tuple(maps.shape)}",
            got=str(tuple(masks.shape)),
        )
    if masks.is_floating_point() or bool(((masks != 0) & (masks != 1)).any()):
        raise InputError(
            "masks", expected="boolean", got=str(masks.dtype), hint="Threshold them first."
        )
    values, reasons = np.full(len(maps), np.nan), []
    pairs = zip(maps.detach().cpu().double().numpy(), masks.cpu().bool().numpy(), strict=True)
    for index, (relevance, mask) in enumerate(pairs):
        found: float | str
        if not mask.any():
            found = "empty mask"
        elif not np.isfinite(relevance).all():
            found = "map not finite"
        elif not relevance.any():
            found = "map is zero"
        else:
            found = score(relevance, mask)
        reasons.append(found if isinstance(found, str) else "")
        if not isinstance(found, str):
            values[index] = found
    return Localisation(values, tuple(reasons))
