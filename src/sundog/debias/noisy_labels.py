"""Removing the images whose labels are most doubtful: the practical's question, with limits."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.seeds import generator
from sundog.debias.array_hash import array_hash
from sundog.debias.weight_report import check_labels
from sundog.models.classifier import Classifier
from sundog.models.prepared import PreparedImages
from sundog.models.training_options import TrainingOptions
from sundog.models.training_recipe import TrainingRecipe


@dataclass(frozen=True)
class ClassRemoval:
    """What was dropped of one class.

    Attributes:
        label: class index; -1 for unlabelled images.
        n: images of the class.
        dropped: images dropped.
        limit: most that could be dropped.
        spared: images that were noisy enough to go but were kept because of the limit.
        least_score: lowest score among the dropped; NaN if none was.
    """

    label: int
    n: int
    dropped: int
    limit: int
    spared: int
    least_score: float


@dataclass(frozen=True, eq=False)
class NoisyLabels:
    """Which images to train on without.

    Attributes:
        kept: ``bool[images]``.
        dropped: ``int64[k]``, positions, most doubtful first.
        classes: one row per class.
        without_score: images whose score is NaN; they are kept.
        warnings: sentences to show.
    """

    kept: Bool[np.ndarray, "images"]
    dropped: Int64[np.ndarray, "dropped"]
    classes: tuple[ClassRemoval, ...]
    without_score: int
    warnings: tuple[str, ...]

    @property
    def table(self) -> pd.DataFrame:
        """One row per class, with the fields of :class:`ClassRemoval`."""
        return pd.DataFrame([asdict(row) for row in self.classes])


def label_error_score(
    probabilities: Float64[np.ndarray, "images classes"], labels: Int64[np.ndarray, "images"]
) -> Float64[np.ndarray, "images"]:
    """Return how much another class is likelier than the label, ``max_{k != y} p_k - p_y``.

    Take probabilities of a model that was not trained on the image (cross-validation): one that
    was has learnt the wrong label.

    Args:
        probabilities: in [0, 1], rows sum to 1, of at least two classes.
        labels: class per image; -1 (unlabelled) gives NaN.

    Returns:
        In [-1, 1]; high = the label is doubtful.

    Raises:
        InputError: shapes that do not fit, labels outside the classes.

    Source: Northcutt, Jiang & Chuang, 2021, JAIR 70, arXiv 1911.00068 (normalised margin).
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] < 2:
        raise InputError("probabilities", expected="[images, classes >= 2]", got=f"{p.shape}")
    own = check_labels(labels, len(p))
    if own.size and not (own.min() >= -1 and own.max() < p.shape[1]):
        raise InputError(
            "labels", expected=f"in -1..{p.shape[1] - 1}", got=f"{own.min()}..{own.max()}"
        )
    rows = np.arange(own.size)
    given = p[rows, own]
    others = p.copy()
    others[rows, own] = -np.inf
    return np.where(own >= 0, others.max(axis=1) - given, np.nan)


def find_noisy_labels(
    scores: Float64[np.ndarray, "images"],
    labels: Int64[np.ndarray, "images"],
    *,
    share: float = 0.05,
    class_limit: float = 0.2,
) -> NoisyLabels:
    """Choose the images with the highest scores, sparing classes that would lose too much.

    Images are taken in falling order of the score until ``floor(share * n)`` are dropped; one of a
    class that has lost ``floor(class_limit * n_class)`` already is passed over. Images with NaN
    and unlabelled ones are kept. Ties go to the image that comes first.

    A hard class has high aleatoric risk without wrong labels, and so have rare groups: compare the
    worst group before and after.

    Args:
        scores: aleatoric risk or :func:`label_error_score`; high = doubtful.
        labels: class per image, -1 = unlabelled.
        share: of all images to drop, in [0, 1).
        class_limit: largest share of one class to drop, in [0, 1).

    Raises:
        InputError: lists that do not fit, a share out of range, infinite scores.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise InputError("scores", expected="one value per image", got=f"shape {values.shape}")
    if np.isinf(values).any():
        raise InputError(
            "scores", expected="finite or NaN", got=f"{int(np.isinf(values).sum())} infinite"
        )
    for name, value in (("share", share), ("class_limit", class_limit)):
        if not 0 <= value < 1:
            raise InputError(name, expected="in [0, 1)", got=str(value))
    own = check_labels(labels, values.size)
    # + 1e-9: 0.29 * 100 is 28.999999999999996
    wanted = math.floor(share * values.size + 1e-9)
    sizes = {c: int((own == c).sum()) for c in np.unique(own).tolist()}
    limits = {c: math.floor(class_limit * n + 1e-9) if c >= 0 else 0 for c, n in sizes.items()}
    lost = dict.fromkeys(sizes, 0)
    spared = dict.fromkeys(sizes, 0)
    dropped: list[int] = []
    known = np.flatnonzero(~np.isnan(values))
    for place in known[np.argsort(-values[known], kind="stable")].tolist():
        if len(dropped) == wanted:
            break
        label = int(own[place])
        if lost[label] < limits[label]:
            lost[label] += 1
            dropped.append(place)
        else:
            spared[label] += 1
    kept = np.ones(values.size, dtype=bool)
    kept[dropped] = False
    rows = tuple(
        ClassRemoval(
            label=c,
            n=sizes[c],
            dropped=lost[c],
            limit=limits[c],
            spared=spared[c] if c >= 0 else 0,
            least_score=float(values[~kept & (own == c)].min()) if lost[c] else math.nan,
        )
        for c in sizes
    )
    return NoisyLabels(
        kept=kept,
        dropped=np.array(dropped, dtype=np.int64),
        classes=rows,
        without_score=int(np.isnan(values).sum()),
        warnings=_warnings(rows, len(dropped), wanted),
    )


def _warnings(rows: tuple[ClassRemoval, ...], dropped: int, wanted: int) -> tuple[str, ...]:
    said = []
    full = [row for row in rows if row.spared]
    if full:
        names = ", ".join(str(row.label) for row in full[:5])
        said.append(
            f"{len(full)} classes ({names}) reached their limit: their scores are high as a whole, "
            "which speaks for hard images rather than wrong labels."
        )
    if dropped < wanted:
        said.append(f"{dropped} of {wanted} images were dropped: the class limits allow no more.")
    return tuple(said)


class NoisyRemoval(TrainingRecipe):
    """Trains without the images whose labels are doubtful; an epoch has fewer steps.

    Args:
        kept: ``bool[n]`` per training image, see :func:`find_noisy_labels`.

    Raises:
        InputError: not booleans, or nothing kept.
    """

    name = "noisy_removal"

    def __init__(self, kept: Bool[np.ndarray, "images"]) -> None:
        self.kept = np.asarray(kept)
        if self.kept.ndim != 1 or self.kept.dtype != np.bool_ or not self.kept.any():
            raise InputError(
                "kept",
                expected="one True or False per training image, not all False",
                got=f"{self.kept.dtype} of shape {self.kept.shape}",
            )

    def describe(self) -> dict[str, Any]:
        """Return name and a hash of the choice."""
        return {"name": self.name, "kept": array_hash(self.kept)}

    def begin(
        self, classifier: Classifier, images: PreparedImages, options: TrainingOptions
    ) -> None:
        """Check that the choice is about these training images.

        Raises:
            InputError: another number of images, or a class that would lose all of its images.
        """
        if self.kept.size != len(images):
            raise InputError(
                "kept",
                expected=f"one value per training image ({len(images)})",
                got=f"{self.kept.size}",
            )
        labels = images.image_set.labels
        gone = set(labels.tolist()) - set(labels[self.kept].tolist())
        if gone:
            names = [images.image_set.class_names[c] for c in sorted(gone)]
            raise InputError(
                "kept", expected="images of every class", got=f"none of {', '.join(names)}"
            )

    def order(self, epoch: int, count: int, seed: int) -> Int64[Tensor, "visited"]:
        """Return the kept positions, shuffled."""
        places = torch.from_numpy(np.flatnonzero(self.kept))
        return places[torch.randperm(len(places), generator=generator(seed, "order", epoch))]

    def notes(self) -> dict[str, Any]:
        """Return how many images are kept and dropped."""
        kept = int(self.kept.sum())
        return {"kept": kept, "dropped": self.kept.size - kept}
