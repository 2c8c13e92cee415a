"""Refusing features and logits that are not those a method was fitted on."""

from __future__ import annotations

import torch

from sundog.core.errors import InputError
from sundog.risk.estimator import Passed


def check_passed(passed: Passed, *, method: str, features: int, classes: int) -> None:
    """Refuse other widths, and values that are not finite.

    Args:
        passed: what is to be scored.
        method: named in the message.
        features: expected length of the feature vector.
        classes: expected number of logits.

    Raises:
        InputError: says what came.
    """
    found = (passed.features.shape[1:], passed.logits.shape[1:])
    if found != ((features,), (classes,)):
        raise InputError(
            f"Features and logits for method {method!r}",
            expected=f"[batch, {features}] and [batch, {classes}], as it was fitted on",
            got=f"{tuple(passed.features.shape)} and {tuple(passed.logits.shape)}",
            hint="Score with the classifier it was fitted on, or fit it again.",
        )
    for name, values in (("features", passed.features), ("logits", passed.logits)):
        bad = int((~torch.isfinite(values)).any(dim=1).sum())
        if bad:
            raise InputError(
                name,
                expected="finite",
                got=f"NaN or infinity in {bad} of {len(values)} images",
                hint="Look for a layer that overflows, or for bad weights; drop those images.",
            )
