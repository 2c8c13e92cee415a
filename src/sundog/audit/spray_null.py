"""Maps of the audited model and of copies that have learned nothing: what SpRAy compares."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from sundog.bias.spray_features import pool_maps
from sundog.core.errors import InputError
from sundog.core.progress import track
from sundog.core.seeds import derive_seed
from sundog.core.shapes import Images, Labels
from sundog.explain.attribute import attribute
from sundog.faithfulness.weights import How, randomise, weight_stages
from sundog.models.classifier import Classifier

SIDE = 56
"""Maps are kept at most so large: small enough for many models, fine enough for a small patch."""


def class_maps(
    classifier: Classifier,
    images: Images,
    labels: Labels,
    method: str = "gradient_x_input",
    *,
    parameters: Mapping[str, Any] | None = None,
    side: int = SIDE,
    batch_size: int = 64,
) -> Float[np.ndarray, "images rows columns"]:
    """Explain the class of each image's label, and bring the maps to at most ``side`` x ``side``.

    The label and not the prediction: maps of wrongly classified images explain another class and
    would be a cluster of their own.

    Args:
        classifier: in eval mode.
        images: ``float[images, 3, height, width]`` in [0, 1].
        labels: ``int64[images]``, the classes to explain.
        method: a name of the table of methods.
        parameters: of the method.
        side: of the maps that are kept, area means.
        batch_size: images at once; the result does not depend on it.

    Returns:
        ``float32``, on the CPU. For large images of 224 pixels and 600 images 7.5 MB.

    Raises:
        InputError: labels that do not fit, or an unknown method.
    """
    if len(labels) != len(images) or not len(images):
        raise InputError(
            "labels", expected=f"one per image ({len(images)}), some", got=str(len(labels))
        )
    if batch_size < 1:
        raise InputError("batch_size", expected="at least 1", got=str(batch_size))
    parts = []
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        explained = attribute(
            classifier, images[part], method, target=labels[part], **(parameters or {})
        )
        parts.append(pool_maps(explained.maps.detach().float().cpu().numpy(), side))
    return np.concatenate(parts)


def null_maps(
    classifier: Classifier,
    images: Images,
    labels: Labels,
    method: str = "gradient_x_input",
    *,
    parameters: Mapping[str, Any] | None = None,
    copies: int = 19,
    how: How = "normal",
    side: int = SIDE,
    batch_size: int = 64,
    seed: int = 0,
    progress: bool | None = None,
) -> Float[np.ndarray, "copies images rows columns"]:
    """Return the maps of copies whose weights were all made random, for the same images.

    Whatever clusters they show come from the images and the architecture, and not from what the
    model learned. Copies of a model trained on permuted labels would be the other choice: they
    cost a training each.

    Args:
        classifier: in eval mode; it is never changed.
        images: as in :func:`class_maps`.
        labels: as in :func:`class_maps`.
        method: as in :func:`class_maps`.
        parameters: of the method.
        copies: random networks, at least 1; the smallest p is ``1 / (copies + 1)``.
        how: ``normal`` (mean and spread of each tensor kept) or ``permute``.
        side: as in :func:`class_maps`.
        batch_size: as in :func:`class_maps`.
        seed: of the random weights.
        progress: None shows it on a terminal.

    Raises:
        InputError: as in :func:`class_maps`, or no copies.
        ModelStateError: a network without weights of its own (ONNX), or in train mode.

    Source: Adebayo et al., 2018, arXiv 1810.03292 (parameter randomisation).
    """
    if copies < 1:
        raise InputError("copies", expected="at least 1", got=str(copies))
    classifier.require_eval()
    stages = weight_stages(classifier, images[:1])
    layers = tuple(name for stage in stages for name in stage)
    found = []
    for number in track(range(copies), description="null maps", visible=progress):
        changed = copy.deepcopy(classifier)
        randomise(changed, layers, how=how, seed=derive_seed(seed, "null maps", number))
        found.append(
            class_maps(
                changed,
                images,
                torch.as_tensor(labels),
                method,
                parameters=parameters,
                side=side,
                batch_size=batch_size,
            )
        )
    return np.stack(found)
