"""DeepLIFT SHAP: the mean of DeepLIFT over a set of reference images.

Source: Lundberg & Lee, 2017, arXiv 1705.07874.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.seeds import generator
from sundog.core.shapes import Images
from sundog.explain.baselines import Baseline, Baselines
from sundog.explain.budget import DEFAULT_BUDGET
from sundog.explain.deep_lift import deep_lift_contributions
from sundog.explain.objective import OutputKind, Target
from sundog.explain.reduction import Reduction, reduce_channels
from sundog.models.classifier import Classifier

DEFAULT_REFERENCES: tuple[Baseline, ...] = ("black", "grey", "white")
"""What is used when no reference images are given: no brightness is then 'absent' by itself."""


def deep_lift_shap(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    baseline: Baselines = DEFAULT_REFERENCES,
    seed: int = 0,
    reduction: Reduction = "sum",
    output: OutputKind = "logit",
    budget: int = DEFAULT_BUDGET,
) -> Tensor:
    """Return what each pixel contributed to the difference from the mean over references.

    Operator: ``R = mean_k DeepLIFT(x, b_k)``, see :func:`sundog.explain.deep_lift.deep_lift`; it
    approximates the Shapley values of the pixels with the references as background. So
    ``sum_i R_i = f(x) - mean_k f(b_k)``, which is checked for every image. Each image runs
    forwards once, each reference once per call, and each pair of them once backwards.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        target: class per image, one class, a scalar of the logits, or None: the predicted class.
        baseline: the references, the same for all images: a list of baselines; a background set
            ``[k, 3, height, width]`` is given as ``list(background)`` or, thinned out, as
            ``draw_references(background, count, seed=...)``. Default: black, grey and white.
        seed: for ``"uniform"`` in the list.
        reduction: ``sum`` (signed, keeps completeness), ``l2``, ``abs_sum``, or ``none``.
        output: logit, probability or log_probability.
        budget: bytes of activations held at once.

    Returns:
        ``float[batch, height, width]``, signed for ``sum``; high = the pixel raises the scalar over
        the references' mean. ``[batch, 3, height, width]`` for ``reduction="none"``.

    Raises:
        InputError: bad images, target, references or output.
        ModelStateError: train mode; an operation that has no rule (named); attributions that do
            not add up.

    Source: Lundberg & Lee, 2017, arXiv 1705.07874.
    """
    found = deep_lift_contributions(
        classifier, images, target, baseline=baseline, seed=seed, output=output, budget=budget
    )
    return reduce_channels(found.attribution, reduction)


def draw_references(background: Images, count: int, *, seed: int = 0) -> list[Tensor]:
    """Draw ``count`` different images of a background set, for ``baseline=``.

    Args:
        background: ``float[k, 3, height, width]`` in [0, 1].
        count: between 1 and k.
        seed: of the draw.

    Returns:
        A list of ``[3, height, width]``, in the background's order.

    Raises:
        InputError: no set of images, or a count outside 1..k.
    """
    if not isinstance(background, Tensor) or background.ndim != 4:
        raise InputError(
            "background",
            expected="a tensor [k, 3, height, width]",
            got=str(tuple(background.shape))
            if isinstance(background, Tensor)
            else type(background).__name__,
        )
    if type(count) is not int or not 1 <= count <= len(background):
        raise InputError(
            "count", expected=f"an integer from 1 to {len(background)}", got=repr(count)
        )
    order = torch.randperm(len(background), generator=generator(seed, "references"))
    return [background[k] for k in sorted(order[:count].tolist())]
