"""What a latent space holds: images along each latent, densities, accuracy by latent value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.shapes import Images
from sundog.core.statistics import wilson_interval


@dataclass(frozen=True, eq=False)
class Traversal:
    """Images along some latents.

    Attributes:
        latents: ``int64[rows]``, which latents, those that vary most first.
        values: ``float64[rows, steps]``, rising: the value of that latent.
        grid: ``float32[rows, steps, height, width, 3]`` in [0, 1]: the decoded images, all other
            latents at their mean.
        spread: ``float64[rows]``, standard deviation of each latent's mean over the images.
    """

    latents: Int64[np.ndarray, "rows"]
    values: Float[np.ndarray, "rows steps"]
    grid: Float[np.ndarray, "rows steps height width 3"]
    spread: Float[np.ndarray, "rows"]


def latent_traversal(
    decode: Callable[[Float[Tensor, "batch latent"]], Images],
    mu: Float[np.ndarray, "images latent"],
    *,
    latents: Sequence[int] | None = None,
    most: int = 8,
    steps: int = 15,
    reach: float = 3.0,
) -> Traversal:
    """Decode images around the mean latent while one latent moves.

    Latent k takes ``steps`` equally spaced values from ``mean_k - reach sd_k`` to
    ``mean_k + reach sd_k``, mean and standard deviation (ddof = 1) over the images. A latent that
    does not vary has no row.

    Args:
        decode: from latent vectors to images in [0, 1], such as ``estimator.decode``.
        mu: latents of the images, finite, at least two rows.
        latents: which, in this order; None: the ``most`` with the largest standard deviation.
        most: rows at most when ``latents`` is None, >= 1.
        steps: images per row, >= 2.
        reach: standard deviations to either side, > 0.

    Raises:
        InputError: an argument out of range, or values that are not finite.

    Source: MIT 6.S191, the face lab of 2023 (15 steps).
    """
    codes = _check_codes(mu)
    if steps < 2:
        raise InputError("steps", expected=">= 2", got=str(steps))
    if most < 1:
        raise InputError("most", expected=">= 1", got=str(most))
    if not 0 < reach < np.inf:
        raise InputError("reach", expected="> 0", got=str(reach))
    mean, spread = codes.mean(axis=0), codes.std(axis=0, ddof=1)
    chosen = _chosen(latents, spread, most)
    offsets = np.linspace(-reach, reach, steps)
    values = mean[chosen, None] + spread[chosen, None] * offsets[None, :]
    rows = []
    for latent, along in zip(chosen, values, strict=True):
        vectors = np.repeat(mean[None, :], steps, axis=0)
        vectors[:, latent] = along
        images = decode(torch.from_numpy(vectors).float()).detach().cpu().float()
        rows.append(images.permute(0, 2, 3, 1).numpy())
    return Traversal(latents=chosen, values=values, grid=np.stack(rows), spread=spread[chosen])


@dataclass(frozen=True, eq=False)
class LatentDensity:
    """How many images lie at each value of each latent.

    Attributes:
        edges: ``float64[latent, bins + 1]``, rising; for a latent that does not vary, around its
            value.
        counts: ``int64[latent, bins]``; every image is in one bin of each latent.
        density: ``float64[latent, bins]``, images per unit of the latent, as a share of all.
    """

    edges: Float[np.ndarray, "latent edges"]
    counts: Int64[np.ndarray, "latent bins"]
    density: Float[np.ndarray, "latent bins"]


def latent_density(mu: Float[np.ndarray, "images latent"], *, bins: int = 30) -> LatentDensity:
    """Return the histogram of each latent, bins of equal width from its lowest to highest value.

    Args:
        mu: latents of the images, finite, at least two rows.
        bins: per latent, >= 1.

    Raises:
        InputError: an argument out of range, or values that are not finite.
    """
    codes = _check_codes(mu)
    if bins < 1:
        raise InputError("bins", expected=">= 1", got=str(bins))
    found = [np.histogram(column, bins=bins) for column in codes.T]
    counts = np.stack([count for count, _ in found]).astype(np.int64)
    edges = np.stack([edge for _, edge in found])
    return LatentDensity(
        edges=edges, counts=counts, density=counts / (len(codes) * np.diff(edges, axis=1))
    )


@dataclass(frozen=True, eq=False)
class AccuracyByLatent:
    """Accuracy where a latent's values are common and where they are rare.

    Attributes:
        edges: ``float64[latent, bins + 1]``, rising.
        counts: ``int64[latent, bins]``, images; those beyond the outer edges are in no bin.
        share: ``float64[latent, bins]``, of all images.
        accuracy: ``float64[latent, bins]``, NaN in an empty bin.
        low: lower end of the 95 % Wilson interval.
        high: upper end.
        mean_accuracy: ``float64[bins]``, the mean over the latents that have images there.
        mean_share: ``float64[bins]``, likewise.
    """

    edges: Float[np.ndarray, "latent edges"]
    counts: Int64[np.ndarray, "latent bins"]
    share: Float[np.ndarray, "latent bins"]
    accuracy: Float[np.ndarray, "latent bins"]
    low: Float[np.ndarray, "latent bins"]
    high: Float[np.ndarray, "latent bins"]
    mean_accuracy: Float[np.ndarray, "bins"]
    mean_share: Float[np.ndarray, "bins"]


def accuracy_by_latent(
    mu: Float[np.ndarray, "images latent"],
    correct: Bool[np.ndarray, "images"],
    *,
    bins: int = 14,
    tail: float = 0.05,
    level: float = 0.95,
) -> AccuracyByLatent:
    """Cut each latent between two percentiles into equal bins and score the images of each.

    The lab averages the face logit of faces over the latents and scales it to [0, 1]; this counts
    right answers of images of any class, with the number of images and an interval, unscaled.

    Args:
        mu: latents of the images, finite, at least two rows.
        correct: whether each image was classified right.
        bins: per latent, >= 1 (the lab's 15 edges make 14).
        tail: share of the images beyond the outer edges on either side, in [0, 0.5).
        level: of the intervals.

    Raises:
        InputError: an argument out of range, lengths that differ, values that are not finite.

    Source: MIT 6.S191, the face lab of 2023.
    """
    codes = _check_codes(mu)
    right = np.asarray(correct)
    if right.dtype != np.bool_ or right.shape != (len(codes),):
        raise InputError(
            "correct",
            expected=f"one bool per image, shape ({len(codes)},)",
            got=f"{right.dtype}{right.shape}",
        )
    if bins < 1:
        raise InputError("bins", expected=">= 1", got=str(bins))
    if not 0 <= tail < 0.5:
        raise InputError("tail", expected="in [0, 0.5)", got=str(tail))
    ends = np.quantile(codes, [tail, 1 - tail], axis=0)
    flat = ends[1] <= ends[0]
    ends = np.where(flat, ends + np.array([[-0.5], [0.5]]), ends)
    edges = np.linspace(ends[0], ends[1], bins + 1, axis=1)
    counts = np.zeros((codes.shape[1], bins), dtype=np.int64)
    hits = np.zeros_like(counts)
    for latent, column in enumerate(codes.T):
        counts[latent] = np.histogram(column, bins=edges[latent])[0]
        hits[latent] = np.histogram(column[right], bins=edges[latent])[0]
    estimates = [
        wilson_interval(int(hit), int(n), level=level)
        for hit, n in zip(hits.flat, counts.flat, strict=True)
    ]
    accuracy, low, high = (
        np.array([getattr(e, name) for e in estimates]).reshape(counts.shape)
        for name in ("value", "low", "high")
    )
    share = counts / len(codes)
    filled = counts > 0
    number = np.maximum(filled.sum(axis=0), 1)
    some = filled.any(axis=0)
    return AccuracyByLatent(
        edges=edges,
        counts=counts,
        share=share,
        accuracy=accuracy,
        low=low,
        high=high,
        mean_accuracy=np.where(some, np.where(filled, accuracy, 0).sum(axis=0) / number, np.nan),
        mean_share=np.where(some, np.where(filled, share, 0).sum(axis=0) / number, 0.0),
    )


def _check_codes(mu: np.ndarray) -> Float[np.ndarray, "images latent"]:
    codes = np.asarray(mu, dtype=np.float64)
    if codes.ndim != 2 or len(codes) < 2 or codes.shape[1] < 1:
        raise InputError(
            "mu", expected="[images, latent] with at least two images", got=str(codes.shape)
        )
    bad = int((~np.isfinite(codes)).any(axis=1).sum())
    if bad:
        raise InputError(
            "mu",
            expected="finite",
            got=f"NaN or infinity in {bad} of {len(codes)} images",
            hint="Leave out the images of other classes first.",
        )
    return codes


def _chosen(
    latents: Sequence[int] | None, spread: Float[np.ndarray, "latent"], most: int
) -> Int64[np.ndarray, "rows"]:
    if latents is None:
        order = np.argsort(-spread, kind="stable")
        chosen = order[spread[order] > 0][:most]
    else:
        chosen = np.asarray(latents, dtype=np.int64).reshape(-1)
        if len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(spread)):
            raise InputError(
                "latents",
                expected=f"in 0..{len(spread) - 1}",
                got=f"{chosen.min()}..{chosen.max()}",
            )
        chosen = chosen[spread[chosen] > 0]
    if not len(chosen):
        raise InputError(
            "mu",
            expected="with a latent that varies",
            got="the same values for every image",
            hint="The VAE has collapsed: lower kl_weight or train longer.",
        )
    return chosen.astype(np.int64)
