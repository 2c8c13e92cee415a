"""Noise tunnel: SmoothGrad, SmoothGrad-square and VarGrad over any method.

Source: Smilkov, Thorat, Kim, Viegas & Wattenberg, 2017, arXiv 1706.03825 (SmoothGrad);
Hooker, Erhan, Kindermans & Kim, 2018, arXiv 1806.10758 (SmoothGrad-square);
Adebayo, Gilmer, Goodfellow & Kim, 2018, arXiv 1810.03307 (VarGrad).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from sundog.core.errors import InputError, UnknownNameError
from sundog.core.seeds import generator
from sundog.core.shapes import Images, Labels
from sundog.explain.baselines import take_baselines
from sundog.explain.budget import DEFAULT_BUDGET
from sundog.explain.objective import OutputKind, Target, make_objective
from sundog.explain.passes import gradients_off
from sundog.explain.reduction import Reduction, reduce_channels
from sundog.explain.sampling import check_samples, check_spread, image_seeds, row_chunks
from sundog.models.classifier import Classifier

Mode = Literal["smoothgrad", "smoothgrad_square", "vargrad"]


@gradients_off()
def noise_tunnel(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    inner: str = "gradient_norm",
    inner_parameters: Mapping[str, Any] | None = None,
    mode: Mode = "smoothgrad",
    n_samples: int = 25,
    noise: float = 0.15,
    stdevs: float | None = None,
    reduction: Reduction | None = None,
    output: OutputKind | None = None,
    seed: int = 0,
    budget: int = DEFAULT_BUDGET,
) -> Tensor:
    """Return the mean, mean square or variance of a method's attribution under input noise.

    Operator, with ``p_j`` the inner attribution (per channel, before reduction) of ``x + e_j``,
    ``e_j ~ N(0, s^2)``: ``smoothgrad`` mean_j p_j; ``smoothgrad_square`` mean_j p_j^2; ``vargrad``
    mean_j p_j^2 - (mean_j p_j)^2; then the reduction over channels. The class is fixed on the clean
    image; the noise depends on the seed and on the image alone and is not clipped to [0, 1].

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        target: class per image, one class, a scalar of the logits, or None: the predicted class.
        inner: name of any method of the table but this one.
        inner_parameters: its own parameters; not target, output, budget or reduction.
        mode: smoothgrad, smoothgrad_square or vargrad.
        n_samples: noisy copies per image, >= 1.
        noise: s relative to the image's range, ``s = noise * (max x - min x)``, >= 0.
        stdevs: s in [0, 1] units, >= 0; if given, ``noise`` is not used.
        reduction: over channels, for inner methods per pixel and channel; None is the inner
            method's own for smoothgrad, and ``sum`` for the other two (sum over channels of the
            mean square or variance). A map per pixel (class activation maps) is not reduced.
        output: logit, probability or log_probability; None is the inner method's default.
        seed: of the noise.
        budget: bytes of activations held at once.

    Returns:
        ``float[batch, height, width]``; smoothgrad: read as the inner map; smoothgrad_square:
        >= 0, high = large attribution; vargrad: >= 0, high = attribution unstable under noise.

    Raises:
        UnknownNameError: unknown inner method or inner parameter.
        InputError: bad images, target, mode, n_samples, noise or stdevs.

    Source: Smilkov et al., 2017, arXiv 1706.03825; Hooker et al., 2018, arXiv 1806.10758;
    Adebayo et al., 2018, arXiv 1810.03307.
    """
    if mode not in get_args(Mode):
        raise InputError("mode", expected=f"one of {get_args(Mode)}", got=repr(mode))
    check_samples(n_samples)
    spread = noise if stdevs is None else stdevs
    check_spread("noise" if stdevs is None else "stdevs", spread)
    explain, reduce = _inner_method(inner, dict(inner_parameters or {}), mode, reduction)
    kind = output or inspect.signature(explain).parameters["output"].default
    objective = make_objective(classifier, images, target, output=kind, clean_logits=False)
    own = dict(inner_parameters or {}).get("baseline")
    scale = torch.full_like(images[:, :1, :1, :1], spread)
    if stdevs is None:
        scale = scale * (images.amax((1, 2, 3), True) - images.amin((1, 2, 3), True))

    moments: list[Tensor] = []
    for owner, first, rows in _noisy_rows(classifier, images, scale, n_samples, seed, budget):
        more = {} if own is None else {"baseline": take_baselines(own, images, owner)}
        raw = explain(
            classifier, rows, objective.of_rows(owner), output=kind, budget=budget, **more
        )
        if not moments:
            zeros = raw.new_zeros((len(images), *raw.shape[1:]))
            moments = [zeros, zeros.clone(), zeros.clone()]
        origin, mean, square = moments
        # Moments about each image's first sample: no cancellation where the variance is small.
        origin[owner[first]] = raw[first] if mode == "vargrad" else torch.zeros_like(raw[first])
        moved = raw - origin[owner]
        mean.index_add_(0, owner, moved / n_samples)
        square.index_add_(0, owner, moved.square() / n_samples)
    origin, mean, square = moments
    result = {
        "smoothgrad": mean,
        "smoothgrad_square": square,
        "vargrad": (square - mean.square()).clamp_min(0),
    }[mode]
    return reduce(result)


def _noisy_rows(
    classifier: Classifier,
    images: Images,
    scale: Tensor,
    n_samples: int,
    seed: int,
    budget: int,
) -> Iterator[tuple[Labels, Tensor, Images]]:
    """Yield (image index, whether it is the image's first sample, noisy rows) in chunks."""
    seeds = image_seeds(images, seed, "noise tunnel")
    for owner, sample in row_chunks(
        classifier, images, points=n_samples, gradient=classifier.differentiable, budget=budget
    ):
        drawn = [
            torch.randn(images.shape[1:], generator=generator(seeds[i], k))
            for i, k in zip(owner.tolist(), sample.tolist(), strict=True)
        ]
        rows = torch.stack(drawn).to(images).mul_(scale[owner]).add_(images[owner])
        yield owner, sample == 0, rows


def _inner_method(
    name: str, parameters: dict[str, Any], mode: Mode, reduction: Reduction | None
) -> tuple[Callable[..., Tensor], Callable[[Tensor], Tensor]]:
    """Return the inner method that keeps its channels, and the reduction to apply at the end."""
    from sundog.explain.registry import get_method  # here, because the table lists this method

    method = get_method(name)
    if method.function is noise_tunnel:
        raise InputError("inner", expected="another method than noise_tunnel", got=repr(name))
    accepted = inspect.signature(method.function).parameters
    taken = {"classifier", "images", "target", "output", "budget", "reduction"}
    for key in parameters:
        if key not in accepted or key in taken:
            raise UnknownNameError(f"parameter of {name}", key, set(accepted) - taken)
    if method.space != "pixel" or "reduction" not in accepted:
        return partial(method.function, **parameters), lambda raw: raw
    default: Reduction = accepted["reduction"].default if mode == "smoothgrad" else "sum"
    chosen = reduction or default
    explain = partial(method.function, reduction="none", **parameters)
    return explain, lambda raw: reduce_channels(raw, chosen)
