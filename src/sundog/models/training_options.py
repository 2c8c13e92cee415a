"""Everything that decides how a training run goes, checked once."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from torch import nn

from sundog.core.errors import InputError
from sundog.data.transforms import Resize
from sundog.models.augment import Augment, check_augment

OptimizerName = Literal["adamw", "sgd"]
Schedule = Literal["cosine", "constant"]
Precision = Literal["32-true", "bf16-mixed"]


@dataclass(frozen=True)
class TrainingOptions:
    """Hyper-parameters; the defaults are those of the practical where it gives one.

    Attributes:
        epochs: passes over the training images, >= 1.
        seed: of initial weights, order, augmentation and dropout.
        learning_rate: at the start.
        weight_decay: decoupled (AdamW) or L2 (SGD), on all parameters.
        batch_size: images per step, >= 2.
        optimizer: ``adamw`` or ``sgd`` (momentum 0.9).
        schedule: ``cosine`` falls to 0 at the end, ``constant`` stays.
        augment: ``none``, ``flip`` or ``flip-shift``; the cue is planted afterwards.
        size: (height, width) in pixels, None for the images' own common size.
        resize: ``pad``, ``crop`` or ``stretch``.
        precision: ``32-true`` or ``bf16-mixed``.
        evaluate_every: epochs between evaluations; the last epoch is always evaluated.
    """

    epochs: int = 10
    seed: int = 5807
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    batch_size: int = 64
    optimizer: OptimizerName = "adamw"
    schedule: Schedule = "cosine"
    augment: Augment = "none"
    size: tuple[int, int] | None = None
    resize: Resize = "pad"
    precision: Precision = "32-true"
    evaluate_every: int = 1

    def __post_init__(self) -> None:
        """Check every value."""
        for name, least in (("epochs", 1), ("batch_size", 2), ("evaluate_every", 1)):
            if getattr(self, name) < least:
                raise InputError(name, expected=f">= {least}", got=str(getattr(self, name)))
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError("learning_rate", expected="> 0", got=str(self.learning_rate))
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise InputError("weight_decay", expected=">= 0", got=str(self.weight_decay))
        for name, choices in (
            ("optimizer", get_args(OptimizerName)),
            ("schedule", get_args(Schedule)),
            ("precision", get_args(Precision)),
            ("resize", get_args(Resize)),
        ):
            if getattr(self, name) not in choices:
                raise InputError(name, expected=f"one of {choices}", got=repr(getattr(self, name)))
        check_augment(self.augment)

    def to_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {**asdict(self), "size": list(self.size) if self.size is not None else None}

    def learning_rate_at(self, progress: float) -> float:
        """Return the learning rate after a share ``progress`` in [0, 1] of the training."""
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    def make_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer over the parameters that require a gradient."""
        parameters = [p for p in network.parameters() if p.requires_grad]
        if not parameters:
            raise InputError("The network", expected="one with trainable parameters", got="none")
        if self.optimizer == "sgd":
            return torch.optim.SGD(
                parameters, self.learning_rate, momentum=0.9, weight_decay=self.weight_decay
            )
        return torch.optim.AdamW(parameters, self.learning_rate, weight_decay=self.weight_decay)
