"""Which labels are probably wrong: the odds for another class, judged by images left out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float32, Float64, Int64
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from sundog.core.errors import InputError
from sundog.core.progress import make_progress
from sundog.core.seeds import derive_seed
from sundog.models.feature_table import FeatureTable

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse penalties that are tried, from the strongest penalty to the weakest."""
STEPS = 200
SMALLEST = 1e-12


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """How probable it is that each label is wrong.

    Attributes:
        score: ``log(max_{k != y} p_k / p_y)``, p from a model that did not see the image or its
            duplicates; **high = probably wrong**, above 0 another class is more probable. NaN for
            unlabelled images and for labels that no training part held.
        suggested: the most probable other class, -1 where the score is NaN.
        probabilities: ``float64[images, classes]``, left-out; 0 for classes a part did not hold.
        strength: the inverse penalty that was chosen.
        log_loss: mean ``-log p_y`` of the left-out images at that strength, in nats.
        unfinished: fits that had not converged after the allowed steps, over all strengths.
    """

    score: Float64[np.ndarray, "images"]
    suggested: Int64[np.ndarray, "images"]
    probabilities: Float64[np.ndarray, "images classes"]
    strength: float
    log_loss: float
    unfinished: int

    @property
    def unjudged(self) -> int:
        """Images without a score."""
        return int(np.isnan(self.score).sum())

    def table(self, table: FeatureTable) -> pd.DataFrame:
        """Return a row per image, most suspicious first: index, id, label, suggested, score.

        Args:
            table: the one that was judged.
        """
        rows = pd.DataFrame(
            {
                "index": table.indices.numpy(),
                "id": list(table.ids),
                "label": table.labels.numpy(),
                "suggested": self.suggested,
                "score": self.score,
            }
        )
        return rows.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def label_error_scores(
    table: FeatureTable,
    *,
    folds: int = 5,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
    progress: bool | None = None,
) -> LabelErrors:
    """Judge every label by a linear classifier that was fitted without the image.

    A softmax regression on the features, with an l2 penalty, is fitted on all folds but one and
    asked about that one. Images with equal content are in one fold. The penalty is weakened until
    the log-loss of the left-out images rises. Where labels are noisy by nature all classes are
    probable and the odds stay near 1: such images rank below clear images with a wrong label.

    The features should not know the labels by heart: take those of a network that was trained on
    other images, on other labels, or for a few epochs.

    Args:
        table: features and labels of the images to judge; logits are not used.
        folds: >= 2.
        strengths: inverse penalties to try, rising; the features have unit mean square.
        seed: of the folds.
        progress: show progress; None = on a terminal.

    Raises:
        InputError: fewer labelled images than folds, fewer than two classes, strengths that do
            not rise.

    Source:
        Cross-fitting and ranking by left-out probabilities: Northcutt, Jiang & Chuang, 2021,
        arXiv 1911.00068 (JAIR 70).
    """
    labels = table.labels.numpy()
    known = np.flatnonzero(labels >= 0)
    kinds = np.unique(labels[known])
    if folds < 2 or len(known) < folds or len(kinds) < 2:
        raise InputError(
            "Images to judge",
            expected=f"labelled, of two classes or more, and at least as many as folds ({folds})",
            got=f"{len(known)} labelled images of {len(kinds)} classes",
        )
    if not strengths or min(strengths) <= 0 or list(strengths) != sorted(set(strengths)):
        raise InputError("strengths", expected="positive and rising", got=str(tuple(strengths)))
    rows = table.features.numpy()[known]  # a copy, float32
    rows -= rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    size = float(np.sqrt(np.square(rows).mean(dtype=np.float64)))
    rows /= max(size, SMALLEST)
    given = labels[known]
    parts = _folds([table.ids[i] for i in known], given, folds=folds, seed=seed)
    classes = max(table.logits.shape[1], int(kinds.max()) + 1)
    fits = [_Fit(rows, given, parts != part, classes) for part in range(folds)]
    best: tuple[float, float, Float64[np.ndarray, "known classes"]] | None = None
    with make_progress(visible=progress) as display:
        task = display.add_task("label errors", total=len(strengths) * folds)
        for strength in strengths:
            found = np.zeros((len(known), classes))
            for part, fit in enumerate(fits):
                found[parts == part] = fit.probabilities(strength)
                display.advance(task)
            chosen = found[np.arange(len(known)), given]
            loss = float(-np.log(chosen[chosen > 0].clip(SMALLEST)).mean())
            if best is not None and loss >= best[0]:
                break
            best = (loss, strength, found)
    if best is None:
        raise InputError("strengths", expected="at least one", got="none")
    loss, strength, found = best
    chosen = found[np.arange(len(known)), given]
    others = found.copy()
    others[np.arange(len(known)), given] = -1
    odds = np.log(others.max(axis=1).clip(SMALLEST)) - np.log(chosen.clip(SMALLEST))
    judged = chosen > 0
    score = np.full(len(table), np.nan)
    score[known[judged]] = odds[judged]
    suggested = np.full(len(table), -1)
    suggested[known[judged]] = others.argmax(axis=1)[judged]
    chances = np.zeros((len(table), classes))
    chances[known] = found
    return LabelErrors(
        score=score,
        suggested=suggested,
        probabilities=chances,
        strength=strength,
        log_loss=loss,
        unfinished=sum(fit.unfinished for fit in fits),
    )


class _Fit:
    """The model of one training part, each strength started where the last one ended."""

    def __init__(
        self,
        rows: Float32[np.ndarray, "known features"],
        labels: Int64[np.ndarray, "known"],
        inside: np.ndarray,
        classes: int,
    ) -> None:
        self.rows, self.labels, self.inside, self.classes = rows, labels, inside, classes
        self.unfinished = 0
        self.model = LogisticRegression(max_iter=STEPS, tol=1e-3, warm_start=True)

    def probabilities(self, strength: float) -> Float64[np.ndarray, "outside classes"]:
        """Return the class probabilities of the images outside the part."""
        outside = self.rows[~self.inside]
        found = np.zeros((len(outside), self.classes))
        kinds = np.unique(self.labels[self.inside])
        if len(kinds) == 1:
            found[:, kinds[0]] = 1
            return found
        self.model.C = strength
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # counted instead
            self.model.fit(self.rows[self.inside], self.labels[self.inside])
        self.unfinished += int(self.model.n_iter_.max() >= STEPS)
        found[:, self.model.classes_] = self.model.predict_proba(outside)
        return found


def _folds(
    ids: Sequence[str], labels: Int64[np.ndarray, "known"], *, folds: int, seed: int
) -> Int64[np.ndarray, "known"]:
    """Return the fold of each image: equal ids together, classes spread evenly."""
    draw = np.random.default_rng(derive_seed(seed, "label folds"))
    first: dict[str, int] = {}
    for identity, label in zip(ids, labels.tolist(), strict=True):
        first.setdefault(identity, label)
    names = np.array(list(first))
    order = draw.permutation(len(names))
    kinds = np.array([first[name] for name in names[order]])
    order = order[np.argsort(kinds, kind="stable")]
    place = {str(names[i]): position % folds for position, i in enumerate(order)}
    return np.array([place[identity] for identity in ids], dtype=np.int64)
