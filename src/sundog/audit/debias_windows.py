"""Accuracy along the representation, in windows made before the repair and kept after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sundog.audit.debias_data import DebiasData
from sundog.audit.debias_measure import Measured
from sundog.core.errors import LayerError
from sundog.models.classifier import Classifier
from sundog.models.feature_table import collect_features
from sundog.report.debias_content import FrozenWindows
from sundog.report.risk_content import FIELD_WORDS, Windows
from sundog.risk.accuracy_vs_risk import AccuracyVsRisk, accuracy_vs_risk
from sundog.risk.estimator import Passed
from sundog.risk.nearest_neighbours import NearestNeighbours

MOST_NEIGHBOURS = 50


def frozen_windows(
    classifier: Classifier,
    data: DebiasData,
    before: Measured,
    after: Mapping[str, Measured],
    *,
    windows: int = 10,
    progress: bool | None = None,
) -> FrozenWindows | None:
    """Return accuracy by representation before and after, over the same images in each window.

    The representation is that of the model before: nearest neighbours among the training images.

    Args:
        classifier: the model before.
        data: its training and test images.
        before: its answers on the test images.
        after: method → answers on the same images.
        windows: of equally many images.
        progress: None shows it on a terminal.

    Returns:
        The windows; None for a classifier without features.
    """
    try:
        train = collect_features(classifier, data.train.images, progress=progress)
        test = collect_features(classifier, data.test.images, progress=progress)
    except LayerError:
        return None
    counts = np.bincount(train.labels.numpy())
    smallest = int(counts[counts > 0].min())
    k = max(1, min(MOST_NEIGHBOURS, smallest - 1))
    knn = NearestNeighbours(k=k, small_classes="allow")
    knn.fit(train)
    scores = knn.score(Passed(features=test.features, logits=test.logits))["representation"]
    ids: Sequence[str] = test.ids
    found = accuracy_vs_risk(
        scores.numpy(),
        before.labels,
        before.probabilities,
        class_names=data.class_names,
        windows=windows,
        ids=ids,
    )
    later = {
        name: accuracy_vs_risk(
            scores.numpy(),
            measured.labels,
            measured.probabilities,
            class_names=data.class_names,
            frozen=found.membership,
        )
        for name, measured in after.items()
    }
    words = FIELD_WORDS["representation"]
    return FrozenWindows(
        title=f"representation (nearest neighbours, k = {knn.k}, of the model before)",
        before=_shown(found, frozen=False),
        after={name: _shown(w, frozen=True) for name, w in later.items()},
        low_words=words.low,
        high_words=words.high,
    )


def _shown(found: AccuracyVsRisk, *, frozen: bool) -> Windows:
    return Windows(
        n=np.array([w.n for w in found.windows], dtype=np.int64),
        low=np.array([w.low for w in found.windows]),
        high=np.array([w.high for w in found.windows]),
        measures={
            "accuracy": [w.accuracy for w in found.windows],
            "precision": [w.precision for w in found.windows],
            "recall": [w.recall for w in found.windows],
        },
        trend=found.trend,
        positive="macro average",
        frozen=frozen,
    )
