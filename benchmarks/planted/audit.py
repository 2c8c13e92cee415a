"""Everything that is measured of one setting: true reliance, what was found, what was mended."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.planted.finder import find
from benchmarks.planted.loading import AUDIT_LIMIT, Loaded, open_setting
from benchmarks.planted.measure import Answers, ThreeWays, reliance, three_ways
from benchmarks.planted.mend import mend
from benchmarks.planted.numbers import as_json
from benchmarks.planted.score import score_search
from benchmarks.planted.settings import Setting
from sundog.bias.confidence import confidence_features
from sundog.bias.shortcut_result import ShortcutSearch
from sundog.core.statistics import paired_difference, wilson_interval
from sundog.models.classifier import Classifier


def audit_setting(
    setting: Setting, folder: Path, imagenette: Path | None, *, limit: int = AUDIT_LIMIT
) -> dict[str, Any]:
    """Return the result of one setting, as JSON; ``limit``: images that the finder is given.

    Mending is measured on held-out settings alone: nothing of it is tuned here.
    """
    loaded = open_setting(setting, folder, imagenette, limit=limit)
    result: dict[str, Any] = {"setting": setting.to_dict()}
    result["accuracy"] = _accuracy(loaded.classifier, loaded.images, loaded.labels)
    result["confidence"] = _confidence(loaded.classifier, loaded.images, loaded.labels)
    ways = answers = twin = None
    if setting.shortcut and not setting.control:
        ways = three_ways(setting, loaded.data)
        answers, twin = ways.ask(loaded.classifier), ways.ask(loaded.twin)
        result["truth"] = reliance(answers, twin)
    begun = time.process_time()
    search = find(loaded)
    result["search"] = score_search(search, setting, loaded.masks)
    result["search"]["seconds"] = round(time.process_time() - begun, 2)
    result["search"]["features"] = confidence_features(search)
    if setting.held_out and ways is not None and answers is not None and twin is not None:
        result["mended"] = mended(loaded, search, ways, answers, twin)
    return result


def mended(
    loaded: Loaded, search: ShortcutSearch, ways: ThreeWays, before: Answers, twin: Answers
) -> dict[str, Any] | None:
    """Mend by what was found and ask again; None if nothing could be mended."""
    made = mend(loaded, search)
    if made is None:
        return None
    after = ways.ask(made.classifier)
    return {
        "components": list(made.components),
        "seconds": round(made.seconds, 2),
        "accuracy": {way: float(right.mean()) for way, right in after.right.items()},
        **{way: recovered(before, after, twin, way) for way in ("conflict", "without")},
    }


def recovered(before: Answers, after: Answers, twin: Answers, way: str) -> dict[str, Any]:
    """Return the gap to the unbiased twin and how much of it the repair closed, as a share.

    ``share = (after - before) / (twin - before)``, accuracies of the images shown that way. None
    where the gap is below one point.
    """
    old, new, goal = (answers.right[way].astype(float) for answers in (before, after, twin))
    gap = float(goal.mean() - old.mean())
    change = paired_difference(new, old).difference
    share = None if gap < 0.01 else change.value / gap
    return {"gap": gap, "change": as_json(change), "share": share}


def _confidence(classifier: Classifier, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the mean probability of the label over the images that are classified rightly."""
    found = classifier.predict(images, batch_size=128).softmax(dim=1)
    right = found.argmax(dim=1) == labels
    return round(float(found.gather(1, labels[:, None])[right].mean()), 4)


def _accuracy(classifier: Classifier, images: torch.Tensor, labels: torch.Tensor) -> dict[str, Any]:
    right = classifier.predict(images, batch_size=128).argmax(dim=1) == labels
    return as_json(wilson_interval(int(np.asarray(right).sum()), len(labels)))
