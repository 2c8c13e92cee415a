"""Batches as the MIT course's face lab draws them: half positives by ``p_pos``, half negatives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int64

from sundog.core.errors import DataError, InputError
from sundog.core.seeds import derive_seed
from sundog.data.image_set import ImageSet


def lab_batches(
    image_set: ImageSet,
    *,
    batch_size: int = 32,
    positive: int = 1,
    p_pos: Float[np.ndarray, "positives"] | None = None,
    p_neg: Float[np.ndarray, "negatives"] | None = None,
    seed: int = 0,
    epoch: int = 0,
) -> Iterator[Int64[np.ndarray, "batch_size"]]:
    """Yield the positions of each batch of an epoch: half of one class, half of the others.

    A batch is drawn without replacement, ``batch_size / 2`` images of class ``positive`` with the
    probabilities ``p_pos`` and as many of the other classes with ``p_neg``, then shuffled. Batches
    are drawn independently of each other, so that an image may come in several: an epoch is
    ``floor(labelled images / batch_size)`` draws (at least one), not a pass over the data. Images
    are RGB, as every image of a set is. Concatenated, the batches are an epoch's order for
    training with the same batch size.

    Args:
        image_set: labelled; images without a label are never drawn.
        batch_size: even, >= 2.
        positive: the class that ``p_pos`` is about (the lab's faces are 1).
        p_pos: one weight >= 0 per image of that class, in the order of the set; they need not sum
            to 1. None: all alike.
        p_neg: likewise for the labelled images of the other classes.
        seed: of the draws.
        epoch: another epoch draws other batches.

    Raises:
        InputError: a bad batch size, class or epoch; weights of the wrong length, negative or not
            finite; fewer images with a weight above 0 than half a batch.
        DataError: no image of one of the two kinds.

    Source: MIT 6.S191, the face lab's loader; Amini et al., 2019, AIES.
    """
    if batch_size < 2 or batch_size % 2:
        raise InputError("batch_size", expected="even and >= 2", got=str(batch_size))
    if not 0 <= positive < len(image_set.class_names):
        raise InputError(
            "positive",
            expected=f"a class in 0..{len(image_set.class_names) - 1}",
            got=str(positive),
        )
    if epoch < 0:
        raise InputError("epoch", expected=">= 0", got=str(epoch))
    labels = image_set.labels
    half = batch_size // 2
    kinds = []
    for name, chosen, weights in (
        ("p_pos", labels == positive, p_pos),
        ("p_neg", (labels != positive) & (labels >= 0), p_neg),
    ):
        places = np.flatnonzero(chosen)
        if not len(places):
            kind = f"of class {image_set.class_names[positive]!r}"
            kind = kind if name == "p_pos" else f"that are not {kind}"
            raise DataError(f"Image set {image_set.name!r}", expected=f"with images {kind}")
        kinds.append((places, _probabilities(name, weights, count=len(places), half=half)))
    steps = max(1, sum(len(places) for places, _ in kinds) // batch_size)
    return _draw(kinds, half, steps, seed, epoch)


def _draw(
    kinds: list[tuple[np.ndarray, np.ndarray]], half: int, steps: int, seed: int, epoch: int
) -> Iterator[Int64[np.ndarray, "batch_size"]]:
    for step in range(steps):
        random = np.random.default_rng(derive_seed(seed, "lab batches", epoch, step))
        drawn = [
            random.choice(places, size=half, replace=False, p=chances) for places, chances in kinds
        ]
        yield random.permutation(np.concatenate(drawn)).astype(np.int64)


def _probabilities(
    name: str, weights: np.ndarray | None, *, count: int, half: int
) -> Float[np.ndarray, "images"]:
    chances = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
    if chances.shape != (count,):
        raise InputError(
            name,
            expected=f"one weight per image of its kind, shape ({count},)",
            got=str(chances.shape),
            hint="Give the weights of the images of that kind alone, in the order of the set.",
        )
    if not np.isfinite(chances).all() or (chances < 0).any():
        raise InputError(name, expected="finite and >= 0", got="NaN, infinity or below 0")
    usable = int((chances > 0).sum())
    if usable < half:
        raise InputError(
            "batch_size",
            expected=f"at most {2 * usable}: half a batch is drawn from the {usable} images with "
            f"a weight above 0 in {name}",
            got=str(2 * half),
        )
    # Divided by the largest first: weights near the limits of float64 would sum to infinity or 0.
    chances = chances / chances.max()
    return chances / chances.sum()
