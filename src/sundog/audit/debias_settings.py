"""How a debiasing run goes: seeds, budget, methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sundog.audit.debias_parameters import check_method_parameters
from sundog.core.errors import InputError
from sundog.models.augment import Augment
from sundog.models.training_options import OptimizerName, Schedule


@dataclass(frozen=True)
class DebiasSettings:
    """The same for every method: seeds and budget are those of plain training.

    Attributes:
        methods: names from the table, or ``auto``.
        parameters: method → its parameters.
        seeds: of independent trainings; at least three give intervals over seeds.
        epochs: of each training, from scratch (``network``) or on from the given classifier.
        learning_rate: at the start.
        weight_decay: of each training.
        batch_size: images per step.
        optimizer: ``adamw`` or ``sgd``.
        schedule: ``cosine`` or ``constant``.
        augment: ``none``, ``flip`` or ``flip-shift``.
        probes: other known cues to look at again after each repair.
        tolerated_flips: flip rate up to which a model counts as not relying on the cue.
        force: go on although the model shows no bias.
    """

    methods: Sequence[str] = ("auto",)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seeds: Sequence[int] = (0, 1, 2)
    epochs: int = 10
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    batch_size: int = 64
    optimizer: OptimizerName = "adamw"
    schedule: Schedule = "cosine"
    augment: Augment = "none"
    probes: Sequence[str] = ()
    tolerated_flips: float = 0.05
    force: bool = False

    def __post_init__(self) -> None:
        """Check what training does not check itself.

        Raises:
            InputError: no seed or method, a seed twice, a rate out of range, or a parameter that a
                method does not have.
            UnknownNameError: no such method.
        """
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise InputError("seeds", expected="at least one, each once", got=str(self.seeds))
        if not self.methods:
            raise InputError("methods", expected="at least one", got="none")
        check_method_parameters(self.parameters)
        if not 0 <= self.tolerated_flips < 1:
            raise InputError("tolerated_flips", expected="in [0, 1)", got=str(self.tolerated_flips))

    def training(self, *, every_epoch: bool = False) -> dict[str, Any]:
        """Return the arguments of :func:`sundog.models.train.train_classifier`.

        Args:
            every_epoch: evaluate after every epoch, and keep what the recipe notes; else at the
                end alone. The weights are the same.
        """
        return {
            "epochs": self.epochs,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "batch_size": self.batch_size,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "augment": self.augment,
            "evaluate_every": 1 if every_epoch else self.epochs,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        found = asdict(self)
        found["methods"], found["seeds"] = list(self.methods), list(self.seeds)
        found["probes"] = list(self.probes)
        found["parameters"] = {k: dict(v) for k, v in self.parameters.items()}
        return found
