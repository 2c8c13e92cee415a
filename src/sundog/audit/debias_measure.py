"""What a classifier does on the images of a part: as they are, without the cue, with another's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64

from sundog.audit.debias_data import Part
from sundog.core.statistics import (
    Estimate,
    paired_proportions,
    wilson_interval,
)
from sundog.models.classifier import Classifier
from sundog.models.group_comparison import GroupComparison, compare_group_scores
from sundog.models.group_scores import GroupScores, group_scores

Probabilities = Float[np.ndarray, "images classes"]
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Measured:
    """The answers of one classifier.

    Attributes:
        indices: ``int64[images]``, positions in the part; images that cannot be decoded are left
            out.
        labels: ``int64[images]``.
        groups: ``int64[images]``, -1 = unknown; the class where there are no groups.
        probabilities: of the images as they are.
        without: of the images without their cue; None if there is no cue to edit.
        against: of the images with the cue of another class in its place; None likewise.
    """

    indices: Int64[np.ndarray, "images"]
    labels: Int64[np.ndarray, "images"]
    groups: Int64[np.ndarray, "images"]
    probabilities: Probabilities
    without: Probabilities | None = None
    against: Probabilities | None = None

    def frame(self) -> pd.DataFrame:
        """Return a row per image for a run folder."""
        columns: dict[str, Any] = {
            "index": self.indices,
            "label": self.labels,
            "group": self.groups,
            "probabilities": list(self.probabilities),
        }
        if self.without is not None and self.against is not None:
            columns |= {"without": list(self.without), "against": list(self.against)}
        return pd.DataFrame(columns)

    @staticmethod
    def of(frame: pd.DataFrame) -> Measured:
        """Return what :meth:`frame` was made from."""

        def stacked(name: str) -> Probabilities | None:
            if name not in frame.columns:
                return None
            return np.stack(frame[name].to_list()).astype(np.float64)

        probabilities = stacked("probabilities")
        if probabilities is None:
            probabilities = np.zeros((0, 0))
        return Measured(
            indices=frame["index"].to_numpy(np.int64),
            labels=frame["label"].to_numpy(np.int64),
            groups=frame["group"].to_numpy(np.int64),
            probabilities=probabilities,
            without=stacked("without"),
            against=stacked("against"),
        )


@torch.no_grad()
def measure(
    classifier: Classifier,
    part: Part,
    *,
    seed: int,
    batch_size: int = 64,
    positions: Int64[np.ndarray, "chosen"] | None = None,
) -> Measured:
    """Ask a classifier about every image, and about its edits where the cue can be edited.

    Args:
        classifier: in eval mode.
        part: images.
        seed: of the pasted cues.
        batch_size: images per pass; the result does not depend on it.
        positions: of the images to ask about; all if None.
    """
    classifier.require_eval()
    found: dict[str, list[np.ndarray[Any, Any]]] = {"as_is": [], "without": [], "against": []}
    indices: list[np.ndarray[Any, Any]] = []

    def ask(images: torch.Tensor) -> np.ndarray[Any, Any]:
        logits = classifier(images.to(classifier.device)).cpu().double()
        return np.asarray(logits.softmax(dim=1).numpy())

    order = None if positions is None else torch.from_numpy(positions)
    for batch in part.images.batches(order, batch_size=batch_size):
        indices.append(batch.indices.numpy())
        found["as_is"].append(ask(batch.images))
        if part.editor is not None:
            found["without"].append(ask(part.editor.removed(batch.images, batch.indices)))
            agreeing = part.labels
            if part.agreeing is not None and not part.editor.by_label:
                agreeing = part.agreeing
            swapped = part.editor.swapped(
                batch.images,
                batch.indices,
                seed=seed,
                avoid=torch.from_numpy(agreeing[batch.indices.numpy()]),
            )
            found["against"].append(ask(swapped))
    places = np.concatenate(indices)
    groups = part.groups.ids if part.groups is not None else part.labels
    edited = part.editor is not None
    return Measured(
        indices=places,
        labels=part.labels[places],
        groups=groups[places],
        probabilities=np.concatenate(found["as_is"]),
        without=np.concatenate(found["without"]) if edited else None,
        against=np.concatenate(found["against"]) if edited else None,
    )


def group_names(part: Part, class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the names that :attr:`Measured.groups` counts through."""
    return part.groups.names if part.groups is not None else tuple(class_names)


def scores_of(
    found: Measured, names: Sequence[str], class_names: Sequence[str], *, level: float = 0.95
) -> tuple[dict[str, Estimate], GroupScores]:
    """Return the scores of one classifier by name, each with its interval over images.

    ``average``, ``worst_group`` and ``gap`` (simultaneous intervals), ``balanced``, ``precision``,
    ``ece``; with a cue that can be edited also ``without_cue`` (accuracy), ``with_other_cue``
    (accuracy with the cue of another class) and ``flip_rate`` (share of images whose prediction
    changes from the image without the cue to the image with the cue of another class).
    """
    groups = group_scores(
        found.probabilities,
        found.labels,
        found.groups,
        names,
        class_names=class_names,
        level=level,
        resamples=RESAMPLES,
    )
    scores = {
        "average": groups.average,
        "worst_group": groups.worst,
        "gap": groups.gap,
        "balanced": groups.balanced_accuracy,
        "precision": groups.overall.precision,
        "ece": groups.overall.ece,
    }
    for name, hits in _cue_outcomes(found).items():
        scores[name] = wilson_interval(int(hits.sum()), hits.size, level=level)
    return scores, groups


def changes_of(
    before: Measured,
    after: Measured,
    names: Sequence[str],
    class_names: Sequence[str],
    *,
    level: float = 0.95,
) -> tuple[dict[str, Estimate], GroupComparison]:
    """Return after minus before on the same images, by name of the score."""
    compared = compare_group_scores(
        before.probabilities,
        after.probabilities,
        before.labels,
        before.groups,
        names,
        class_names=class_names,
        level=level,
        resamples=RESAMPLES,
    )
    changes = {
        "average": compared.average,
        "worst_group": compared.worst,
        "gap": compared.gap,
        "balanced": compared.balanced_accuracy,
        "precision": compared.precision,
        "ece": compared.ece,
    }
    old, new = _cue_outcomes(before), _cue_outcomes(after)
    for name in old.keys() & new.keys():
        changes[name] = paired_proportions(new[name], old[name], level=level).difference
    return changes, compared


def _cue_outcomes(found: Measured) -> Mapping[str, np.ndarray[Any, np.dtype[np.bool_]]]:
    if found.without is None or found.against is None:
        return {}
    clean, other = found.without.argmax(axis=1), found.against.argmax(axis=1)
    return {
        "without_cue": clean == found.labels,
        "with_other_cue": other == found.labels,
        "flip_rate": clean != other,
    }
