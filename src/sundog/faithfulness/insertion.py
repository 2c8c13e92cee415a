"""Insertion: reveal the most relevant pixels first and watch the explained class appear.

Source: Petsiuk, Das & Saenko, 2018 (RISE), arXiv 1806.07421.
"""

from __future__ import annotations

from sundog.core.shapes import Images, Labels, Logits, Maps
from sundog.faithfulness.curve import CurveOutput, Curves, CurveSpec, Fill, Spacing
from sundog.faithfulness.fills import Substrate
from sundog.faithfulness.perturbation import perturbation_curves
from sundog.models.budget import DEFAULT_BUDGET
from sundog.models.classifier import Classifier


def insertion(
    classifier: Classifier,
    images: Images,
    maps: Maps,
    *,
    target: Labels | int | None = None,
    steps: int = 10,
    spacing: Spacing = "equal",
    fill: Fill = "blur",
    output: CurveOutput = "probability",
    seed: int = 0,
    clean_logits: Logits | None = None,
    substrate: Substrate | None = None,
    budget: int = DEFAULT_BUDGET,
) -> Curves:
    """Return the insertion curve and score of each image; a higher area is better.

    Starts from the completely filled image (blurred by default) and reveals the ranked pixels in
    the same chunks as :func:`~sundog.faithfulness.deletion.deletion`; the last image is clean.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        maps: ``float[batch, height, width]``, signed or not; only the order matters.
        target: a class per image or one class; None: the class predicted on the clean image.
        steps: images per curve including the filled and the clean one, at least 2.
        spacing: ``equal`` chunks, or ``log``: from 0.05 % of the pixels on.
        fill: black, grey, mean, blur or noisy_linear (what is not revealed yet is imputed).
        output: probability, logit or log_probability.
        seed: for the noise of ``noisy_linear``.
        clean_logits: logits of the clean images if known.
        substrate: the filled images of this fill if known.
        budget: bytes of activations held at once.

    Returns:
        Curves with ``area`` (higher is better; in [0, 1] for probabilities). Same cost as deletion.

    Raises:
        InputError: bad images, maps, steps, target. UnknownNameError: unknown fill or spacing.
        ModelStateError: a classifier in train mode.

    Source: Petsiuk, Das & Saenko, 2018, arXiv 1806.07421.
    """
    return perturbation_curves(
        classifier,
        images,
        maps,
        spec=CurveSpec("insertion", steps, spacing, fill, output, seed=seed),
        target=target,
        clean_logits=clean_logits,
        substrate=substrate,
        budget=budget,
    )
