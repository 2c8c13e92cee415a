"""Features and logits on their way into a post-hoc method, and scores on their way out: checked."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sundog.core.errors import InputError
from sundog.models.feature_table import FeatureTable
from sundog.risk.estimator import Passed
from sundog.risk.output import Score


def check_training_rows(
    table: FeatureTable, *, method: str, least: int = 2
) -> Float[Tensor, "images features"]:
    """Return the features of training images, after a check that there are enough.

    Raises:
        InputError: fewer than ``least`` images, or no features.
    """
    if len(table) < least or table.features.shape[1] == 0:
        raise InputError(
            f"The training images of {method!r}",
            expected=f"at least {least}, with features",
            got=f"{len(table)} images with {table.features.shape[1]} features",
            hint="Fit on the images that the classifier was trained on.",
        )
    return table.features


def scored_features(passed: Passed, *, method: str, size: int) -> Float[Tensor, "batch features"]:
    """Return the features of a batch on the CPU.

    Raises:
        InputError: another number of features than ``size``, or values that are not finite.
    """
    features = passed.features.detach()
    if features.ndim != 2 or features.shape[1] != size:
        raise InputError(
            f"The features for {method!r}",
            expected=f"[batch, {size}], as it was fitted on",
            got=str(tuple(features.shape)),
            hint="Score with the classifier whose features it was fitted on, or fit it again.",
        )
    return _finite(features, what="features", method=method)


def scored_logits(passed: Passed, *, method: str) -> Float[Tensor, "batch classes"]:
    """Return the logits of a batch in float64 on the CPU.

    Raises:
        InputError: fewer than two classes, or values that are not finite.
    """
    logits = passed.logits.detach()
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise InputError(
            f"The logits for {method!r}",
            expected="[batch, classes] with at least 2 classes",
            got=str(tuple(logits.shape)),
            hint="A network with one output is declared with output='binary_logit'.",
        )
    return _finite(logits, what="logits", method=method).double()


def same_device(scores: Score, passed: Passed) -> Score:
    """Return scores on the device of the logits: float64, or float32 where it has no float64."""
    device = passed.logits.device
    return (scores.float() if device.type == "mps" else scores).to(device)


def class_rows(
    table: FeatureTable, *, method: str, least: int = 2
) -> tuple[Int64[Tensor, "classes"], list[Int64[Tensor, "members"]]]:
    """Return the classes that have images, and the rows of each; unlabelled rows are in none.

    Raises:
        InputError: no labelled image, or a class with fewer than ``least`` images.
    """
    classes = torch.unique(table.labels[table.labels >= 0])
    if not len(classes):
        raise InputError(
            f"The training images of {method!r}",
            expected="labelled",
            got=f"{len(table)} unlabelled images",
            hint="Use 'knn' or 'gmm', which need no labels.",
        )
    rows = [(table.labels == label).nonzero()[:, 0] for label in classes]
    small = [(int(label), len(r)) for label, r in zip(classes, rows, strict=True) if len(r) < least]
    if small:
        raise InputError(
            f"Every class that {method!r} is fitted on",
            expected=f"of at least {least} images",
            got=f"{small[0][1]} of class {small[0][0]}"
            + (f", and {len(small) - 1} more such classes" if len(small) > 1 else ""),
            hint="Leave the class out, add images, or use 'knn' or 'gmm', which need no labels.",
        )
    return classes, rows


def _finite(values: Tensor, *, what: str, method: str) -> Tensor:
    found = values.cpu()
    bad = int((~torch.isfinite(found)).any(dim=1).sum())
    if bad:
        raise InputError(
            f"The {what} for {method!r}",
            expected="finite",
            got=f"NaN or infinity in {bad} of {len(found)} images",
            hint="Look for a layer that overflows, or leave those images out.",
        )
    return found
