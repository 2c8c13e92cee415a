"""What a risk page is made of: windows, pictures, scores and words, as plain arrays and numbers.

Every share is in [0, 1]. Every list may be empty and every optional part None: the page then leaves
the part out, or says why it is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy.typing import NDArray

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate


@dataclass(frozen=True)
class FieldWords:
    """What one kind of risk means: what it is called, its two ends, and a sentence."""

    noun: str
    low: str
    high: str
    meaning: str


FIELD_WORDS: dict[str, FieldWords] = {
    "representation": FieldWords(
        "representation",
        "least represented",
        "most represented",
        "How common an image is among the training images, as a log-density or in the order of "
        "one. High: the training data hold many like it. Low: rare there.",
    ),
    "epistemic": FieldWords(
        "epistemic risk",
        "most certain",
        "least certain",
        "What the model does not know because it has seen too little. High: risky. It should fall "
        "as the training set grows.",
    ),
    "aleatoric": FieldWords(
        "aleatoric risk",
        "least ambiguous",
        "most ambiguous",
        "Noise of the label itself: more images of the same kind would not remove it. High: risky, "
        "and the label may be wrong.",
    ),
}


@dataclass(frozen=True, eq=False)
class Windows:
    """Scores over windows of about equally many images, in rising order of one field.

    Attributes:
        n: images per window; windows may differ by one, no image is dropped.
        low: smallest value of the field in each window, in its unit.
        high: largest value.
        measures: name (``accuracy``, ``precision``, ``recall``, ``balanced accuracy``) -> one
            estimate in [0, 1] per window; NaN where it is not defined.
        mean_images: ``[windows, height, width, 3]`` uint8, or a list with None for a window
            without one; empty for none.
        trend: Spearman correlation of the field with being right, in [-1, 1], over the images;
            positive: images with high values are right more often.
        positive: name of the class that precision and recall are about, or ``macro average``.
        frozen: whether the edges come from another model or run (before/after).
        note: small print, for instance how the interval was made.
    """

    n: Int[np.ndarray, " windows"]
    low: Float[np.ndarray, " windows"]
    high: Float[np.ndarray, " windows"]
    measures: Mapping[str, Sequence[Estimate]]
    mean_images: NDArray[np.uint8] | Sequence[NDArray[np.uint8] | None] = ()
    trend: Estimate | None = None
    positive: str = ""
    frozen: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse windows that do not fit together.

        Raises:
            InputError: no window or measure, or lengths that differ.
        """
        count = len(self.n)
        lengths = {
            "low": len(self.low),
            "high": len(self.high),
            **{name: len(values) for name, values in self.measures.items()},
            **({"mean_images": len(self.mean_images)} if len(self.mean_images) else {}),
        }
        wrong = {name: length for name, length in lengths.items() if length != count}
        if count < 1 or not self.measures or wrong:
            raise InputError(
                "windows",
                expected=f"at least one window and measure, all of {count} windows",
                got=", ".join(f"{name}: {length}" for name, length in wrong.items()) or "none",
            )


@dataclass(frozen=True, eq=False)
class Tile:
    """One image of a montage.

    Attributes:
        pixels: the image, uint8 or float in [0, 1], grey or RGB, any size.
        label: its class; empty if it is not known.
        predicted: the predicted class; empty for none.
        score: the value it was sorted by; NaN for none.
    """

    pixels: NDArray[Any]
    label: str
    predicted: str
    score: float

    @property
    def correct(self) -> bool | None:
        """Whether the prediction is the label; None if either is missing."""
        return self.label == self.predicted if self.label and self.predicted else None


@dataclass(frozen=True, eq=False)
class Split:
    """A way to part the images, for histograms: by class, or by group.

    Attributes:
        name: ``class``, ``group``, ...
        names: of the parts.
        members: part of each image, -1 for none; the order of the images is the scores'.
    """

    name: str
    names: Sequence[str]
    members: Int[np.ndarray, " images"]


@dataclass(frozen=True, eq=False)
class RiskField:
    """One kind of risk as one method gives it.

    Attributes:
        name: ``representation`` (high = common), ``epistemic`` or ``aleatoric`` (high = risky).
        method: that gave it, for instance ``knn``.
        scores: one value per image.
        windows: the scores of the classifier along it, or None.
        lowest: the images with the lowest values, lowest first.
        highest: the images with the highest values, highest first.
        meaning: how this method makes it; added to what the field means.
    """

    name: str
    method: str
    scores: Float[np.ndarray, " images"]
    windows: Windows | None = None
    lowest: Sequence[Tile] = ()
    highest: Sequence[Tile] = ()
    meaning: str = ""

    @property
    def words(self) -> FieldWords:
        """What it means; a name that is not known means itself."""
        unknown = FieldWords(self.name, f"lowest {self.name}", f"highest {self.name}", "")
        return FIELD_WORDS.get(self.name, unknown)

    @property
    def title(self) -> str:
        """Return ``Epistemic risk (ensemble)``."""
        name = self.words.noun[:1].upper() + self.words.noun[1:]
        return f"{name} ({self.method})" if self.method else name


@dataclass(frozen=True)
class Correlation:
    """Spearman correlation of two fields over the images; ``a`` and ``b`` are their titles."""

    a: str
    b: str
    rho: Estimate


@dataclass(frozen=True)
class ScoreRow:
    """A row of a table of scores: a group, a class, or a way to rank images.

    Attributes:
        name: of the row.
        n: images.
        scores: metric (``accuracy``, ``precision``, ``recall``, ``nll``, ``brier``, ``ece``,
            ``adaptive_ece``, ``aurc``, ``augrc``, ``risk_at_80``, ``ood_auroc``, ``ood_aupr``,
            ``ood_fpr95``, or any other) -> value; NaN where it is not defined.
        small: too few images to tell; shown in grey.
    """

    name: str
    n: int
    scores: Mapping[str, Estimate | float]
    small: bool = False


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against accuracy.

    Attributes:
        table: a row per bin: ``from``, ``to`` (edges of the confidence), ``n``, ``confidence``
            (mean; NaN if empty), ``accuracy`` (share right), and optionally ``accuracy_low`` and
            ``accuracy_high``; without these two the Wilson interval is taken from ``n``.
        ece: expected calibration error over these bins, in [0, 1].
    """

    table: pd.DataFrame
    ece: Estimate | float


@dataclass(frozen=True, eq=False)
class Latent:
    """What the dimensions of a VAE's latent space do.

    Attributes:
        grid: ``[dimensions, steps, height, width, 3]`` uint8 or float in [0, 1]: decoded images
            while one dimension moves and the others stay at their mean.
        values: ``[dimensions, steps]`` values it moves through, rising.
        codes: ``[images, dimensions]`` latent means of the images, for the densities.
        names: of the dimensions, for instance ``z7``.
        note: how the dimensions were chosen.
    """

    grid: NDArray[Any]
    values: Float[np.ndarray, "dimensions steps"]
    codes: Float[np.ndarray, "images dimensions"]
    names: Sequence[str]
    note: str = ""


@dataclass(frozen=True, eq=False)
class RiskPage:
    """Everything that a risk page shows.

    Attributes:
        title: of the page.
        images: number of images that were scored.
        fields: the risks that are there, the main one first.
        absent: field -> why it is not there.
        correct: whether each image was classified right, bool; None without labels.
        correlations: of every pair of fields; empty with ``correlation_missing``.
        correlation_missing: why there is no correlation; empty: written by the page.
        overall: accuracy, calibration, ... of the classifier on all images.
        rankings: one row per score that images may be rejected by (aurc, augrc, risk_at_80,
            ood_*); empty for none.
        groups: one row per group, the empty ones too.
        worst_group: name of the row with the lowest accuracy; empty: found by the page.
        worst: its accuracy with a simultaneous interval; None: the interval of its row.
        gap: highest minus lowest accuracy of the groups, simultaneous interval; or None.
        reliability: of the predicted class's probability, or None.
        splits: for histograms, in the order of the scores.
        latent: if a VAE was used.
        suspects: images whose label may be wrong, most suspicious first.
        suspects_note: how they were found, and how good that is.
        facts: classifier, images, methods, seed, ...
        notes: what was skipped or could not be done.
        command: how to reproduce.
        footer: last line of the page.
    """

    title: str
    images: int
    fields: Sequence[RiskField]
    absent: Mapping[str, str] = field(default_factory=dict)
    correct: NDArray[np.bool_] | None = None
    correlations: Sequence[Correlation] = ()
    correlation_missing: str = ""
    overall: ScoreRow | None = None
    rankings: Sequence[ScoreRow] = ()
    groups: Sequence[ScoreRow] = ()
    worst_group: str = ""
    worst: Estimate | None = None
    gap: Estimate | None = None
    reliability: Reliability | None = None
    splits: Sequence[Split] = ()
    latent: Latent | None = None
    suspects: Sequence[Tile] = ()
    suspects_note: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    notes: Sequence[str] = ()
    command: str = ""
    footer: str = ""
