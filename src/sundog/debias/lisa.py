"""LISA: mixing images selectively, so that label and attribute come apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

from sundog.core.errors import InputError
from sundog.core.seeds import derive_seed
from sundog.core.shapes import Images, Logits
from sundog.debias.array_hash import array_hash
from sundog.debias.group_sampling import group_probabilities
from sundog.debias.groups import check_groups, make_groups
from sundog.debias.weighted_order import weighted_order
from sundog.models.classifier import Classifier
from sundog.models.prepared import PreparedImages
from sundog.models.training_options import TrainingOptions
from sundog.models.training_recipe import Step, TrainingRecipe


@dataclass(frozen=True, eq=False)
class Partners:
    """Whom each image of a batch is mixed with.

    Attributes:
        partner: ``int64[batch]``, position in the batch; the image itself if it stays unmixed.
        ratio: ``float64[batch]``, share of the image itself, in [0, 1]; 1 if unmixed.
        mixed: images that found a partner.
    """

    partner: Int64[np.ndarray, "batch"]
    ratio: Float64[np.ndarray, "batch"]
    mixed: int


def draw_partners(
    labels: Int64[np.ndarray, "batch"],
    attribute: Int64[np.ndarray, "batch"],
    *,
    p_select: float,
    beta: float,
    seed: int,
) -> Partners:
    """Draw a partner and a mixing ratio for each image of a batch.

    With probability ``p_select`` the partner has the same label and another attribute, otherwise
    the same attribute and another label; it is drawn uniformly among such images of the batch. An
    image for which there is none stays as it is. The ratio is Beta(beta, beta).

    Args:
        labels: class per image.
        attribute: value per image; images with -1 stay unmixed.
        p_select: in [0, 1].
        beta: > 0.
        seed: of all draws.

    Source: Yao et al., 2022, arXiv 2201.00299, algorithm 1.
    """
    count = labels.size
    draw = np.random.default_rng(derive_seed(seed, "lisa"))
    same_label = draw.random(count) < p_select
    chance = draw.random(count)
    ratio = draw.beta(beta, beta, size=count)
    equal_label = labels[:, None] == labels[None, :]
    equal_kind = attribute[:, None] == attribute[None, :]
    known = attribute >= 0
    usable = np.where(same_label[:, None], equal_label & ~equal_kind, ~equal_label & equal_kind)
    usable &= known[:, None] & known[None, :]
    number = usable.sum(axis=1)
    wanted = np.minimum((chance * number).astype(np.int64), number - 1)
    # The first place where the running count of usable images exceeds the number drawn.
    partner = (usable.cumsum(axis=1) > wanted[:, None]).argmax(axis=1)
    alone = number == 0
    own = np.arange(count)
    return Partners(
        partner=np.where(alone, own, partner).astype(np.int64),
        ratio=np.where(alone, 1.0, ratio),
        mixed=int((~alone).sum()),
    )


class Lisa(TrainingRecipe):
    """Selective mixup: ``x = r x_i + (1 - r) x_j``, loss ``r CE(y_i) + (1 - r) CE(y_j)``.

    j shares the label of i and not its attribute, or the attribute and not the label; both mixed
    images say that the attribute does not decide. Partners come from the batch, so groups are
    drawn equally often.

    Args:
        attribute: ``int64[n]`` per training image, -1 = unknown (such images stay unmixed and are
            not drawn when balanced).
        attribute_names: one per value.
        p_select: probability of a partner with the same label.
        beta: both parameters of the Beta distribution of the ratio.
        balanced: draw all groups (label x attribute) equally often.

    Raises:
        InputError: a parameter out of range.

    Source: Yao, Wang, Li, Zhang, Liang, Zou & Finn, 2022, arXiv 2201.00299.
    """

    name = "lisa"

    def __init__(
        self,
        attribute: ArrayLike,
        *,
        attribute_names: Sequence[str] | None = None,
        p_select: float = 0.5,
        beta: float = 2.0,
        balanced: bool = True,
    ) -> None:
        if not 0 <= p_select <= 1:
            raise InputError("p_select", expected="in [0, 1]", got=str(p_select))
        if not (math.isfinite(beta) and beta > 0):
            raise InputError("beta", expected="> 0", got=str(beta))
        self.attribute, self.attribute_names = check_groups(attribute, attribute_names)
        self.p_select, self.beta, self.balanced = float(p_select), float(beta), bool(balanced)
        self._mixed, self._seen = 0, 0

    def describe(self) -> dict[str, Any]:
        """Return name, hash of the attribute and every parameter."""
        return {
            "name": self.name,
            "attribute": array_hash(self.attribute),
            "p_select": self.p_select,
            "beta": self.beta,
            "balanced": self.balanced,
        }

    def begin(
        self, classifier: Classifier, images: PreparedImages, options: TrainingOptions
    ) -> None:
        """Make the groups.

        Raises:
            InputError: another number of values than of training images.
        """
        if self.attribute.size != len(images):
            raise InputError(
                "attribute",
                expected=f"one per training image ({len(images)})",
                got=f"{self.attribute.size}",
            )
        data = images.image_set
        self._groups = make_groups(
            data.labels,
            self.attribute,
            class_names=data.class_names,
            attribute_names=self.attribute_names,
        )

    def begin_epoch(self, epoch: int) -> None:
        """Count the mixed images anew."""
        self._mixed, self._seen = 0, 0

    def order(self, epoch: int, count: int, seed: int) -> Int64[Tensor, "visited"]:
        """Return positions with all groups equally often, or a permutation."""
        if not self.balanced:
            return super().order(epoch, count, seed)
        p = group_probabilities(self._groups.ids)
        return weighted_order(p, count=count, seed=seed, epoch=epoch)

    def loss(self, network: Callable[[Images], Logits], step: Step) -> Tensor:
        """Return the mean over the batch of the mixed cross-entropy."""
        drawn = draw_partners(
            step.labels.cpu().numpy(),
            self.attribute[step.indices.numpy()],
            p_select=self.p_select,
            beta=self.beta,
            seed=step.seed,
        )
        self._mixed += drawn.mixed
        self._seen += len(step)
        device = step.images.device
        partner = torch.from_numpy(drawn.partner).to(device)
        ratio = torch.from_numpy(drawn.ratio).to(device, step.images.dtype)
        part = ratio[:, None, None, None]
        logits = network(part * step.images + (1 - part) * step.images[partner])
        own = F.cross_entropy(logits, step.labels, reduction="none")
        other = F.cross_entropy(logits, step.labels[partner], reduction="none")
        return (ratio * own + (1 - ratio) * other).mean()

    def state(self) -> dict[str, Tensor]:
        """Return nothing: every draw depends on the step's seed alone."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore nothing."""

    def notes(self) -> dict[str, Any]:
        """Return the share of images that found a partner and the groups' sizes."""
        groups = self._groups
        return {
            "mixed": self._mixed / self._seen if self._seen else None,
            "images": dict(zip(groups.names, groups.counts.tolist(), strict=True)),
            "empty_groups": list(groups.empty),
            "left_out": groups.unknown if self.balanced else 0,
        }
