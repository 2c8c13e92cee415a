"""Deletion: fill the most relevant pixels first and watch the explained class fade.

Source: Petsiuk, Das & Saenko, 2018 (RISE), arXiv 1806.07421; pixel flipping: Bach et al., 2015.
"""

from __future__ import annotations

from sundog.core.shapes import Images, Labels, Logits, Maps
from sundog.faithfulness.curve import CurveOutput, Curves, CurveSpec, Fill, Spacing
from sundog.faithfulness.fills import Substrate
from sundog.faithfulness.perturbation import perturbation_curves
from sundog.models.budget import DEFAULT_BUDGET
from sundog.models.classifier import Classifier


def deletion(
    classifier: Classifier,
    images: Images,
    maps: Maps,
    *,
    target: Labels | int | None = None,
    steps: int = 10,
    spacing: Spacing = "equal",
    fill: Fill = "black",
    output: CurveOutput = "probability",
    seed: int = 0,
    clean_logits: Logits | None = None,
    substrate: Substrate | None = None,
    budget: int = DEFAULT_BUDGET,
) -> Curves:
    """Return the deletion curve and score of each image; a lower area is better.

    The pixels are ranked by relevance (most relevant first; of equal pixels the one with the
    higher index first) and cut into ``steps - 1`` chunks, the first ``pixels mod (steps - 1)``
    one pixel larger. Image s of the curve has the first s chunks filled in all channels; the
    score is the trapezoid area of p(class) over ``linspace(0, 1, steps)``.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        maps: ``float[batch, height, width]``, signed or not; only the order matters.
        target: a class per image or one class; None: the class predicted on the clean image.
        steps: images per curve including the clean and the filled one, at least 2.
        spacing: ``equal`` chunks, or ``log``: from 0.05 % of the pixels on, for small cues.
        fill: black, grey, mean, blur or noisy_linear.
        output: probability, logit or log_probability.
        seed: for the noise of ``noisy_linear``.
        clean_logits: logits of the clean images if known.
        substrate: the filled images of this fill if known.
        budget: bytes of activations held at once.

    Returns:
        Curves with ``area`` (lower is better; in [0, 1] for probabilities). Cost:
        ``steps - 2`` forward passes per image, plus 1 if the clean logits are not given and, for
        fills that depend on the image, 1 for the filled end.

    Raises:
        InputError: bad images, maps, steps, target. UnknownNameError: unknown fill or spacing.
        ModelStateError: a classifier in train mode.

    Source: Petsiuk, Das & Saenko, 2018, arXiv 1806.07421.
    """
    return perturbation_curves(
        classifier,
        images,
        maps,
        spec=CurveSpec("deletion", steps, spacing, fill, output, seed=seed),
        target=target,
        clean_logits=clean_logits,
        substrate=substrate,
        budget=budget,
    )
