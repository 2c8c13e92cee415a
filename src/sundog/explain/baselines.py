"""Baselines in pixel space: what 'absent' looks like, before the classifier's normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from sundog.core.blur import blur_images as blur_images
from sundog.core.errors import InputError, UnknownNameError
from sundog.core.seeds import derive_seed, image_generator
from sundog.core.shapes import Images, Labels

BaselineName = Literal["black", "white", "grey", "mean", "blur", "uniform"]
Baseline = BaselineName | float | Tensor
Baselines = Baseline | Sequence[Baseline]
"""One baseline, or several whose attributions are averaged."""


def make_baseline(images: Images, baseline: Baseline = "black", *, seed: int = 0) -> Images:
    """Return one baseline image per image, ``float[batch, 3, height, width]`` in [0, 1].

    Args:
        images: the images that are explained.
        baseline: ``black`` 0, ``white`` 1, ``grey`` 0.5, ``mean`` (each image's channel mean),
            ``blur`` (Gaussian, sigma = 5 % of the shorter side), ``uniform`` (noise from the seed
            and the image), a number, or a tensor that broadcasts to the images.
        seed: for ``uniform``.

    Raises:
        UnknownNameError: unknown name.
        InputError: a tensor that does not broadcast to the images, NaN or infinity.
    """
    if isinstance(baseline, (Tensor, float)) and not bool(
        torch.isfinite(torch.as_tensor(baseline)).all()
    ):
        raise InputError("baseline", expected="finite", got="NaN or infinity")
    if isinstance(baseline, Tensor):
        return _expand(baseline.to(images), images).contiguous()
    if isinstance(baseline, (int, float)):
        return torch.full_like(images, float(baseline))
    constants = {"black": 0.0, "grey": 0.5, "white": 1.0}
    if baseline in constants:
        return torch.full_like(images, constants[baseline])
    if baseline == "mean":
        return images.mean(dim=(2, 3), keepdim=True).expand_as(images).contiguous()
    if baseline == "blur":
        return blur_images(images, sigma=max(0.5, 0.05 * min(images.shape[2:])))
    if baseline == "uniform":
        drawn = [
            torch.rand(image.shape, generator=image_generator(image, seed, "uniform baseline"))
            for image in images
        ]
        return torch.stack(drawn).to(images)
    raise UnknownNameError("baseline", str(baseline), get_args(BaselineName))


def _expand(baseline: Tensor, images: Images) -> Images:
    try:
        return baseline.expand_as(images)
    except RuntimeError as error:
        raise InputError(
            "baseline",
            expected=f"a tensor that broadcasts to {tuple(images.shape)}",
            got=str(tuple(baseline.shape)),
        ) from error


def take_baselines(baseline: Baselines, images: Images, part: slice | Labels) -> Baselines:
    """Return the baselines of a part of the images: rows of those that have one row per image.

    Args:
        baseline: of all the images.
        images: all of them.
        part: a slice, or the image of each row.

    Raises:
        InputError: a tensor that does not broadcast to the images.
    """
    if isinstance(baseline, Tensor):
        _expand(baseline, images)
        where = part if isinstance(part, slice) else part.to(baseline.device)
        return baseline[where] if baseline.ndim == 4 and len(baseline) > 1 else baseline
    if isinstance(baseline, Sequence) and not isinstance(baseline, str):
        return [cast(Baseline, take_baselines(one, images, part)) for one in baseline]
    return baseline


def baseline_text(baseline: Baselines) -> str:
    """Return how a result names this baseline."""
    if isinstance(baseline, Tensor):
        return f"tensor{tuple(baseline.shape)}"
    if isinstance(baseline, Sequence) and not isinstance(baseline, str):
        return "mean over " + ", ".join(baseline_text(one) for one in baseline)
    return str(baseline)


def make_baselines(images: Images, baseline: Baselines = "black", *, seed: int = 0) -> list[Images]:
    """Return the baselines as a list, one tensor like the images for each.

    Args:
        images: the images that are explained.
        baseline: one baseline (:func:`make_baseline`), or a non-empty list of them. A background
            set ``[k, 3, height, width]`` is given as ``list(background)``.
        seed: for ``uniform``; each further baseline of a list has its own noise.

    Raises:
        InputError: an empty list, or a baseline that is none.
    """
    if isinstance(baseline, (str, int, float, Tensor)):
        return [make_baseline(images, cast(Baseline, baseline), seed=seed)]
    if not isinstance(baseline, Sequence) or not baseline:
        raise InputError(
            "baseline",
            expected="a name, a number, a tensor, or a non-empty list of these",
            got=f"an empty {type(baseline).__name__}"
            if isinstance(baseline, Sequence)
            else type(baseline).__name__,
        )
    several = cast(Sequence[Baseline], baseline)
    return [
        make_baseline(images, one, seed=derive_seed(seed, k) if k else seed)
        for k, one in enumerate(several)
    ]
