"""Wrong labels planted in the training images: are they first among the suspected ones?"""

import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.planted.data_sets import open_data
from benchmarks.planted.numbers import as_json
from benchmarks.planted.planted_images import training_images
from benchmarks.planted.settings import Setting
from benchmarks.planted.training import trained_classifier
from sundog.core.statistics import auroc_interval
from sundog.debias.noisy_labels import label_error_score
from sundog.models.feature_table import collect_features
from sundog.models.prepared import PreparedImages
from sundog.risk.label_errors import label_error_scores

FIRST = 10


def search_labels(setting: Setting, folder: Path, imagenette: Path | None) -> dict[str, Any]:
    """Return precision@10, precision at the number of wrong labels and AUROC, as JSON.

    ``left_out``: judged by a classifier on the features that did not see the image.
    ``margin``: the odds of the trained network itself, for comparison.
    """
    data = open_data(setting.data, setting.model_seed, imagenette)
    classifier = trained_classifier(setting, data, folder / "models")
    shown = training_images(setting, data)
    begun = time.process_time()
    table = collect_features(
        classifier,
        PreparedImages(shown.images, size=data.size, resize=data.resize),
        batch_size=128,
        progress=False,
    )
    judged = label_error_scores(table, seed=setting.seed, progress=False)
    seconds = round(time.process_time() - begun, 2)
    labels = table.labels.numpy()
    margin = label_error_score(table.logits.double().softmax(dim=1).numpy(), labels)
    wrong = shown.wrong[table.indices.numpy()]
    return {
        "setting": setting.to_dict(),
        "seconds": seconds,
        "images": len(wrong),
        "wrong": int(wrong.sum()),
        "left_out": score_ranking(judged.score, wrong),
        "margin": score_ranking(margin, wrong),
    }


def score_ranking(scores: np.ndarray, wrong: np.ndarray) -> dict[str, Any]:
    """Return how well a score puts wrong labels first; higher is better.

    Args:
        scores: ``[images]``, high = doubtful.
        wrong: ``bool[images]``.
    """
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    known = ~np.isnan(scores)
    value = float(roc_auc_score(wrong[known], scores[known]))
    area = auroc_interval(value, int(wrong[known].sum()), int((~wrong[known]).sum()))
    return {
        "precision_at_10": float(wrong[order[:FIRST]].mean()),
        "precision_at_wrong": float(wrong[order[: int(wrong.sum())]].mean()),
        "auroc": as_json(area),
    }
