"""What a removed pixel becomes, and the completely filled image at the end of a curve."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sundog.core.blur import blur_images
from sundog.core.shapes import Images, Logits
from sundog.faithfulness.curve import Fill
from sundog.faithfulness.imputation import imputation_noise, impute_noisy_linear
from sundog.models.classifier import Classifier

CONSTANT_FILLS: dict[str, float] = {"black": 0.0, "grey": 0.5}
"""Fills that are the same for every image, in [0, 1] before normalisation."""


@dataclass(frozen=True, eq=False)
class Substrate:
    """The completely filled images of one batch for one fill, and what the classifier says.

    One substrate serves deletion and insertion and every explanation of the batch.

    Attributes:
        fill: see :class:`~sundog.faithfulness.curve.CurveSpec`.
        filled: ``float[batch, 3, height, width]``, every pixel filled.
        logits: ``[batch, classes]`` of the filled images.
        noise: the noise field of ``noisy_linear``, else None.
        forwards: forward passes that the logits cost, per image.
    """

    fill: Fill
    filled: Images
    logits: Logits
    noise: Images | None
    forwards: float

    def apply(self, images: Images, keep: Tensor, owner: Tensor) -> Images:
        """Return rows ``images[owner]`` with the pixels outside ``keep[rows, h, w]`` filled."""
        if self.noise is not None:
            return impute_noisy_linear(images[owner], keep, self.noise[owner])
        return torch.where(keep[:, None], images[owner], self.filled[owner])


def fill_images(images: Images, fill: Fill) -> Images:
    """Return the images with every pixel filled, before the noise of ``noisy_linear``."""
    if fill in CONSTANT_FILLS:
        return torch.full_like(images, CONSTANT_FILLS[fill])
    if fill == "blur":
        return blur_images(images, sigma=max(0.5, 0.05 * min(images.shape[2:])))
    return images.mean(dim=(2, 3), keepdim=True).expand_as(images).contiguous()


@torch.no_grad()
def make_substrate(
    classifier: Classifier,
    images: Images,
    fill: Fill,
    *,
    seed: int = 0,
    rows: int = 32,
    constant: Logits | None = None,
) -> Substrate:
    """Fill the images completely and classify them.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        fill: black, grey, mean, blur or noisy_linear.
        seed: for the noise of ``noisy_linear``.
        rows: images per forward pass.
        constant: ``[1, classes]`` logits of a black (grey) image of this size, if known.
    """
    filled = fill_images(images, fill)
    noise = None
    if fill == "noisy_linear":
        noise = imputation_noise(images, seed=seed)
        filled = filled + noise
    if fill in CONSTANT_FILLS:
        logits = constant if constant is not None else classifier(filled[:1])
        cost = 0.0 if constant is not None else 1 / len(images)
        return Substrate(fill, filled, logits.expand(len(images), -1), noise, cost)
    return Substrate(fill, filled, classifier.predict(filled, batch_size=rows), noise, 1.0)
