"""Group balance by sampling: every group (or class) is drawn equally often."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.seeds import derive_seed, generator
from sundog.debias.array_hash import array_hash
from sundog.debias.groups import check_groups
from sundog.debias.weight_report import kish_size
from sundog.debias.weighted_order import weighted_order
from sundog.models.classifier import Classifier
from sundog.models.prepared import PreparedImages
from sundog.models.training_options import TrainingOptions
from sundog.models.training_recipe import TrainingRecipe


def group_probabilities(
    groups: Int64[np.ndarray, "images"], *, power: float = 1.0
) -> Float64[np.ndarray, "images"]:
    """Return ``p_i ∝ n_g(i) ^ -power``: 1 draws all groups equally often, 0 changes nothing.

    Args:
        groups: group per image; -1 (unknown) gets 0.
        power: 1, or 0.5 for the square-root variant; in [0, 1].

    Returns:
        ``float64[n]`` with sum 1; a group without images has no share.

    Raises:
        InputError: a power outside [0, 1], no known group.
    """
    if not (math.isfinite(power) and 0 <= power <= 1):
        raise InputError("power", expected="in [0, 1]", got=str(power), hint="Try 1 or 0.5.")
    ids, names = check_groups(groups)
    counts = np.bincount(ids[ids >= 0], minlength=len(names)).astype(np.float64)
    weight = np.where(counts > 0, np.maximum(counts, 1.0) ** -power, 0.0)
    p = np.where(ids >= 0, weight[ids], 0.0)
    return p / p.sum()


class GroupRecipe(TrainingRecipe):
    """A recipe that knows the group of every training image.

    Args:
        groups: ``int64[n]`` per training image, -1 = unknown; None takes the class labels.
        group_names: one per group; for the notes.
    """

    def __init__(
        self, groups: ArrayLike | None, *, group_names: Sequence[str] | None = None
    ) -> None:
        self._given = groups is not None
        if groups is not None:
            self.groups, self.group_names = check_groups(groups, group_names)

    def describe(self) -> dict[str, Any]:
        """Return name and a hash of the groups."""
        return {"name": self.name, "groups": array_hash(self.groups) if self._given else "classes"}

    def begin(
        self, classifier: Classifier, images: PreparedImages, options: TrainingOptions
    ) -> None:
        """Take the class labels if no groups were given; check that there is one per image.

        Raises:
            InputError: another number of groups than of training images.
        """
        if not self._given:
            self.groups, self.group_names = check_groups(
                images.image_set.labels, images.image_set.class_names
            )
        if self.groups.size != len(images):
            raise InputError(
                "groups",
                expected=f"one per training image ({len(images)})",
                got=f"{self.groups.size}",
            )

    @property
    def counts(self) -> Int64[np.ndarray, "groups"]:
        """Training images of each group."""
        known = self.groups[self.groups >= 0]
        return np.bincount(known, minlength=len(self.group_names)).astype(np.int64)

    def notes(self) -> dict[str, Any]:
        """Return images per group, groups without images and images left out."""
        counts = self.counts
        return {
            "images": dict(zip(self.group_names, counts.tolist(), strict=True)),
            "empty_groups": [self.group_names[g] for g in np.flatnonzero(counts == 0)],
            "left_out": int((self.groups < 0).sum()),
        }


class GroupReweighting(GroupRecipe):
    """Draws each image with probability ``∝ n_g ^ -power``, with replacement (RWG; RWY: classes).

    An epoch keeps its number of steps. Images of unknown group are not drawn.

    Args:
        groups: ``int64[n]`` per training image, -1 = unknown; None balances the classes alone.
        group_names: one per group.
        power: 1 draws all groups equally often; 0.5 goes half of the way.

    Raises:
        InputError: groups or power out of range.

    Source: Idrissi, Arjovsky, Pezeshki & Lopez-Paz, 2022, arXiv 2110.14503; Buda, Maki &
    Mazurowski, 2018, arXiv 1710.05381.
    """

    name = "group_reweighting"

    def __init__(
        self,
        groups: ArrayLike | None,
        *,
        group_names: Sequence[str] | None = None,
        power: float = 1.0,
    ) -> None:
        super().__init__(groups, group_names=group_names)
        if groups is None:
            self.name = "class_balance"
        self.power = float(power)
        group_probabilities(np.zeros(1, dtype=np.int64), power=self.power)

    def describe(self) -> dict[str, Any]:
        """Return name, hash of the groups and power."""
        return {**super().describe(), "power": self.power}

    def order(self, epoch: int, count: int, seed: int) -> Int64[Tensor, "visited"]:
        """Return ``count`` positions, drawn with replacement."""
        p = group_probabilities(self.groups, power=self.power)
        return weighted_order(p, count=count, seed=seed, epoch=epoch)

    def notes(self) -> dict[str, Any]:
        """Return the groups' sizes and the effective size of the weights."""
        p = group_probabilities(self.groups, power=self.power)
        return {**super().notes(), "effective_size": kish_size(p)}


class GroupSubsampling(GroupRecipe):
    """Trains on equally many images of each group: as many as the smallest has (SUBG; SUBY).

    The images are drawn once per run, without replacement; an epoch has fewer steps. Empty groups
    are left out of the count and reported.

    Args:
        groups: ``int64[n]`` per training image, -1 = unknown; None balances the classes alone.
        group_names: one per group.
        redraw: draw other images in every epoch.
        equal_steps: visit the chosen images again and again, each round in a new order, until as
            many are seen as plain training sees: the same budget. Small groups leave very few
            steps otherwise.

    Source: Idrissi, Arjovsky, Pezeshki & Lopez-Paz, 2022, arXiv 2110.14503.
    """

    name = "group_subsampling"

    def __init__(
        self,
        groups: ArrayLike | None,
        *,
        group_names: Sequence[str] | None = None,
        redraw: bool = False,
        equal_steps: bool = False,
    ) -> None:
        super().__init__(groups, group_names=group_names)
        if groups is None:
            self.name = "class_subsampling"
        self.redraw, self.equal_steps = bool(redraw), bool(equal_steps)

    def describe(self) -> dict[str, Any]:
        """Return name, hash of the groups and whether images are drawn anew."""
        about = {**super().describe(), "redraw": self.redraw}
        return {**about, "equal_steps": True} if self.equal_steps else about

    def order(self, epoch: int, count: int, seed: int) -> Int64[Tensor, "visited"]:
        """Return as many positions of each group as the smallest group has, shuffled."""
        size = self._size()
        drawn = derive_seed(seed, "subsample", epoch if self.redraw else 0)
        parts = []
        for group in np.flatnonzero(self.counts).tolist():
            places = torch.from_numpy(np.flatnonzero(self.groups == group))
            pick = torch.randperm(len(places), generator=generator(drawn, group))[:size]
            parts.append(places[pick])
        chosen = torch.cat(parts)
        shuffle = generator(seed, "order", epoch)
        rounds = -(-count // len(chosen)) if self.equal_steps else 1
        orders = [chosen[torch.randperm(len(chosen), generator=shuffle)] for _ in range(rounds)]
        return torch.cat(orders)[: count if self.equal_steps else len(chosen)]

    def notes(self) -> dict[str, Any]:
        """Return the groups' sizes and how many images of each are used."""
        return {**super().notes(), "images_per_group": self._size()}

    def _size(self) -> int:
        counts = self.counts
        return int(counts[counts > 0].min())
