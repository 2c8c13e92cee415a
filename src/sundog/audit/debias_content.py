"""From measurements to what the page of a debiasing run shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sundog.audit.debias_data import DebiasData
from sundog.audit.debias_settings import DebiasSettings
from sundog.core.statistics import Estimate
from sundog.debias.mask_editor import MaskEditor
from sundog.report.debias_content import (
    CueCheck,
    DebiasPage,
    FrozenWindows,
    MethodResult,
    Outcome,
    Refused,
    SamplingReport,
)


def debias_content(
    data: DebiasData,
    settings: DebiasSettings,
    before: MethodResult,
    results: Sequence[MethodResult],
    *,
    outcome: Outcome,
    chosen: str,
    reason: str,
    refused: Sequence[Refused],
    cues: Sequence[CueCheck],
    frozen: FrozenWindows | None,
    histories: Mapping[str, pd.DataFrame],
    selection: str,
    model: str,
    scratch: bool,
    notes: Sequence[str],
    command: str,
) -> DebiasPage:
    """Return what the page shows; see :class:`~sundog.report.debias_content.DebiasPage`."""
    return DebiasPage(
        title=f"Debiasing {model}",
        outcome=outcome,
        baseline=before,
        methods=results,
        chosen=chosen,
        reason=reason,
        images=len(data.test),
        refused=refused,
        cues=[*_repaired(data, before, results), *cues],
        sampling=sampling_reports(histories, len(data.train)),
        frozen=[frozen] if frozen is not None and frozen.after else [],
        group_sizes=_group_sizes(data),
        epochs=None,
        selection=selection,
        facts=_facts(data, settings, model, scratch),
        notes=notes,
        command=command,
    )


def _group_sizes(data: DebiasData) -> dict[str, int]:
    if data.test.groups is None:
        counts = np.bincount(data.test.labels, minlength=len(data.class_names))
        return dict(zip(data.class_names, counts.tolist(), strict=True))
    return dict(zip(data.test.groups.names, data.test.groups.counts.tolist(), strict=True))


def _repaired(
    data: DebiasData, before: MethodResult, results: Sequence[MethodResult]
) -> list[CueCheck]:
    """Return the cue that was to be repaired, where it can be edited."""
    flips = before.scores.get("flip_rate")
    if flips is None:
        return []
    after = {r.name: r.scores["flip_rate"] for r in results if "flip_rate" in r.scores}
    change = {r.name: r.change["flip_rate"] for r in results if "flip_rate" in r.change}
    return [
        CueCheck(
            cue="the masked cue" if isinstance(data.test.editor, MaskEditor) else "the moved cue",
            repaired=True,
            before=flips,
            after=after,
            change=change,
            n=flips.n if isinstance(flips, Estimate) else 0,
            measure="share of predictions that change when the cue of another class replaces none",
        )
    ]


def sampling_reports(histories: Mapping[str, pd.DataFrame], count: int) -> list[SamplingReport]:
    """Return how far each resampling method's weights were from uniform, first seed of each."""
    reports: dict[str, SamplingReport] = {}
    for name, history in histories.items():
        method = name.rsplit("-", 1)[0]
        if method in reports or "recipe" not in history.columns:
            continue
        rows: list[dict[str, Any]] = []
        for epoch, notes in zip(history["epoch"], history["recipe"], strict=True):
            if not isinstance(notes, Mapping) or "effective_size" not in notes:
                continue
            size = notes["effective_size"]
            warnings = notes.get("warnings") or []
            rows.append(
                {
                    "epoch": int(epoch),
                    "effective_size": float(size) / count if float(size) > 1 else float(size),
                    "ratio": float(notes.get("max_min_ratio") or float("nan")),
                    "warning": " ".join(warnings) if isinstance(warnings, list) else str(warnings),
                }
            )
        if rows:
            frame = pd.DataFrame(rows).drop_duplicates("epoch")
            reports[method] = SamplingReport(method=method, epochs=frame, count=count)
    return list(reports.values())


def _facts(
    data: DebiasData, settings: DebiasSettings, model: str, scratch: bool
) -> dict[str, object]:
    start = "trained from scratch for every seed" if scratch else "taken as given"
    facts: dict[str, object] = {
        "classifier": f"{model}, {start}",
        "images": data.split,
        "classes": ", ".join(data.class_names[:20]),
        "size": f"{data.train.images.image_size[0]} x {data.train.images.image_size[1]} px",
        "budget of each training": f"{settings.epochs} epochs, {settings.optimizer}, learning "
        f"rate {settings.learning_rate:g}, weight decay {settings.weight_decay:g}, batches of "
        f"{settings.batch_size}, augmentation {settings.augment}",
        "seeds": ", ".join(str(seed) for seed in settings.seeds),
    }
    if data.column is not None and data.train.groups is not None:
        facts["groups"] = f"class x {data.column}: {len(data.train.groups)}"
        if data.train.groups.empty:
            facts["groups without training images"] = ", ".join(data.train.groups.empty[:20])
    if data.alignment is not None:
        facts["alignment of the training images"] = str(data.alignment.share)
    if data.train.editor is not None:
        facts["cue"] = data.train.editor.about
    return facts
