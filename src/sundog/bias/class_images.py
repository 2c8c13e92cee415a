"""The images of one class as the tests of concepts see them: right or wrong, and how sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from sundog.core.errors import InputError, UnknownNameError

Metric = Literal["accuracy", "confidence"]
METRICS: tuple[Metric, ...] = ("accuracy", "confidence")


@dataclass(frozen=True, eq=False)
class ClassImages:
    """The images whose label is one class, and what the classifier made of them.

    Attributes:
        name: the class.
        ids: image ids, distinct; may be none.
        correct: whether the prediction is the label, ``bool[images]``.
        confidence: probability of the label in [0, 1], ``float64[images]``.
        groups: equal numbers mark near-duplicates, which count as one observation;
            ``int64[images]`` or None if every image stands for itself.

    Raises:
        InputError: lengths that differ, an id that occurs twice, a confidence that is NaN or
            outside [0, 1], correctness that is not boolean, groups that are not integers.
    """

    name: str
    ids: tuple[str, ...]
    correct: Bool[np.ndarray, " images"]
    confidence: Float[np.ndarray, " images"]
    groups: Int[np.ndarray, " images"] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", tuple(self.ids))
        if len(set(self.ids)) != len(self.ids):
            repeated = len(self.ids) - len(set(self.ids))
            raise InputError(
                f"Image ids of class {self.name!r}", expected="distinct", got=f"{repeated} repeated"
            )
        object.__setattr__(self, "correct", self._column("correct", self.correct, "b"))
        confidence = self._column("confidence", self.confidence, "fiu").astype(np.float64)
        bad = int((~((confidence >= 0) & (confidence <= 1))).sum())
        if bad:
            raise InputError(
                f"confidence of class {self.name!r}",
                expected="a probability in [0, 1] for every image",
                got=f"NaN or values outside for {bad} of {confidence.size} images",
                hint="Use softmax probabilities, and leave out images that could not be read.",
            )
        object.__setattr__(self, "confidence", confidence)
        if self.groups is not None:
            groups = self._column("groups", self.groups, "iu").astype(np.int64)
            object.__setattr__(self, "groups", groups)

    def __len__(self) -> int:
        return len(self.ids)

    def _column(self, name: str, values: Any, kinds: str) -> np.ndarray[Any, np.dtype[Any]]:
        """Return ``values`` as an array of the class's length and of one of the dtype kinds."""
        array = np.asarray(values)
        if array.size == 0 and array.ndim == 1:
            array = array.astype(bool if "b" in kinds else np.int64 if "f" not in kinds else float)
        if array.shape != (len(self.ids),) or array.dtype.kind not in kinds:
            wanted = {"b": "bool", "fiu": "float64", "iu": "int64"}[kinds]
            raise InputError(
                f"{name} of class {self.name!r}",
                expected=f"{wanted}[{len(self.ids)}], one value per image",
                got=f"{array.dtype}{list(array.shape)}",
            )
        return array

    def outcome(self, metric: Metric) -> np.ndarray[Any, np.dtype[Any]]:
        """Return what is compared between images with and without a concept.

        Args:
            metric: ``accuracy`` or ``confidence``.

        Returns:
            ``bool[images]`` (right or wrong) or ``float64[images]`` (probability of the label);
            higher is better.

        Raises:
            UnknownNameError: another metric.
        """
        if metric not in METRICS:
            raise UnknownNameError("metric", str(metric), METRICS)
        return self.correct if metric == "accuracy" else self.confidence

    def rows(self, keep: Sequence[int] | np.ndarray[Any, np.dtype[Any]]) -> ClassImages:
        """Return the class with the images at ``keep`` (indices or a mask) alone."""
        index = np.arange(len(self))[np.asarray(keep)] if len(keep) else np.arange(0)
        return ClassImages(
            name=self.name,
            ids=tuple(self.ids[i] for i in index),
            correct=self.correct[index],
            confidence=self.confidence[index],
            groups=None if self.groups is None else self.groups[index],
        )
