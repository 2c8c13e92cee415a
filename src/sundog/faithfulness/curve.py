"""How a deletion or insertion curve is made and summed up: the specification and the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sundog.core.errors import InputError, UnknownNameError
from sundog.core.notebook import Card, InNotebook

Kind = Literal["deletion", "insertion"]
Spacing = Literal["equal", "log"]
Fill = Literal["black", "grey", "mean", "blur", "noisy_linear"]
CurveOutput = Literal["probability", "logit", "log_probability"]

LOG_FRACTIONS = (0.0, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Shares of the pixels that the ``log`` spacing changes: fine where small cues are."""


@dataclass(frozen=True)
class CurveSpec:
    """Everything that decides what a curve's number means; it is stored with the score.

    Attributes:
        kind: ``deletion`` removes the most relevant pixels first (lower area is better);
            ``insertion`` starts from the filled image and reveals them first (higher is better).
        steps: number of images on the curve, first and last included (``equal`` spacing).
        spacing: ``equal``: the ranked pixels are cut into ``steps - 1`` chunks, the first
            ``pixels mod (steps - 1)`` of them one pixel larger, and the area is taken over
            ``linspace(0, 1, steps)``. ``log``: the 12 shares of :data:`LOG_FRACTIONS`, area over
            the true share of changed pixels.
        fill: what a removed pixel becomes, in [0, 1] before normalisation: ``black`` 0, ``grey``
            0.5, ``mean`` (the image's channel means), ``blur`` (Gaussian, sigma 5 % of the
            shorter side) or ``noisy_linear`` (imputed from the pixels that are left).
        output: ``probability`` (softmax over the classifier's classes), ``logit`` or
            ``log_probability`` of the explained class.
        target: ``predicted``: the class predicted on the clean image; ``given``: chosen.
        seed: for the noise of ``noisy_linear``.
    """

    kind: Kind = "deletion"
    steps: int = 10
    spacing: Spacing = "equal"
    fill: Fill = "black"
    output: CurveOutput = "probability"
    target: Literal["predicted", "given"] = "predicted"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, known in (
            ("metric", self.kind, Kind),
            ("spacing", self.spacing, Spacing),
            ("fill", self.fill, Fill),
            ("output", self.output, CurveOutput),
        ):
            if value not in get_args(known):
                raise UnknownNameError(name, str(value), get_args(known))
        if self.spacing == "log":
            object.__setattr__(self, "steps", len(LOG_FRACTIONS))
        if not isinstance(self.steps, int) or self.steps < 2:
            raise InputError(
                "steps",
                expected="an integer of at least 2",
                got=repr(self.steps),
                hint="A curve needs the clean image and the filled one.",
            )

    @property
    def higher_is_better(self) -> bool:
        """Whether a large area speaks for the explanation."""
        return self.kind == "insertion"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a plain dictionary."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def positions(self, pixels: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return how many pixels each image of the curve has changed, and where it stands in x.

        With fewer pixels than chunks the last chunks are empty: the images repeat, and so do
        their values (as ``array_split`` does).

        Args:
            pixels: height times width, at least 1.

        Returns:
            ``int64[steps]`` counts from 0 to ``pixels``; ``float64[steps]`` x from 0 to 1.
        """
        if self.spacing == "equal":
            chunks = self.steps - 1
            size, extra = divmod(pixels, chunks)
            counts = np.arange(self.steps) * size + np.minimum(np.arange(self.steps), extra)
            return counts, np.linspace(0.0, 1.0, self.steps)
        counts = np.floor(np.array(LOG_FRACTIONS) * pixels + 0.5).astype(np.int64)
        return counts, counts / pixels


def area_under(x: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the trapezoid area of each row of ``values`` over ``x``.

    Args:
        x: ``[steps]`` ascending (repeats add nothing).
        values: ``[batch, steps]``.

    Returns:
        ``float64[batch]``; in [0, 1] for probabilities over x from 0 to 1.
    """
    return (np.diff(x) * (values[:, 1:] + values[:, :-1]) / 2).sum(axis=1)


def log_area_under(x: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean height of each curve over ``log x``, from the first changed pixel on.

    ``integral of value d(log x) / (log 1 - log x_1)``: each decade weighs the same, so that a cue
    of 0.2 % of the pixels shows. The clean point (x = 0) has no place on this axis.

    Args:
        x: ``[steps]`` ascending, ending at 1.
        values: ``[batch, steps]``.

    Returns:
        ``float64[batch]``; the last value if only x = 1 lies on the axis.
    """
    positive = x > 0
    axis, heights = np.log(x[positive]), values[:, positive]
    width = float(axis[-1] - axis[0])
    return heights[:, -1] if width == 0 else area_under(axis, heights) / width


@dataclass(frozen=True, eq=False, repr=False)
class Curves(InNotebook):
    """One curve per image.

    Attributes:
        spec: how the curves were made.
        x: ``float64[steps]``, share of changed pixels (nominal for ``equal`` spacing).
        values: ``float64[batch, steps]``, the explained output; NaN for a map that is not finite.
        area: ``float64[batch]``, trapezoid area over ``x``: the score.
        log_area: ``float64[batch]``, mean height over ``log x``; NaN for ``equal`` spacing.
        target: ``int64[batch]``, the class that was followed.
        reasons: why an image has no score, ``""`` where it has one.
        forwards: images passed through the classifier for these curves, per image.
    """

    spec: CurveSpec
    x: NDArray[np.float64]
    values: NDArray[np.float64]
    area: NDArray[np.float64]
    log_area: NDArray[np.float64]
    target: NDArray[np.int64]
    reasons: tuple[str, ...]
    forwards: float

    def _card(self) -> Card:
        better = "lower" if self.spec.kind == "deletion" else "higher"
        found = np.isfinite(self.area)
        area = float(self.area[found].mean()) if found.any() else float("nan")
        rows = pd.DataFrame(
            {"changed": self.x, "mean output": np.nanmean(self.values[found], axis=0)}
        )
        return Card(
            headline=f"{int(found.sum())} {self.spec.kind} curves; mean area {area:.4g} "
            f"({better} is better)",
            facts={"fill": self.spec.fill, "forwards per image": self.forwards},
            tables=[("Mean curve", rows)] if found.any() else [],
            notes=sorted({reason for reason in self.reasons if reason}),
        )
