"""Training the members of an ensemble, each from its own seed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from sundog.core.errors import InputError
from sundog.core.files import write_json
from sundog.core.seeds import derive_seed, generator
from sundog.data.image_set import ImageSet
from sundog.models.train import train_classifier
from sundog.models.training_recipe import TrainingRecipe
from sundog.risk.ensemble import ENSEMBLE_FILE, FORMAT, EnsembleModel, member_name

SEED_RANGE = 2**31


class Bootstrap(TrainingRecipe):
    """Plain training on as many images drawn with replacement, the same in every epoch.

    Args:
        seed: of the draw.

    Source:
        Efron, 1979, Annals of Statistics 7; Breiman, 1996, Machine Learning 24 (bagging).
    """

    name = "bootstrap"

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def describe(self) -> dict[str, Any]:
        """Return name and seed."""
        return {"name": self.name, "seed": self.seed}

    def order(self, epoch: int, count: int, seed: int) -> Int64[Tensor, "visited"]:
        """Return the drawn positions, in an order of this epoch."""
        drawn = torch.randint(count, (count,), generator=generator(self.seed, self.name))
        return drawn[torch.randperm(count, generator=generator(seed, "order", epoch))]


def member_seed(seed: int, number: int) -> int:
    """Return the seed of a member: of its weights, order, augmentation and dropout."""
    return derive_seed(seed, "ensemble member", number) % SEED_RANGE


def train_ensemble(
    network: str | nn.Module | Callable[[int], nn.Module],
    train_set: ImageSet,
    *,
    members: int = 5,
    seed: int = 0,
    bootstrap: bool = False,
    out_dir: str | os.PathLike[str] | None = None,
    **options: Any,
) -> EnsembleModel:
    """Train classifiers that differ by their seed alone, and return them as one.

    Args:
        network: a name for :func:`sundog.models.zoo.get_model` or a function that makes a network
            from a seed: then members start from weights of their own. A module is copied: its
            members start from the same weights (to fine-tune a pretrained network) and differ by
            order, augmentation, dropout and draw alone.
        train_set: labelled images.
        members: >= 1; their seeds do not depend on how many there are.
        seed: of the members' seeds.
        bootstrap: train each on images drawn with replacement.
        out_dir: gets a folder for each member and ``ensemble.json``; members that are there are
            not trained again, a member that was killed goes on. None writes nothing.
        options: of :func:`sundog.models.train.train_classifier`, such as ``epochs``.

    Returns:
        The ensemble of classifiers. To have more risks, wrap the members:
        ``EnsembleModel([wrap(c, "mve") for c in ensemble.classifiers]).fit(train_set)``.

    Raises:
        InputError: members out of range, or options that the ensemble sets itself.
        RunFolderError: ``out_dir`` holds something else, or members with other arguments.
    """
    if members < 1:
        raise InputError("members", expected=">= 1", got=str(members))
    if bootstrap and options.get("recipe") is not None:
        raise InputError(
            "recipe",
            expected="None with bootstrap=True",
            got="a recipe",
            hint="Both decide which images are visited.",
        )
    folder = Path(out_dir) if out_dir is not None else None
    trained = []
    for number in range(members):
        own = member_seed(seed, number)
        made = network if isinstance(network, (str, nn.Module)) else network(own)
        given = {**options, "recipe": Bootstrap(own)} if bootstrap else options
        run = train_classifier(
            made,
            train_set,
            seed=own,
            out_dir=folder / member_name(number) if folder is not None else None,
            **given,
        )
        trained.append(run.classifier)
    if folder is not None:
        names = [member_name(number) for number in range(members)]
        write_json(folder / ENSEMBLE_FILE, {"format": FORMAT, "members": names})
    return EnsembleModel(trained)
