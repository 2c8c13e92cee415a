"""What the methods that draw noise share: checks, and one seed per image."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

import torch

from sundog.core.errors import InputError
from sundog.core.seeds import image_generator
from sundog.core.shapes import Images, Labels
from sundog.explain.budget import rows_per_pass
from sundog.models.classifier import Classifier


def check_samples(n_samples: int) -> None:
    """Refuse a number of samples that is not an integer >= 1."""
    if isinstance(n_samples, bool) or not isinstance(n_samples, int) or n_samples < 1:
        raise InputError("n_samples", expected="an integer >= 1", got=repr(n_samples))


def check_spread(subject: str, spread: float) -> None:
    """Refuse a standard deviation that is not a finite number >= 0."""
    if not isinstance(spread, (int, float)) or not (isfinite(spread) and spread >= 0):
        raise InputError(subject, expected="a finite number >= 0", got=repr(spread))


def image_seeds(images: Images, seed: int, purpose: str) -> list[int]:
    """Return one seed per image, from the seed and the content of that image alone."""
    return [image_generator(image, seed, purpose).initial_seed() for image in images]


def row_chunks(
    classifier: Classifier, images: Images, *, points: int, gradient: bool, budget: int
) -> Iterator[tuple[Labels, Labels]]:
    """Yield (image index, point index) of all rows, image by image, as many as fit the budget."""
    count = len(images) * points
    chunk = rows_per_pass(classifier, images, gradient=gradient, budget=budget, wanted=count)
    for start in range(0, count, chunk):
        row = torch.arange(start, min(start + chunk, count), device=images.device)
        yield row // points, row % points
