"""Group DRO: training on the group that is doing worst, with weights that follow the losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

from sundog.core.errors import InputError
from sundog.core.shapes import Images, Logits
from sundog.debias.group_sampling import GroupRecipe, group_probabilities
from sundog.debias.weighted_order import weighted_order
from sundog.models.classifier import Classifier
from sundog.models.prepared import PreparedImages
from sundog.models.training_options import TrainingOptions
from sundog.models.training_recipe import Step

STRONG_DECAY = 0.01
"""Weight decay from which the network is kept from memorising; published runs use 0.1 and 1."""
EARLY_STOP = 20
"""Epochs within which training counts as stopped early."""
MEMORISED = 0.02
"""A running loss of the worst group below this (nats) means that nothing is left to weigh."""


def update_group_weights(
    log_weights: Float64[np.ndarray, "groups"],
    losses: Float64[np.ndarray, "groups"],
    *,
    eta: float,
    adjustment: Float64[np.ndarray, "groups"],
    counts: Int64[np.ndarray, "groups"],
) -> Float64[np.ndarray, "groups"]:
    """Return ``log q_g + eta (L_g + C_g / sqrt(n_g))``, normalised so that the q sum to 1.

    A group whose loss is NaN (no image of it in the batch) keeps its weight before the
    normalisation; a group without training images keeps weight 0.

    Args:
        log_weights: log q, ``-inf`` for groups without training images.
        losses: mean loss of each group in nats, NaN if absent.
        eta: step size, > 0.
        adjustment: C >= 0 of each group: small groups generalise less and get more weight.
        counts: training images of each group.

    Source: Sagawa, Koh, Hashimoto & Liang, 2020, arXiv 1911.08731, algorithm 1 and equation 5.
    """
    seen = np.isfinite(losses)
    moved = log_weights.copy()
    moved[seen] += eta * (losses[seen] + adjustment[seen] / np.sqrt(counts[seen]))
    top = moved.max()
    return np.asarray(moved - (top + np.log(np.exp(moved - top).sum())))


class GroupDRO(GroupRecipe):
    """Minimises ``Σ_g q_g L_g``, where q grows by ``exp(eta (L_g + C / sqrt(n_g)))`` each step.

    L_g is the mean cross-entropy of the group's images in the batch. The weights are updated
    before they are used; the adjustment moves the weights and is no part of the loss. Groups are
    drawn equally often. Without strong weight decay or early stopping every group's loss falls to
    zero, nothing is left to weigh, and the method gains nothing: such runs are refused.

    Args:
        groups: ``int64[n]`` per training image; -1 (unknown) is not drawn.
        group_names: one per group.
        eta: step size of the weights.
        adjustment: C >= 0, one number or one per group; published grid 0..5.
        balanced: draw all groups equally often; False visits each image once.
        gamma: in (0, 1], of the running mean of each group's loss (for the notes).
        force: train even without strong weight decay or early stopping.

    Raises:
        InputError: a parameter out of range.

    Source: Sagawa, Koh, Hashimoto & Liang, 2020, arXiv 1911.08731.
    """

    name = "group_dro"

    def __init__(
        self,
        groups: ArrayLike,
        *,
        group_names: Sequence[str] | None = None,
        eta: float = 0.01,
        adjustment: float | Sequence[float] = 0.0,
        balanced: bool = True,
        gamma: float = 0.1,
        force: bool = False,
    ) -> None:
        super().__init__(groups, group_names=group_names)
        if not (math.isfinite(eta) and eta > 0):
            raise InputError("eta", expected="> 0", got=str(eta))
        if not 0 < gamma <= 1:
            raise InputError("gamma", expected="in (0, 1]", got=str(gamma))
        size = len(self.group_names)
        given = np.asarray(adjustment, dtype=np.float64)
        if given.shape not in ((), (size,)) or not np.isfinite(given).all() or (given < 0).any():
            raise InputError(
                "adjustment", expected=f">= 0, one or {size} numbers", got=str(given.tolist())
            )
        self.eta, self.gamma = float(eta), float(gamma)
        self.adjustment = np.broadcast_to(given, (size,)).copy()
        self.balanced, self.force = bool(balanced), bool(force)
        known = self.counts > 0
        self.log_weights = np.where(known, -math.log(int(known.sum())), -np.inf)
        self.running = np.full(size, np.nan)
        self._weak = False

    def describe(self) -> dict[str, Any]:
        """Return name, hash of the groups and every parameter."""
        return {
            **super().describe(),
            "eta": self.eta,
            "adjustment": self.adjustment.tolist(),
            "balanced": self.balanced,
            "gamma": self.gamma,
        }

    def begin(
        self, classifier: Classifier, images: PreparedImages, options: TrainingOptions
    ) -> None:
        """Refuse a run that would memorise every group.

        Raises:
            InputError: weight decay under 0.01 for more than 20 epochs, unless forced.
        """
        super().begin(classifier, images, options)
        self._weak = options.weight_decay < STRONG_DECAY and options.epochs > EARLY_STOP
        if self._weak and not self.force:
            raise InputError(
                "Group DRO",
                expected=f"trained with weight_decay >= {STRONG_DECAY:g} or at most {EARLY_STOP} "
                "epochs",
                got=f"weight_decay {options.weight_decay:g}, {options.epochs} epochs",
                hint="Trained to the end without them it equals plain training (arXiv "
                "1911.08731). Raise weight_decay, stop earlier, or pass force=True.",
            )

    def order(self, epoch: int, count: int, seed: int) -> Int64[Tensor, "visited"]:
        """Return positions with all groups equally often, or a permutation of the known ones."""
        if self.balanced:
            p = group_probabilities(self.groups)
            return weighted_order(p, count=count, seed=seed, epoch=epoch)
        shuffled = super().order(epoch, count, seed)
        return shuffled[torch.from_numpy(self.groups >= 0)[shuffled]]

    def loss(self, network: Callable[[Images], Logits], step: Step) -> Tensor:
        """Return the sum of the groups' mean losses, weighted after the weights' own step."""
        each = F.cross_entropy(network(step.images), step.labels, reduction="none").float()
        groups = torch.from_numpy(self.groups[step.indices.numpy()]).to(each.device)
        size = len(self.group_names)
        sums = torch.zeros(size, device=each.device).index_add(0, groups, each)
        counts = torch.bincount(groups, minlength=size)
        means = sums / counts.clamp_min(1)
        seen = (counts > 0).cpu().numpy()
        losses = np.where(seen, means.detach().cpu().double().numpy(), np.nan)
        self.log_weights = update_group_weights(
            self.log_weights,
            losses,
            eta=self.eta,
            adjustment=self.adjustment,
            counts=self.counts,
        )
        first = np.isnan(self.running) & seen
        later = ~np.isnan(self.running) & seen
        self.running[later] += self.gamma * (losses[later] - self.running[later])
        self.running[first] = losses[first]
        weights = torch.from_numpy(np.exp(self.log_weights)).to(means)
        return (weights * means).sum()

    def state(self) -> dict[str, Tensor]:
        """Return the groups' weights and running losses."""
        return {
            "log_weights": torch.from_numpy(self.log_weights.copy()),
            "running": torch.from_numpy(self.running.copy()),
        }

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the groups' weights and running losses."""
        self.log_weights = tensors["log_weights"].numpy().copy()
        self.running = tensors["running"].numpy().copy()

    def notes(self) -> dict[str, Any]:
        """Return weight and running loss of each group, and warnings."""
        weights = np.exp(self.log_weights)
        losses = {
            name: None if math.isnan(value) else value
            for name, value in zip(self.group_names, self.running.tolist(), strict=True)
        }
        warnings = []
        if self._weak:
            warnings.append("Neither strong weight decay nor early stopping: forced.")
        worst = np.nanmax(self.running) if not np.isnan(self.running).all() else math.inf
        if worst < MEMORISED:
            warnings.append(
                f"The worst group's training loss is {worst:.3g}: every group is memorised and the "
                "weights no longer matter. Stop earlier or raise weight_decay."
            )
        return {
            **super().notes(),
            "weights": dict(zip(self.group_names, weights.tolist(), strict=True)),
            "losses": losses,
            "warnings": warnings,
        }
