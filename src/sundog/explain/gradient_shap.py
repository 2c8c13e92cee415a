"""Gradient SHAP: expected gradients over noisy images, baselines and points between the two.

Source: Erion, Janizek, Sturmfels, Lundberg & Lee, 2019, arXiv 1906.10670 (expected gradients);
Lundberg & Lee, 2017, arXiv 1705.07874.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sundog.core.seeds import generator
from sundog.core.shapes import Images
from sundog.explain.baselines import Baselines, make_baselines
from sundog.explain.budget import DEFAULT_BUDGET
from sundog.explain.objective import OutputKind, Target, make_objective
from sundog.explain.passes import gradients_off, input_gradient
from sundog.explain.reduction import Reduction, reduce_channels
from sundog.explain.sampling import check_samples, check_spread, image_seeds, row_chunks
from sundog.models.classifier import Classifier


@gradients_off()
def gradient_shap(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    baseline: Baselines = "black",
    n_samples: int = 25,
    stdevs: float = 0.0,
    reduction: Reduction = "sum",
    output: OutputKind = "logit",
    seed: int = 0,
    budget: int = DEFAULT_BUDGET,
) -> Tensor:
    """Return the expected contribution of each pixel over random baselines, noise and points.

    Operator: ``R = reduce_channels(mean_j (z_j - b_j) * grad f(b_j + u_j (z_j - b_j)))`` with
    ``z_j = x + e_j``, ``e_j ~ N(0, stdevs^2)``, ``u_j ~ U(0, 1)`` and ``b_j`` drawn uniformly from
    the baselines. What is drawn depends on the seed and on the image alone.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        target: class per image, one class, a scalar of the logits, or None: the predicted class.
        baseline: one baseline in pixel space or the list that b is drawn from; a background set
            ``[k, 3, height, width]`` is given as ``list(background)``.
        n_samples: draws per image, >= 1.
        stdevs: standard deviation of the noise in [0, 1] units, >= 0.
        reduction: ``sum`` (signed, complete in expectation), ``l2``, ``abs_sum``, or ``none``.
        output: logit, probability or log_probability.
        seed: of the draws.
        budget: bytes of activations held at once.

    Returns:
        ``float[batch, height, width]``; with ``sum`` positive = speaks for the class.
        ``[batch, 3, height, width]`` for ``none``; then the expected sum over channels and pixels
        is ``f(x) - mean_b f(b)`` (with noise: ``E f(x + e)``), and the gap is sampling error.

    Raises:
        InputError: bad images, target, baseline, n_samples or stdevs.
        ModelStateError: train mode or no gradient.

    Source: Erion et al., 2019, arXiv 1906.10670.
    """
    classifier.require_gradient("gradient_shap")
    check_samples(n_samples)
    check_spread("stdevs", stdevs)
    objective = make_objective(classifier, images, target, output=output, clean_logits=False)
    baselines = make_baselines(images, baseline, seed=seed)
    seeds = image_seeds(images, seed, "gradient shap")
    total = torch.zeros_like(images)
    for owner, sample in row_chunks(
        classifier, images, points=n_samples, gradient=True, budget=budget
    ):
        pairs = zip(owner.tolist(), sample.tolist(), strict=True)
        drawn = [_draw(images, baselines, seeds, i, j, stdevs) for i, j in pairs]
        rows = torch.stack([start + u * step for start, step, u in drawn])
        steps = torch.stack([step for _, step, _ in drawn])
        gradient, _ = input_gradient(classifier, rows, objective, owner)
        total.index_add_(0, owner, gradient * steps)
    return reduce_channels(total / n_samples, reduction)


def _draw(
    images: Images,
    baselines: list[Images],
    seeds: list[int],
    image: int,
    sample: int,
    stdevs: float,
) -> tuple[Tensor, Tensor, float]:
    """Return one draw for one image: baseline b, step ``x + e - b``, and u in [0, 1)."""
    g = generator(seeds[image], sample)
    choice = int(torch.randint(len(baselines), (), generator=g))
    u = float(torch.rand((), generator=g))
    start = baselines[choice][image]
    step = images[image] - start
    if stdevs > 0:
        step = step + stdevs * torch.randn(start.shape, generator=g).to(images)
    return start, step, u
