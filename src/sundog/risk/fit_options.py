"""How trained risk methods are trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sundog.core.errors import InputError


@dataclass(frozen=True)
class FitOptions:
    """How trained methods are trained; post-hoc methods need none of it.

    Attributes:
        epochs: passes over the training images, >= 1.
        learning_rate: of AdamW, > 0.
        weight_decay: decoupled, >= 0.
        batch_size: images per step, >= 2.
        seed: of initial weights, order and noise.
    """

    epochs: int = 10
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value."""
        for name, least in (("epochs", 1), ("batch_size", 2)):
            if getattr(self, name) < least:
                raise InputError(name, expected=f">= {least}", got=str(getattr(self, name)))
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError("learning_rate", expected="> 0", got=str(self.learning_rate))
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise InputError("weight_decay", expected=">= 0", got=str(self.weight_decay))
