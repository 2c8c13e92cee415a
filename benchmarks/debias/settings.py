"""What is run: data, planted cue, network, budget and methods of each setting, fixed beforehand."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from sundog.data.planting import Cue, make_cue


@dataclass(frozen=True)
class Setting:
    """One row of the plan.

    Attributes:
        name: of the setting.
        title: for the tables.
        data: ``imagenette`` (a folder is needed) or ``digits`` (embedded).
        classes: names of the classes that are used; None: all.
        cue: name and parameters of the planted cue.
        alignment: share of training images whose cue agrees with the label.
        size: side of the images in pixels.
        network: key of :data:`benchmarks.debias.networks.NETWORKS`.
        training: passed to ``train_classifier``; the same for every method.
        audit_share: share of the training images that is kept apart, for groups, pairs and choices.
        seeds: of initial weights, order and cue draws.
        methods: names in :data:`benchmarks.debias.methods.METHODS`, in the order they are run.
    """

    name: str
    title: str
    data: str
    classes: tuple[str, ...] | None
    cue: tuple[str, dict[str, Any]]
    alignment: float
    size: int
    network: str
    training: dict[str, Any]
    audit_share: float
    seeds: tuple[int, ...]
    methods: tuple[str, ...] = field(repr=False)

    def make_cue(self, class_count: int, *, seed: int, strength: float | None = None) -> Cue:
        """Return the cue at the setting's alignment, or at another strength."""
        name, parameters = self.cue
        chosen = self.alignment if strength is None else strength
        return make_cue(name, class_count=class_count, strength=chosen, seed=seed, **parameters)

    @property
    def key(self) -> str:
        """Eight characters that change with anything that decides a trained network."""
        content = asdict(self)
        for name in ("title", "seeds", "methods"):
            del content[name]
        text = json.dumps(content, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


HEADS = (
    *("projection", "projection_mask", "projection_swapped"),
    *("dfr", "dfr_20", "afr", "low_spuriosity"),
)
RETRAIN = (
    "cue_augmentation",
    "cue_augmentation_mask",
    "group_reweighting",
    "group_subsampling",
    "group_dro",
    "lisa",
    "jtt",
    "jtt_forced",
    "adaptive_max",
    "adaptive_tempered",
    "noisy_removal",
    "right_reasons",
)
PATCH = ("patch", {"size": 0.16, "corner": "random"})
"""5 x 5 of 32 x 32 pixels in the class's colour, anywhere but on the rim."""
PAIR_TRAINING = {
    "epochs": 10,
    "learning_rate": 0.003,
    "weight_decay": 0.05,
    "optimizer": "adamw",
    "batch_size": 64,
    "augment": "flip",
}
_PAIR = {
    "data": "imagenette",
    "classes": ("cassette_player", "gas_pump"),
    "cue": PATCH,
    "size": 32,
    "network": "four-convolutions",
    "training": PAIR_TRAINING,
    "audit_share": 0.2,
    "seeds": (0, 1, 2),
}

SETTINGS: dict[str, Setting] = {
    row.name: row
    for row in (
        Setting(
            name="pair",
            title="Imagenette, 2 classes, patch at 95 %",
            alignment=0.95,
            methods=("clean", "erm", *HEADS, *RETRAIN),
            **_PAIR,
        ),
        Setting(
            name="pair-null",
            title="Imagenette, 2 classes, patch that says nothing (50 %)",
            alignment=0.5,
            methods=(
                *("clean", "erm", *HEADS, "cue_augmentation", "cue_augmentation_mask"),
                *("group_reweighting", "jtt", "adaptive_tempered"),
            ),
            **_PAIR,
        ),
        Setting(
            name="digits",
            title="Digits, 10 classes, patch at 95 %",
            data="digits",
            classes=None,
            cue=("patch", {"size": 0.18, "corner": "bottom_right", "margin": 0.0}),
            alignment=0.95,
            size=28,
            network="small-cnn",
            training={
                **PAIR_TRAINING,
                "epochs": 3,
                "learning_rate": 0.001,
                "augment": "none",
                "batch_size": 32,
            },
            audit_share=0.25,
            seeds=(0, 1, 2),
            methods=("clean", "erm", *HEADS, *RETRAIN),
        ),
        Setting(
            name="ten",
            title="Imagenette, 10 classes, patch at 100 %",
            data="imagenette",
            classes=None,
            cue=PATCH,
            alignment=1.0,
            size=32,
            network="four-convolutions",
            training={**PAIR_TRAINING, "epochs": 8},
            audit_share=0.1,
            seeds=(0, 1),
            methods=(
                *("clean", "erm", *HEADS, "cue_augmentation", "cue_augmentation_mask"),
                *("group_reweighting", "group_dro", "lisa", "jtt", "adaptive_tempered"),
            ),
        ),
    )
}
