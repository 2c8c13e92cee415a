"""The search for concepts on some settings: is the planted cue among what it finds, and where?"""

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.planted.cue_ranges import draw_class
from benchmarks.planted.data_sets import Data, open_data
from benchmarks.planted.planted_images import Shown, audit_images, planted_cue, with_cue
from benchmarks.planted.settings import Setting
from benchmarks.planted.slice_peers import FIRST, ranked, run_mixture, run_slice_peers
from benchmarks.planted.training import trained_classifier
from benchmarks.planted.truth import Truth
from sundog.audit.inspect_run import InspectRun, inspect_images
from sundog.audit.search_settings import SearchSettings
from sundog.audit.subject import make_subject
from sundog.core.inspection.finding import Finding
from sundog.models.feature_table import FeatureTable, collect_features
from sundog.models.prepared import PreparedImages

TAGGERS = ("photometric", "patches")
STRENGTH = 0.7
"""Of the cue in the images that are searched: images of a class with the concept are compared with
images without it, so that both must be there."""
SEARCHED = {
    "digits": ("patch", "text", "border", "tint"),
    "digits-56": ("pixel",),
    "imagenette": ("pixel", "patch", "border", "tint", "blur"),
}
"""Data set -> cues of the settings that are searched; rare groups always are."""


def wants_concepts(setting: Setting) -> bool:
    """Return whether concepts are searched in this setting."""
    if setting.control:
        return False
    return setting.cue == "rare-group" or setting.cue in SEARCHED.get(setting.data, ())


def search_concepts(setting: Setting, folder: Path, imagenette: Path | None) -> dict[str, Any]:
    """Return rank of the true concept, precision and false discovery proportion, as JSON."""
    data = open_data(setting.data, setting.model_seed, imagenette)
    classifier = trained_classifier(setting, data, folder / "models")
    shown = searched_images(setting, data)
    subject = make_subject(shown.images, classifier, size=data.size, resize=data.resize)
    place = Path(tempfile.mkdtemp(prefix="concepts-", dir=folder))
    begun = time.process_time()
    try:
        run = inspect_images(
            subject,
            place / "run",
            taggers=TAGGERS,
            settings=SearchSettings(max_tags=2, seed=setting.seed),
            sample=0,
            overlay=None,
            progress=False,
        )
    finally:
        shutil.rmtree(place)
    result: dict[str, Any] = {"setting": setting.to_dict()}
    result["seconds"] = round(time.process_time() - begun, 2)
    if run.scores is None:
        raise SystemExit(f"{setting.id}: the inspection has no tags")
    truth = Truth.of(run.scores, shown)
    names = subject.class_names
    target = None
    if setting.cue == "rare-group":
        target = draw_class(setting.cue, len(names), seed=setting.seed)
    result |= score_findings(ordered(run), truth, names, target=target)
    if target is not None:
        result["group"] = _group_accuracy(run, shown.cue_class, target)
        own = [f for f in ordered(run) if f.class_name == names[target]]
        result["in_class"] = score_findings(own, truth, names)
    prepared = PreparedImages(shown.images, size=data.size, resize=data.resize)
    table = collect_features(classifier, prepared, batch_size=128, progress=False)
    result["peers"] = _peers(run, truth, table, target, seed=setting.seed)
    return result


def searched_images(setting: Setting, data: Data) -> Shown:
    """Return held-out images of which enough are with and without their class's cue."""
    if setting.cue == "rare-group":
        return audit_images(setting, data)
    held_out = data.held_out
    cue = planted_cue(setting, len(held_out.class_names), strength=STRENGTH)
    drawn = cue.draw(torch.from_numpy(held_out.labels), held_out.ids).numpy()
    return with_cue(setting, data, held_out, drawn)


def ordered(run: InspectRun) -> list[Finding]:
    """Return the significant findings inside a class, smallest corrected p first, then largest gap.

    Findings that are explained by a stronger one come after all others.
    """
    found = [f for f in run.query.findings if f.significant and f.class_name]
    return sorted(
        found,
        key=lambda f: (
            bool(f.explained_by),
            1.0 if f.p_adjusted is None else f.p_adjusted,
            -abs(f.effect.gap or 0.0),
        ),
    )


def score_findings(
    findings: Sequence[Finding],
    truth: Truth,
    class_names: tuple[str, ...],
    *,
    target: int | None = None,
) -> dict[str, Any]:
    """Return rank of the first true finding, precision@10, and share of untrue findings.

    Args:
        findings: in the order in which they are shown.
        truth: tags, labels and cue of the images.
        class_names: as in the findings.
        target: class of the only true findings; None: any.
    """
    true = []
    for finding in findings:
        columns = tuple(truth.tags.index(name) for name in finding.concepts if name in truth.tags)
        own = class_names.index(finding.class_name)
        true.append(target in (None, own) and truth.is_cue(own, columns))
    shown = [
        {
            "class": finding.class_name,
            "concepts": list(finding.concepts),
            "gap": finding.effect.gap,
            "p_adjusted": finding.p_adjusted,
            "true": flag,
        }
        for finding, flag in zip(findings[:FIRST], true[:FIRST], strict=True)
    ]
    return ranked(true) | {"shown": shown}


def _peers(
    run: InspectRun, truth: Truth, table: FeatureTable, target: int | None, *, seed: int
) -> dict[str, Any]:
    """Return what the peers find in the same images, tags and features."""
    planted = (truth.values >= 0) & (truth.values != truth.labels)
    if target is not None:
        planted = (truth.values == target) & (truth.labels == target)
    frame = run.observed.frame.set_index("index")["correct"]
    right = frame.reindex(truth.rows).to_numpy()
    known = ~pd.isna(right)
    part = Truth(
        truth.present[known],
        truth.tags,
        truth.values[known],
        truth.labels[known],
        truth.rows[known],
    )
    every = np.zeros(int(truth.rows.max()) + 1, dtype=bool)
    every[truth.rows] = planted
    found = run_slice_peers(part, right[known].astype(bool), target=target)
    found["mixture"] = run_mixture(table, every[table.indices.numpy()], seed=seed)
    return found


def _group_accuracy(run: InspectRun, values: np.ndarray, target: int) -> dict[str, Any]:
    """Return the accuracy of the rare group, of the rest of its class, and of all others."""
    frame = run.observed.frame
    right = frame["correct"].to_numpy(dtype=bool)
    own = frame["label"].to_numpy() == target
    has = values[frame["index"].to_numpy()] == target
    parts = {
        "rare": own & has,
        "rest_of_class": own & ~has,
        "others_with": ~own & has,
        "others_without": ~own & ~has,
    }
    return {
        name: {"accuracy": float(right[rows].mean()), "n": int(rows.sum())}
        for name, rows in parts.items()
    }
