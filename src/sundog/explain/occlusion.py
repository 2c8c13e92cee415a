"""Occlusion: how much the explained scalar drops when a part of the image is covered.

Source: Zeiler & Fergus, 2013, arXiv 1311.2901.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.shapes import Images, Labels, Maps
from sundog.explain.baselines import Baseline, make_baseline
from sundog.explain.budget import DEFAULT_BUDGET
from sundog.explain.objective import Objective, OutputKind, Target, make_objective
from sundog.explain.passes import forward_rows, gradients_off
from sundog.explain.reduction import resize_maps
from sundog.explain.windows import Pair, Windows, grid_windows, sliding_windows
from sundog.models.classifier import Classifier


@gradients_off()
def occlusion(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    grid: Pair = 6,
    window: Pair | None = None,
    stride: Pair | None = None,
    baseline: Baseline = "black",
    seed: int = 0,
    resized: bool = True,
    output: OutputKind = "probability",
    budget: int = DEFAULT_BUDGET,
) -> Tensor:
    """Return how much the explained scalar drops when each part of the image is covered.

    Operator: ``R(k) = f_c(x) - f_c(x with window k replaced by the baseline)``.

    With ``grid`` (the default, the seed's) the windows are the S x S cells of a grid without
    overlap, cell (i, j) being rows ``int(i H / S) ... int((i + 1) H / S) - 1`` and the like for
    columns, and the S x S relevances are resized bilinearly to the image. With ``window`` a window
    slides in steps of ``stride``, and a pixel gets the mean of R over the windows that cover it.

    Args:
        classifier: in eval mode; needs no gradient.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        target: class per image, one class, a scalar of the logits, or None: the class predicted
            for the clean image.
        grid: S cells per axis, or (down, across); ignored when ``window`` is given.
        window: size of a sliding window in pixels, one number or (height, width).
        stride: step of the sliding window in pixels, at most the window; None: the window's size.
        baseline: what covers a window, in [0, 1] before normalisation; ``black`` is the seed's.
        seed: for ``baseline="uniform"``.
        resized: False returns one value per window, ``[batch, down, across]``.
        output: probability (the seed's), logit or log_probability.
        budget: bytes of activations held at once.

    Returns:
        ``float[batch, height, width]``, signed; high = covering this part lowers the scalar, the
        part speaks for the class; negative = it speaks against. Units: those of the scalar.

    Raises:
        InputError: bad images, target or output; an image smaller than the grid or the window.
        ModelStateError: train mode.

    Source: Zeiler & Fergus, 2013, arXiv 1311.2901.
    """
    if stride is not None and window is None:
        raise InputError("stride", expected="given together with window", got="no window")
    objective = make_objective(classifier, images, target, output=output)
    size = (images.shape[2], images.shape[3])
    if window is None:
        windows = grid_windows(size, grid, device=images.device)
    else:
        windows = sliding_windows(size, window, stride, device=images.device)
    fill = make_baseline(images, baseline, seed=seed)
    drops = window_drops(classifier, images, objective, windows, fill, budget=budget)
    if not resized:
        return drops.reshape(len(images), *windows.shape)
    if window is None:
        return resize_maps(drops.reshape(len(images), *windows.shape), size)
    return _mean_over_windows(drops, windows)


def window_drops(
    classifier: Classifier,
    images: Images,
    objective: Objective,
    windows: Windows,
    fill: Images,
    *,
    budget: int = DEFAULT_BUDGET,
) -> Tensor:
    """Return ``float[batch, windows]``: the drop of the scalar when each window shows ``fill``."""
    clean = objective(objective.logits)
    drops = clean.new_empty(len(images), len(windows))

    def cover(owner: Labels, point: Labels) -> Images:
        return torch.where(windows.masks(point)[:, None], fill[owner], images[owner])

    def read(logits: Tensor, owner: Labels, point: Labels) -> None:
        drops[owner, point] = clean[owner] - objective(logits, owner)

    forward_rows(classifier, images, points=len(windows), make_rows=cover, read=read, budget=budget)
    return drops.detach()


def _mean_over_windows(drops: Tensor, windows: Windows, *, chunk: int = 64) -> Maps:
    """Give each pixel the mean of the drops of the windows that cover it."""
    total = drops.new_zeros(len(drops), windows.size[0] * windows.size[1])
    count = drops.new_zeros(total.shape[1])
    for index in torch.split(torch.arange(len(windows), device=drops.device), chunk):
        masks = windows.masks(index).flatten(1).to(drops.dtype)
        total += drops[:, index] @ masks
        count += masks.sum(dim=0)
    return (total / count).reshape(len(drops), *windows.size)
