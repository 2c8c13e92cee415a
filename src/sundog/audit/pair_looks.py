"""What several models say of the same images, and what their maps look like, batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64

from sundog.audit.observed import check_finite
from sundog.audit.subject import Subject, spread
from sundog.bias.pair_maps import map_statistics, top_overlap
from sundog.core.progress import track
from sundog.core.run_folder import RunFolder
from sundog.data.image_set import Batch
from sundog.explain.attribute import attribute_many
from sundog.faithfulness.similarity import spearman
from sundog.report.compare_grid import ModelView

Methods = Mapping[str, tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, eq=False)
class Looks:
    """Tables of all batches, and what the figure of examples needs.

    Attributes:
        predictions: a row per run and labelled image: run_id, id, label, prediction, probability
            (of the prediction), loss.
        statistics: a row per run, method and explained image; see
            :func:`~sundog.bias.pair_maps.map_statistics`.
        agreement: a row per pair of runs, method and explained image: correlation, overlap.
        examples: images, labels and views; empty without maps.
        notes: what was left out, in sentences.
    """

    predictions: pd.DataFrame
    statistics: pd.DataFrame
    agreement: pd.DataFrame
    examples: dict[str, Any]
    notes: tuple[str, ...] = ()


def look_at_pairs(
    folder: RunFolder,
    subjects: Mapping[str, Subject],
    *,
    methods: Methods,
    map_images: int,
    shown: int,
    progress: bool | None = None,
) -> Looks:
    """Predict every image with every model and explain some; finished batches are kept.

    Images of identical content count once, since copies are not independent evidence; copies with
    different labels are left out.

    Args:
        folder: open run folder.
        subjects: run id -> model; the same images, classes and size.
        methods: label -> (name, parameters).
        map_images: images explained, spread over the set; 0 for none.
        shown: of these, how many are drawn.
        progress: None shows it on a terminal.
    """
    first = next(iter(subjects.values()))
    total = -(-len(first.image_set) // first.batch_size)
    explained = spread(len(first.image_set), map_images if methods else 0)
    drawn = explained[spread(len(explained), shown)]
    examples: list[dict[str, Any]] = []
    for number, batch in enumerate(
        track(first.batches(), description="predicting", total=total, visible=progress)
    ):
        key = f"{number:06d}"
        if folder.part("predictions", key) is None:
            folder.append("predictions", key, _predict(subjects, batch))
        take = np.flatnonzero(np.isin(batch.indices.numpy(), explained))
        draw = np.flatnonzero(np.isin(batch.indices.numpy()[take], drawn))
        known = folder.part("agreement", key) is not None
        if not len(take) or (known and not len(draw)):
            continue
        statistics, agreement, example = _explain(subjects, methods, batch, take=take, draw=draw)
        if not known:
            folder.append("statistics", key, statistics)
            folder.append("agreement", key, agreement)
        if len(draw):
            examples.append(example)
    predictions, notes = _once(folder.table("predictions"))
    return Looks(
        predictions=predictions,
        statistics=_distinct(folder.table("statistics"), ("run_id", "method", "id")),
        agreement=_distinct(folder.table("agreement"), ("first", "second", "method", "id")),
        notes=notes,
        examples=_join(examples, list(subjects)) if examples else {},
    )


def _once(predictions: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return each image once per run, and what was left out."""
    labels = predictions.groupby("id")["label"].nunique()
    wrong = set(labels[labels > 1].index)
    clean = predictions[~predictions["id"].isin(wrong)]
    kept = _distinct(clean, ("run_id", "id"))
    runs = max(predictions["run_id"].nunique(), 1)
    notes = []
    if wrong:
        notes.append(
            f"{(len(predictions) - len(clean)) // runs} copies of {len(wrong)} images with "
            "contradicting labels were left out of the accuracies."
        )
    if len(kept) < len(clean):
        copies = (len(clean) - len(kept)) // runs
        notes.append(f"{copies} copies of other images were counted once.")
    return kept, tuple(notes)


def _distinct(frame: pd.DataFrame, keys: tuple[str, ...]) -> pd.DataFrame:
    if frame.empty:
        return frame
    return frame.drop_duplicates(list(keys)).reset_index(drop=True)


@torch.no_grad()
def _predict(subjects: Mapping[str, Subject], batch: Batch) -> pd.DataFrame:
    keep = (batch.labels >= 0).cpu().numpy()
    frames = []
    for run, subject in subjects.items():
        logits = subject.classifier.predict(batch.images, batch_size=len(batch))
        check_finite(run, logits.softmax(1))
        probability, prediction = logits.softmax(1).max(dim=1)
        loss = torch.nn.functional.cross_entropy(
            logits, batch.labels.clamp_min(0), reduction="none"
        )
        frames.append(
            pd.DataFrame(
                {
                    "run_id": run,
                    "id": batch.ids,
                    "label": batch.labels.cpu().numpy(),
                    "prediction": prediction.cpu().numpy(),
                    "probability": probability.cpu().numpy(),
                    "loss": loss.cpu().numpy(),
                }
            )[keep]
        )
    return pd.concat(frames, ignore_index=True)


def _explain(
    subjects: Mapping[str, Subject],
    methods: Methods,
    batch: Batch,
    *,
    take: Int64[np.ndarray, " chosen"],
    draw: Int64[np.ndarray, " drawn"],
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Explain each model's own prediction for the images ``take`` of a batch."""
    chosen = torch.from_numpy(take).to(batch.images.device)
    images, ids = batch.images[chosen], np.array(batch.ids)[take]
    frames, views, maps = [], {}, {}
    for run, subject in subjects.items():
        found = attribute_many(subject.classifier, images, methods)
        maps[run] = {label: result.maps.float().cpu() for label, result in found.items()}
        probability, prediction = next(iter(found.values())).logits.softmax(1).max(dim=1)
        for label, values in maps[run].items():
            frame = map_statistics(values.numpy())
            frame.insert(0, "id", ids)
            frame.insert(0, "method", label)
            frame.insert(0, "run_id", run)
            frames.append(frame)
        views[run] = {
            "predictions": prediction.cpu().numpy()[draw],
            "probabilities": probability.cpu().numpy()[draw],
            "maps": {name: values.numpy()[draw] for name, values in maps[run].items()},
        }
    pairs = [
        pd.DataFrame(
            {
                "first": first,
                "second": second,
                "method": label,
                "id": ids,
                "correlation": spearman(maps[first][label], maps[second][label]),
                "overlap": top_overlap(maps[first][label].numpy(), maps[second][label].numpy()),
            }
        )
        for first, second in combinations(subjects, 2)
        for label in methods
    ]
    example = {
        "images": images.permute(0, 2, 3, 1).cpu().numpy()[draw],
        "labels": batch.labels[chosen].cpu().numpy()[draw],
        "views": views,
    }
    return pd.concat(frames, ignore_index=True), pd.concat(pairs, ignore_index=True), example


def _join(examples: list[dict[str, Any]], runs: list[str]) -> dict[str, Any]:
    """Concatenate the examples of several batches."""
    views = []
    for run in runs:
        parts = [example["views"][run] for example in examples]
        views.append(
            ModelView(
                name=run,
                predictions=np.concatenate([part["predictions"] for part in parts]),
                probabilities=np.concatenate([part["probabilities"] for part in parts]),
                maps={
                    name: np.concatenate([part["maps"][name] for part in parts])
                    for name in parts[0]["maps"]
                },
            )
        )
    return {
        "images": np.concatenate([example["images"] for example in examples]),
        "labels": np.concatenate([example["labels"] for example in examples]),
        "views": views,
    }
