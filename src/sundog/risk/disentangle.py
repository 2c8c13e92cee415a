"""Do the epistemic and the aleatoric risk each follow their own cause, and not the other's?"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from sundog.core.errors import InputError
from sundog.core.statistics.estimate import check_sample


@dataclass(frozen=True)
class Disentanglement:
    """How well two risks keep their causes apart; each part is a distance to what is expected.

    Attributes:
        error: mean of the four parts, in [0, 1.5]; 0: perfectly apart, lower is better. NaN if one
            part cannot be told (a risk or the error that never moves).
        epistemic_on_size: correlation of the mean epistemic risk with the error while the training
            set shrinks; expected 1.
        aleatoric_on_size: of the mean aleatoric risk, in the same trainings; expected 0.
        aleatoric_on_noise: of the mean aleatoric risk with the error while label noise grows;
            expected 1.
        epistemic_on_noise: of the mean epistemic risk, in the same trainings; expected 0.
        sizes: trainings with less data.
        noises: trainings with more noise.
    """

    error: float
    epistemic_on_size: float
    aleatoric_on_size: float
    aleatoric_on_noise: float
    epistemic_on_noise: float
    sizes: int
    noises: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dictionary."""
        return asdict(self)


def disentanglement_error(
    *,
    size_accuracy: ArrayLike,
    size_epistemic: ArrayLike,
    size_aleatoric: ArrayLike,
    noise_accuracy: ArrayLike,
    noise_epistemic: ArrayLike,
    noise_aleatoric: ArrayLike,
) -> Disentanglement:
    """Return the disentanglement error of two series of trainings.

    ``(|r(E, size) - 1| + |r(A, size)| + |r(A, noise) - 1| + |r(E, noise)|) / 4`` with r Pearson's
    correlation of a mean risk (E epistemic, A aleatoric) on the test images with the test error
    ``1 - accuracy``. A risk that is constant has no correlation; where 0 is expected, it counts as
    0, for it did not move.

    Args:
        size_accuracy: test accuracy of each training with less and less data, at least three.
        size_epistemic: mean epistemic risk of the same trainings.
        size_aleatoric: mean aleatoric risk.
        noise_accuracy: test accuracy (on labels with the same noise) of each training with more
            and more label noise, at least three.
        noise_epistemic: mean epistemic risk.
        noise_aleatoric: mean aleatoric risk.

    Raises:
        InputError: fewer than three trainings, lengths that differ, values that are not finite.

    Source: de Jong, Sburlea, Sabatelli & Valdenegro-Toro, 2024, arXiv 2408.12175. Their package
    correlates with whatever score the model returns; here it is the error, so that 1 is right.
    """
    size = _series("size", size_accuracy, size_epistemic, size_aleatoric)
    noise = _series("noise", noise_accuracy, noise_epistemic, noise_aleatoric)
    epistemic_on_size, aleatoric_on_size = _pearson(size[1], size[0]), _moved(size[2], size[0])
    aleatoric_on_noise, epistemic_on_noise = (
        _pearson(noise[2], noise[0]),
        _moved(noise[1], noise[0]),
    )
    parts = (
        abs(epistemic_on_size - 1),
        abs(aleatoric_on_size),
        abs(aleatoric_on_noise - 1),
        abs(epistemic_on_noise),
    )
    return Disentanglement(
        error=sum(parts) / 4,
        epistemic_on_size=epistemic_on_size,
        aleatoric_on_size=aleatoric_on_size,
        aleatoric_on_noise=aleatoric_on_noise,
        epistemic_on_noise=epistemic_on_noise,
        sizes=size.shape[1],
        noises=noise.shape[1],
    )


def _series(
    name: str, accuracy: ArrayLike, epistemic: ArrayLike, aleatoric: ArrayLike
) -> Float[np.ndarray, "3 trainings"]:
    """Return error, epistemic and aleatoric risk per training."""
    found = {
        part: check_sample(values, name=f"{name}_{part}")
        for part, values in (
            ("accuracy", accuracy),
            ("epistemic", epistemic),
            ("aleatoric", aleatoric),
        )
    }
    sizes = {values.size for values in found.values()}
    if len(sizes) > 1 or min(sizes) < 3:
        raise InputError(
            f"The {name} series",
            expected="three trainings or more, one value each",
            got=", ".join(f"{part} {values.size}" for part, values in found.items()),
        )
    return np.stack([1 - found["accuracy"], found["epistemic"], found["aleatoric"]])


def _pearson(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    x, y = a - a.mean(), b - b.mean()
    return float(np.clip((x * y).sum() / math.sqrt((x**2).sum() * (y**2).sum()), -1, 1))


def _moved(risk: Float[np.ndarray, " n"], error: Float[np.ndarray, " n"]) -> float:
    return 0.0 if np.ptp(risk) == 0 else _pearson(risk, error)
