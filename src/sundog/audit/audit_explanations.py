"""Which attribution maps to believe for this classifier: deletion and insertion, with controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from sundog.audit.audit_pictures import write_picture
from sundog.audit.faithfulness_run import score_explanations
from sundog.audit.requests import parse_methods
from sundog.audit.subject import Subject, spread
from sundog.core.audit.measured import Measured
from sundog.core.audit.summary import Explanations, MethodScore
from sundog.core.errors import LayerError
from sundog.data.sampling import balanced_sample
from sundog.explain.attribute import attribute
from sundog.faithfulness.table import FaithfulnessTable
from sundog.report.overlay import blend

AUTO = (
    "occlusion",
    "gradient_norm",
    "gradient_x_input",
    "integrated_gradients",
    "grad_cam",
)
"""The methods of the practical."""
RANDOM = "random"
"""The control that a map must beat to say anything."""
SHOWN = 6
"""Maps of the best method that are drawn."""
Methods = Mapping[str, tuple[str, Mapping[str, Any]]]


def choose_methods(subject: Subject, asked: str, *, seed: int) -> tuple[Methods, tuple[str, ...]]:
    """Return label -> (method, parameters), and notes.

    ``auto`` takes the methods of the practical that the classifier allows: without gradients only
    occlusion, without a feature map no Grad-CAM.

    Args:
        subject: one blank image tells whether the network has a feature map.
        asked: ``auto``, or methods with parameters as typed.
        seed: of methods that draw at random.

    Raises:
        UnknownNameError: unknown method.
    """
    if asked != "auto":
        return parse_methods(asked, seed=seed), ()
    kept = [name for name in AUTO if subject.classifier.differentiable or name == "occlusion"]
    notes: list[str] = []
    if "grad_cam" in kept:
        probe = torch.zeros(1, 3, *subject.size, device=subject.classifier.device)
        try:
            attribute(subject.classifier, probe, "grad_cam")
        except LayerError as error:
            kept.remove("grad_cam")
            notes.append(f"Method 'grad_cam' was left out: {error.message}")
    else:
        notes.append("Only occlusion was tried: the classifier has no gradient.")
    return parse_methods(",".join(kept), seed=seed), tuple(notes)


def sample_subject(subject: Subject, count: int, *, seed: int) -> Subject:
    """Return at most ``count`` labelled images, as many of each class as can be, no copies."""
    first: dict[str, int] = {}
    for position, image_id in enumerate(subject.image_set.ids):
        first.setdefault(image_id, position)
    places = np.array(list(first.values()), dtype=np.int64)
    places = places[subject.labels[places] >= 0] if (subject.labels >= 0).any() else places
    ids = [subject.image_set.ids[i] for i in places.tolist()]
    chosen = places[balanced_sample(subject.labels[places], ids, limit=count, seed=seed)]
    return replace(
        subject, image_set=subject.image_set.subset(chosen), labels=subject.labels[chosen]
    )


def explain(
    subject: Subject,
    folder: Path,
    *,
    methods: Methods,
    count: int,
    seed: int,
    root: Path,
    progress: bool | None = None,
    command: str = "",
) -> Explanations:
    """Score the methods on a sample of the images, and draw the best one's maps.

    A method is called most faithful only if its deletion score is shown to beat the random map's
    on the same images (paired, corrected for all methods and controls).

    Args:
        subject: images and classifier.
        folder: run folder of the scores.
        methods: label -> (method, parameters).
        count: images, at most.
        seed: of the sample and of every random choice.
        root: run folder of the audit, for pictures.
        progress: None shows it on a terminal.
        command: how to reproduce.
    """
    part = sample_subject(subject, count, seed=seed)
    run = score_explanations(part, methods, folder, seed=seed, progress=progress, command=command)
    scores = method_scores(run.table)
    best = most_faithful(scores)
    drawn = best or next((s.method for s in scores if not s.control), "")
    return Explanations(
        scores=scores,
        most_faithful=best,
        images=len(part.image_set),
        pictures=_draw(part, methods[drawn], root) if drawn else (),
    )


def method_scores(table: FaithfulnessTable) -> tuple[MethodScore, ...]:
    """Return deletion and insertion of every method and control, best deletion first."""
    summary = table.summary[table.summary["axis"] == "linear"]
    pairs = table.comparisons
    beaten = pairs[
        (pairs["kind"] == "controls")
        & (pairs["metric"] == "deletion")
        & (pairs["axis"] == "linear")
        & (pairs["b"] == RANDOM)
    ]
    better = {str(a) for a, best in zip(beaten["a"], beaten["better"], strict=True) if a == best}
    deletion = summary[summary["metric"] == "deletion"]
    insertion = summary[summary["metric"] == "insertion"].set_index("method")
    found = []
    for row in deletion.to_dict("records"):
        name = str(row["method"])
        other = insertion.loc[name] if name in insertion.index else None
        found.append(
            MethodScore(
                method=name,
                deletion=_measured(row),
                insertion=None if other is None else _measured(other.to_dict()),
                control=bool(row["control"]),
                better_than_random=name in better,
            )
        )
    return tuple(found)


def most_faithful(scores: Sequence[MethodScore]) -> str:
    """Return the method with the lowest deletion among those that beat the random map, or ''."""
    return next((s.method for s in scores if s.better_than_random and not s.control), "")


def _measured(row: Mapping[Any, Any]) -> Measured:
    value, low, high = (
        float(row[name]) if pd.notna(row[name]) else None for name in ("mean", "low", "high")
    )
    return Measured(value=value, low=low, high=high, n=int(row["n"]), method="t")


def _draw(part: Subject, method: tuple[str, Mapping[str, Any]], root: Path) -> tuple[str, ...]:
    """Draw the maps of a few images over them."""
    name, given = method
    few = part.image_set.subset(spread(len(part.image_set), SHOWN))
    written = []
    for batch in few.batches(size=part.size, batch_size=1, resize=part.resize):
        images = batch.images.to(part.classifier.device)
        maps = attribute(part.classifier, images, name, **given).maps.detach().float().cpu()
        pixels = (batch.images[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        made = blend(pixels, maps[0].numpy(), palette="magenta_cyan")
        written.append(write_picture(root, f"map-{batch.ids[0]}", made))
    return tuple(written)
