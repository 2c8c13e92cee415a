"""Right for the right reasons: a penalty on what the cue's pixels could change."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from sundog.core.errors import InputError
from sundog.core.shapes import Images, Logits
from sundog.data.mask_reader import MaskReader, mask_areas, mask_digest
from sundog.debias.moves import Moves
from sundog.models.classifier import Classifier
from sundog.models.prepared import PreparedImages
from sundog.models.training_options import TrainingOptions
from sundog.models.training_recipe import Step, TrainingRecipe

Penalty = Literal["squared", "share"]


class RightReasons(TrainingRecipe):
    """Cross-entropy plus a penalty on the input gradient inside the cue's mask.

    With ``g = d/dx sum over classes of log p(class | x)``, the penalty of an image is

    * ``squared``: ``sum of g² over the masked pixels`` (Ross et al.), or
    * ``share``: that sum divided by ``sum of g² over all pixels``, in [0, 1] whatever the scale
      of the gradient;

    averaged over the batch; an image without the cue counts 0. The gradient of the gradient makes
    a step cost about five times a plain one. The penalty is local: it does not see what a change
    of the whole cue does, so cue augmentation, which needs the same masks, is usually better.

    Args:
        masks: where the cue is, for the training set at its size.
        strength: of the penalty, >= 0.
        penalty: ``squared`` or ``share``.

    Raises:
        InputError: options out of range, or not one mask with a pixel.

    Source: Ross, Hughes & Doshi-Velez, 2017, IJCAI, arXiv 1703.03717, eq. 1.
    """

    name = "right_reasons"

    def __init__(
        self, masks: MaskReader, *, strength: float = 10.0, penalty: Penalty = "squared"
    ) -> None:
        if not (math.isfinite(strength) and strength >= 0):
            raise InputError("strength", expected=">= 0", got=repr(strength))
        if penalty not in get_args(Penalty):
            raise InputError("penalty", expected=f"one of {get_args(Penalty)}", got=repr(penalty))
        areas = mask_areas(masks)
        if not (areas > 0).any():
            raise InputError(
                "masks",
                expected="with a masked pixel in at least one image",
                got=f"{len(areas)} empty masks",
                hint="Without a localised cue there is nothing to penalise.",
            )
        self.masks = masks
        self.strength = float(strength)
        self.penalty: Penalty = penalty
        self.masked = int((areas > 0).sum())
        self._sum, self._steps = 0.0, 0

    def describe(self) -> dict[str, Any]:
        """Return the parameters and a hash of the masks."""
        return {
            "name": self.name,
            "strength": self.strength,
            "penalty": self.penalty,
            "masks": mask_digest(self.masks),
        }

    def begin(
        self, classifier: Classifier, images: PreparedImages, options: TrainingOptions
    ) -> None:
        """Check that the masks are those of the training images, and that gradients exist.

        Raises:
            InputError: another number of masks, or another size.
            ModelStateError: a network without gradients.
        """
        classifier.require_gradient(self.name)
        size = tuple(self.masks.image_size)
        if len(self.masks) != len(images) or size != images.image_size:
            raise InputError(
                "masks",
                expected=f"{len(images)} of {images.image_size} pixels",
                got=f"{len(self.masks)} of {size}",
                hint="Make them from the training set, with the size and resize rule of training.",
            )

    def begin_epoch(self, epoch: int) -> None:
        """Begin a new mean penalty."""
        self._sum, self._steps = 0.0, 0

    def loss(self, network: Callable[[Images], Logits], step: Step) -> Tensor:
        """Return cross-entropy + strength x penalty."""
        masks = Moves.of(step).masks(self.masks(step.indices)).to(step.images.device)
        if self.strength == 0 or not bool(masks.any()):
            self._steps += 1
            return super().loss(network, step)
        images = step.images.detach().requires_grad_(True)
        logits = network(images)
        penalty = gradient_penalty(logits, images, masks, kind=self.penalty)
        self._sum += float(penalty.detach())
        self._steps += 1
        return F.cross_entropy(logits, step.labels) + self.strength * penalty

    def notes(self) -> dict[str, Any]:
        """Return the mean penalty of the last epoch, before it is multiplied by the strength."""
        return {"penalty": self._sum / max(1, self._steps), "masked_images": self.masked}


def gradient_penalty(
    logits: Logits, images: Images, masks: Tensor, *, kind: Penalty = "squared"
) -> Tensor:
    """Return the mean penalty of a batch, a scalar with gradient.

    Args:
        logits: ``float[batch, classes]``, made from ``images`` in a graph.
        images: ``float[batch, 3, height, width]`` with ``requires_grad``.
        masks: ``bool[batch, height, width]``.
        kind: see :class:`RightReasons`.
    """
    total = logits.float().log_softmax(dim=1).sum()
    (gradient,) = torch.autograd.grad(total, images, create_graph=True)
    squared = gradient.square().sum(dim=1)
    inside = (squared * masks).sum(dim=(1, 2))
    if kind == "share":
        # A gradient of zero everywhere has no share; the tiny term keeps its derivative finite.
        inside = inside / (squared.sum(dim=(1, 2)) + torch.finfo(squared.dtype).tiny ** 0.5)
    return inside.mean()
