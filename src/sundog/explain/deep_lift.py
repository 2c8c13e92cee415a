"""DeepLIFT with the Rescale rule: differences from a baseline, passed back without gradients.

Source: Shrikumar, Greenside & Kundaje, 2017, arXiv 1704.02685.
"""

from __future__ import annotations

from torch import Tensor

from sundog.core.shapes import Images
from sundog.explain.baselines import Baseline, Baselines, make_baseline, make_baselines
from sundog.explain.budget import DEFAULT_BUDGET
from sundog.explain.deeplift.engine import Contributions, contributions
from sundog.explain.objective import (
    Objective,
    OutputKind,
    Target,
    check_images,
    check_output,
)
from sundog.explain.passes import gradients_off
from sundog.explain.reduction import Reduction, reduce_channels
from sundog.models.classifier import Classifier

SAME_FOR_ALL = ("black", "white", "grey")


@gradients_off()
def deep_lift(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    baseline: Baselines = "black",
    seed: int = 0,
    reduction: Reduction = "sum",
    output: OutputKind = "logit",
    budget: int = DEFAULT_BUDGET,
) -> Tensor:
    """Return what each pixel contributed to the difference of the scalar from the baseline's.

    Operator: ``R_i = (x_i - x'_i) m_i``. The multiplier m starts at 1 at the explained scalar and
    goes backwards through every operation that the network ran: linear operations pass it through
    their weights, a nonlinearity y = g(z) through ``(y - y') / (z - z')`` (its slope where
    z = z'), a maximum through the place where the larger of the two maxima was, a product of two
    image-dependent values through the mean of the other factor in the two passes. Softmax and
    normalisation layers are taken apart into such steps. So ``sum_i R_i = f(x) - f(x')`` always;
    this is checked for every image.

    The operations are read from PyTorch's dispatcher, so modules may be reused and activations may
    be functional or in place. A baseline that is the same for all images is run once.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        target: class per image, one class, a scalar of the logits, or None: the predicted class.
        baseline: x', in [0, 1] before normalisation; see :mod:`sundog.explain.baselines`. Of a
            list the attributions are averaged.
        seed: for ``baseline="uniform"``.
        reduction: ``sum`` (signed, keeps completeness), ``l2``, ``abs_sum``, or ``none``.
        output: logit, probability or log_probability.
        budget: bytes of activations held at once.

    Returns:
        ``float[batch, height, width]``, signed for ``sum``; high = the pixel raises the scalar over
        the baseline's. ``[batch, 3, height, width]`` for ``reduction="none"``. Units: the scalar's.

    Raises:
        InputError: bad images, target, baseline or output.
        ModelStateError: train mode; an operation that has no rule (named); attributions that do
            not add up.

    Source: Shrikumar et al., 2017, arXiv 1704.02685.
    """
    found = deep_lift_contributions(
        classifier, images, target, baseline=baseline, seed=seed, output=output, budget=budget
    )
    return reduce_channels(found.attribution, reduction)


@gradients_off()
def deep_lift_contributions(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    baseline: Baselines = "black",
    seed: int = 0,
    output: OutputKind = "logit",
    budget: int = DEFAULT_BUDGET,
) -> Contributions:
    """Return DeepLIFT per channel with ``f(x) - f(x')`` and the gap; see :func:`deep_lift`."""
    classifier.require_gradient("deep_lift")
    classifier.require_eval()
    check_output(output)
    if not isinstance(target, Objective):
        check_images(images)
    rows = baseline_rows(images, baseline, seed=seed)
    return contributions(classifier, images, target, rows, output=output, budget=budget)


def baseline_rows(images: Images, baseline: Baselines, *, seed: int) -> list[Images]:
    """Return the baselines, each as one row if it is the same for all images."""
    if isinstance(baseline, (str, int, float, Tensor)) and _same_for_all(baseline):
        return [make_baseline(images[:1], baseline, seed=seed)]
    made = make_baselines(images, baseline, seed=seed)
    if isinstance(baseline, (str, int, float, Tensor)):
        return made
    return [
        rows[:1] if _same_for_all(one) else rows for rows, one in zip(made, baseline, strict=True)
    ]


def _same_for_all(baseline: Baseline) -> bool:
    if isinstance(baseline, Tensor):
        return baseline.ndim < 4 or len(baseline) == 1
    return isinstance(baseline, (int, float)) or baseline in SAME_FOR_ALL
