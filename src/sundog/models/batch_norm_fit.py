"""Which normalisation was a network trained with? Its first batch norm remembers.

A batch norm keeps the mean and variance of what it was given in training. Images that are fed as
they were then give the same moments again; images that are fed otherwise do not. No label is
needed. Images of another kind give other moments too: the answer is about these images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sundog.core.errors import InputError
from sundog.core.shapes import Images
from sundog.core.statistics import Estimate
from sundog.models.classifier import Classifier
from sundog.models.normalisations import Normalisation, seen_as

CAP = 10.0
"""A channel counts at most this many nats: a dead channel would outweigh all others."""
RESAMPLES = 999
Moments = Float[np.ndarray, "images moments channels"]
"""Mean and mean square of each channel of each image."""


@dataclass(frozen=True)
class RunningMoments:
    """What a batch norm remembers: mean and variance per channel, and its epsilon."""

    name: str
    mean: Float[np.ndarray, "channels"]
    variance: Float[np.ndarray, "channels"]
    epsilon: float


@dataclass(frozen=True)
class Fit:
    """How well one normalisation fits what the first batch norm remembers.

    Attributes:
        normalisation: the way to feed.
        divergence: nats per channel, lower is better; 0 is a perfect fit.
        gain: divergence as given minus this one, with its bootstrap interval; > 0: fits better.
    """

    normalisation: Normalisation
    divergence: float
    gain: Estimate


class _Found(Exception):  # noqa: N818  # no error: it ends a pass early
    """Carries what the first batch norm was given out of a forward pass."""

    def __init__(self, module: nn.Module, given: Tensor) -> None:
        super().__init__()
        self.module = module
        self.given = given


def first_batch_norm(classifier: Classifier, image: Images) -> RunningMoments | None:
    """Return what the batch norm that a pass meets first remembers; None if there is none.

    Args:
        classifier: in eval mode.
        image: ``float[1, 3, height, width]`` in [0, 1].
    """
    met = _first(classifier, image[:1])
    if met is None:
        return None
    module = met.module
    name = next(n for n, m in classifier.network.named_modules() if m is module)
    mean, variance = _running(module)
    return RunningMoments(
        name=name,
        mean=mean.detach().cpu().double().numpy(),
        variance=variance.detach().cpu().double().numpy(),
        epsilon=float(getattr(module, "eps", 1e-5)),
    )


@torch.no_grad()
def input_moments(classifier: Classifier, images: Images, *, batch_size: int = 16) -> Moments:
    """Return mean and mean square of each channel that the first batch norm is given, per image.

    The pass ends there: it costs a small part of a forward.

    Args:
        classifier: in eval mode, with a batch norm.
        images: ``float[n, 3, height, width]``; values outside [0, 1] are taken.
        batch_size: images per pass.

    Raises:
        InputError: a network without a batch norm.
    """
    parts = []
    for part in torch.split(images, batch_size):
        met = _first(classifier, part.to(classifier.device))
        if met is None:
            raise InputError("The network", expected="one with a batch norm", got="none")
        given = met.given.double().reshape(*met.given.shape[:2], -1)
        parts.append(torch.stack([given.mean(dim=2), (given**2).mean(dim=2)], dim=1).cpu())
    return torch.cat(parts).numpy()


def divergence(
    moments: Float[np.ndarray, "samples moments channels"], running: RunningMoments
) -> Float[np.ndarray, "samples"]:
    """Return the mean over channels of ``KL(N(m, v) || N(mean, variance))``, in nats, capped.

    Args:
        moments: means and mean squares, ``[samples, 2, channels]``.
        running: what the batch norm remembers.
    """
    mean, square = moments[:, 0], moments[:, 1]
    variance = np.maximum(square - mean**2, 0) + running.epsilon
    known = running.variance + running.epsilon
    nats = 0.5 * (
        variance / known + (mean - running.mean) ** 2 / known - 1 - np.log(variance / known)
    )
    return np.minimum(nats, CAP).mean(axis=1)


def compare_fits(
    classifier: Classifier,
    images: Images,
    others: Sequence[Normalisation],
    *,
    running: RunningMoments,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, tuple[Fit, ...]]:
    """Return the divergence as given, and how well each other normalisation fits.

    The images are resampled (percentile bootstrap); all ways share the resamples.

    Args:
        classifier: in eval mode.
        images: ``float[n, 3, height, width]`` in [0, 1], n >= 2.
        others: ways to feed that differ from the given one.
        running: of :func:`first_batch_norm`.
        level: of the intervals of the gains.
        seed: of the bootstrap.
    """
    n = len(images)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n

    def measure(shown: Images) -> tuple[float, Float[np.ndarray, "resamples"]]:
        moments = input_moments(classifier, shown)
        flat = moments.reshape(n, -1)
        resampled = (drawn @ flat).reshape(RESAMPLES, *moments.shape[1:])
        whole = divergence(moments.mean(axis=0, keepdims=True), running)
        return float(whole[0]), divergence(resampled, running)

    given, given_resampled = measure(images)
    tail = (1 - level) / 2
    fits = []
    for other in others:
        own, resampled = measure(seen_as(classifier, images, other))
        low, high = np.quantile(given_resampled - resampled, [tail, 1 - tail])
        gain = Estimate(given - own, float(low), float(high), n, level, "percentile")
        fits.append(Fit(normalisation=other, divergence=own, gain=gain))
    return given, tuple(fits)


def _running(module: nn.Module) -> tuple[Tensor, Tensor]:
    mean: Tensor = module.running_mean  # type: ignore[assignment]
    variance: Tensor = module.running_var  # type: ignore[assignment]
    return mean, variance


def _remembers(module: nn.Module) -> bool:
    mean, variance = getattr(module, "running_mean", None), getattr(module, "running_var", None)
    return isinstance(mean, Tensor) and isinstance(variance, Tensor) and mean.ndim == 1


@torch.no_grad()
def _first(classifier: Classifier, images: Images) -> _Found | None:
    def stop(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        given = inputs[0]
        if isinstance(given, Tensor) and given.shape[1:2] == _running(module)[0].shape:
            raise _Found(module, given)

    handles = [
        module.register_forward_pre_hook(stop)
        for module in classifier.network.modules()
        if not isinstance(module, torch.jit.ScriptModule) and _remembers(module)
    ]
    try:
        if handles:
            classifier.forward(images)
    except _Found as found:
        return found
    finally:
        for handle in handles:
            handle.remove()
    return None
