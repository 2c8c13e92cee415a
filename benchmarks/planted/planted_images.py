"""The images of a setting with its cue planted, and the truth about every one of them."""

from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.planted.cue_ranges import ATTRIBUTES, draw_class
from benchmarks.planted.data_sets import Data
from benchmarks.planted.settings import Setting
from sundog.core.seeds import derive_seed
from sundog.data.image_set import ImageSet
from sundog.data.planted_view import ABSENT, PlantedMasks, planted_view
from sundog.data.planting import Cue, make_cue

GROUP_SHARE = 0.5
"""Share of the images of other classes that have the attribute of a rare group."""


@dataclass(frozen=True, eq=False)
class Shown:
    """Images as a classifier sees them, and the truth.

    Attributes:
        images: with the cue in their pixels.
        cue_class: ``int64[images]``, class that the cue speaks for; -1 = no cue.
        masks: where the cue is; None without a cue.
        wrong: ``bool[images]``, whether the label is wrong.
    """

    images: ImageSet
    cue_class: np.ndarray
    masks: PlantedMasks | None
    wrong: np.ndarray


def planted_cue(setting: Setting, class_count: int, *, strength: float) -> Cue:
    """Return the setting's cue at a strength."""
    if setting.cue == "rare-group":
        name = setting.parameters["attribute"]
        target = draw_class(setting.cue, class_count, seed=setting.seed)
        return make_cue(
            name,
            class_count=class_count,
            seed=setting.seed,
            target_class=target,
            **ATTRIBUTES[name],
        )
    return make_cue(
        setting.cue,
        class_count=class_count,
        strength=strength,
        seed=setting.seed,
        **setting.parameters,
    )


def training_images(setting: Setting, data: Data) -> Shown:
    """Return the images that the setting's classifier is trained on."""
    if setting.control:
        return without_cue(data.train)
    if setting.cue == "noisy-labels":
        return wrong_labels(setting, data.train)
    if setting.cue == "rare-group":
        return in_groups(setting, data, data.train, rare=float(setting.parameters["share"]))
    cue = planted_cue(setting, len(data.train.class_names), strength=setting.strength)
    shown = cue.draw(torch.from_numpy(data.train.labels), data.train.ids).numpy()
    return with_cue(setting, data, data.train, shown)


def audit_images(setting: Setting, data: Data) -> Shown:
    """Return held-out images, drawn as the training images were: what an auditor has.

    In a rare group the attribute is as frequent in every class, so that the group can be seen.
    """
    held_out = data.held_out
    if setting.shown == 0 or setting.cue == "noisy-labels":
        return without_cue(held_out)
    if setting.cue == "rare-group":
        return in_groups(setting, data, held_out, rare=GROUP_SHARE)
    cue = planted_cue(setting, len(held_out.class_names), strength=setting.shown)
    return with_cue(
        setting, data, held_out, cue.draw(torch.from_numpy(held_out.labels), held_out.ids).numpy()
    )


def without_cue(images: ImageSet) -> Shown:
    """Return the images as they are."""
    nothing = np.full(len(images), ABSENT, dtype=np.int64)
    return Shown(images, nothing, None, np.zeros(len(images), dtype=bool))


def with_cue(setting: Setting, data: Data, images: ImageSet, cue_class: np.ndarray) -> Shown:
    """Return the images with the cue of given classes; -1 = none."""
    cue = planted_cue(setting, len(images.class_names), strength=1.0)
    given = {"size": data.size, "resize": data.resize, "cue_class": cue_class}
    return Shown(
        planted_view(images, cue, **given),
        cue_class,
        PlantedMasks(images, cue, **given),
        np.zeros(len(images), dtype=bool),
    )


def in_groups(setting: Setting, data: Data, images: ImageSet, *, rare: float) -> Shown:
    """Return images of which half have an attribute, in one class a share ``rare``."""
    classes = len(images.class_names)
    target = draw_class(setting.cue, classes, seed=setting.seed)
    seed = derive_seed(setting.seed, "group", *images.ids[:2], len(images))
    chance = np.random.default_rng(seed).random(len(images))
    has = chance < np.where(images.labels == target, rare, GROUP_SHARE)
    return with_cue(setting, data, images, np.where(has, target, ABSENT))


def wrong_labels(setting: Setting, images: ImageSet) -> Shown:
    """Return the images with a share of one class's labels replaced by those of other classes."""
    classes = len(images.class_names)
    target = draw_class(setting.cue, classes, seed=setting.seed)
    rng = np.random.default_rng(derive_seed(setting.seed, "wrong labels"))
    members = rng.permutation(np.flatnonzero(images.labels == target))
    chosen = members[: round(float(setting.parameters["share"]) * len(members))]
    labels = images.labels.copy()
    labels[chosen] = (target + rng.integers(1, classes, len(chosen))) % classes
    wrong = np.zeros(len(images), dtype=bool)
    wrong[chosen] = True
    nothing = np.full(len(images), ABSENT, dtype=np.int64)
    return Shown(images.relabelled(labels, images.class_names), nothing, None, wrong)
