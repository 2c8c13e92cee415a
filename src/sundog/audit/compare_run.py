"""``sundog compare``: several classifiers, one cue: who relies on it, and how it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from sundog.audit.observed import check_finite
from sundog.audit.subject import Subject, spread
from sundog.bias.compare import Comparison, compare_models
from sundog.core.errors import InputError
from sundog.core.files import write_json
from sundog.core.progress import track
from sundog.core.run_folder import RunFolder
from sundog.data.image_set import Batch
from sundog.data.planting import Cue, Planted
from sundog.explain.attribute import attribute_many
from sundog.faithfulness.localisation import relevance_mass
from sundog.report.compare_grid import ModelView
from sundog.report.compare_page import compare_page
from sundog.report.notebook import PageInNotebook
from sundog.report.overlay import get_palette
from sundog.report.page import Page, write_page
from sundog.report.page_figures import save_page_figures

Methods = Mapping[str, tuple[str, Mapping[str, Any]]]
CONDITIONS = ("off", "aligned", "conflicting")


@dataclass(frozen=True, repr=False)
class CompareRun(PageInNotebook):
    """What :func:`compare_runs` wrote: the folder, the page, its content, and the comparison."""

    path: Path
    page: Path
    content: Page
    comparison: Comparison


@dataclass(frozen=True, eq=False)
class _Shown:
    """A batch without the cue, with the cue of the label, and with the cue of another class."""

    images: dict[str, Tensor]
    cue_class: dict[str, Tensor]
    masks: Tensor

    @classmethod
    def plant(cls, batch: Batch, cue: Cue) -> _Shown:
        planted: dict[str, Planted] = {
            "aligned": replace(cue, strength=1.0).plant(batch.images, batch.labels, batch.ids),
            "conflicting": replace(cue, strength=0.0).plant(batch.images, batch.labels, batch.ids),
        }
        return cls(
            images={"off": batch.images, **{name: p.images for name, p in planted.items()}},
            cue_class={
                "off": torch.full_like(batch.labels, -1),
                **{name: p.cue_class for name, p in planted.items()},
            },
            masks=planted["aligned"].masks,
        )


def compare_runs(
    subjects: Mapping[str, Subject],
    cue: Cue,
    out_dir: str | Path,
    *,
    methods: Methods,
    map_images: int = 128,
    shown: int = 8,
    smallest: float = 0.05,
    alpha: float = 0.05,
    seed: int = 0,
    palette: str = "red_blue",
    figure_kind: Literal["png", "svg"] = "png",
    progress: bool | None = None,
    command: str = "",
) -> CompareRun:
    """Predict every image three ways with every classifier, explain some, and decide.

    Each image is seen without the cue, with the cue of its own class and with the cue of another
    class, by all classifiers. Predictions decide; maps (of ``map_images`` images spread over the
    set, with their own cue) are shown beside, with the share of relevance that falls on the cue.

    Args:
        subjects: run id -> classifier with the same images, classes and size.
        cue: what is planted; its strength is not used.
        out_dir: run folder; an interrupted run goes on where it stopped.
        methods: label -> (name, parameters) of the maps.
        map_images: images explained, 0 for none.
        shown: images drawn side by side.
        smallest: reliance that matters, as a share of images.
        alpha: probability of any wrong standing.
        seed: for permutations.
        palette: colours of the overlay.
        figure_kind: png or svg, of the files in ``figures/``.
        progress: None shows it on a terminal.
        command: how to reproduce, shown on the page.

    Raises:
        InputError: fewer than two classifiers, or classifiers of different classes or size.
    """
    get_palette(palette)
    first = check_same(subjects)
    arguments = {
        "runs": sorted(subjects),
        "cue": cue.to_dict(),
        "methods": {label: [name, dict(given)] for label, (name, given) in methods.items()},
        "map_images": map_images,
        "size": list(first.size),
        "resize": first.resize,
        "batch_size": first.batch_size,
        "models": {run: s.fingerprints()["model_fingerprint"] for run, s in subjects.items()},
    }
    with RunFolder.open(
        out_dir,
        kind="compare",
        arguments=arguments,
        seeds={"seed": seed, "cue": cue.seed},
        data_fingerprint=first.fingerprints()["data_fingerprint"],
    ) as folder:
        examples = _run_batches(folder, subjects, first, cue, methods, map_images, shown, progress)
        predictions = folder.table("predictions")
        masses = folder.table("maps") if map_images else pd.DataFrame()
        comparison = compare_models(
            {run: predictions[predictions["run_id"] == run] for run in subjects},
            maps_mass={run: masses[masses["run_id"] == run] for run in subjects}
            if len(masses)
            else None,
            alpha=alpha,
            smallest=smallest,
            seed=seed,
        )
        folder.write_result("predictions", predictions)
        if len(masses):
            folder.write_result("maps", masses)
        write_json(folder.path / "comparison.json", comparison.to_dict())
        page = compare_page(
            comparison,
            cue=cue.to_dict(),
            examples=examples,
            class_names=first.class_names,
            facts={**first.facts(), "classifier": ", ".join(subjects)},
            palette=palette,
            command=command,
        )
        written = write_page(page, folder.path / "index.html")
        save_page_figures(page, folder.path / "figures", figure_kind)
        folder.finish()
    return CompareRun(path=folder.path, page=written, content=page, comparison=comparison)


def check_same(subjects: Mapping[str, Subject]) -> Subject:
    """Refuse models that cannot be compared, and return the first subject.

    Raises:
        InputError: fewer than two models, or different images, classes or size.
    """
    if len(subjects) < 2:
        raise InputError("Classifiers to compare", expected="at least two", got=str(len(subjects)))
    first = next(iter(subjects.values()))
    for run, other in list(subjects.items())[1:]:
        for what, a, b in (
            ("classes", first.class_names, other.class_names),
            ("size", first.size, other.size),
            ("images", first.image_set.ids, other.image_set.ids),
        ):
            if a != b:
                raise InputError(
                    f"The {what} of {run!r}",
                    expected=f"those of {next(iter(subjects))!r}",
                    got="others",
                    hint="Compare classifiers on the same images, classes and size.",
                )
    first.image_set.require_classes(2)
    return first


def _run_batches(
    folder: RunFolder,
    subjects: Mapping[str, Subject],
    first: Subject,
    cue: Cue,
    methods: Methods,
    map_images: int,
    shown: int,
    progress: bool | None,
) -> dict[str, Any]:
    """Fill the tables batch by batch; return what the figure of examples needs."""
    total = -(-len(first.image_set) // first.batch_size)
    explained = spread(len(first.image_set), map_images)
    drawn = explained[spread(len(explained), shown)]
    examples: list[dict[str, Any]] = []
    for number, batch in enumerate(
        track(first.batches(), description="comparing", total=total, visible=progress)
    ):
        key = f"{number:06d}"
        take = np.flatnonzero(np.isin(batch.indices.numpy(), explained))
        draw = np.flatnonzero(np.isin(batch.indices.numpy()[take], drawn))
        missing = folder.part("predictions", key) is None
        known = not len(take) or folder.part("maps", key) is not None
        if not missing and not len(draw) and known:
            continue
        views = _Shown.plant(batch, cue)
        if missing:
            folder.append("predictions", key, _predict(subjects, batch, views))
        if len(take) and (len(draw) or not known):
            frames, example = _explain(subjects, methods, batch, views, take=take, draw=draw)
            folder.append("maps", key, frames)
            if len(draw):
                examples.append(example)
    return _join(examples, list(subjects)) if examples else {}


@torch.no_grad()
def _predict(subjects: Mapping[str, Subject], batch: Batch, views: _Shown) -> pd.DataFrame:
    frames = []
    for run, subject in subjects.items():
        for condition in CONDITIONS:
            logits = subject.classifier.predict(views.images[condition])
            check_finite(run, logits.softmax(1))
            probability, prediction = logits.softmax(1).max(dim=1)
            loss = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none")
            frames.append(
                pd.DataFrame(
                    {
                        "run_id": run,
                        "id": batch.ids,
                        "label": batch.labels.tolist(),
                        "cue_on": condition != "off",
                        "cue_class": views.cue_class[condition].tolist(),
                        "prediction": prediction.tolist(),
                        "probability": probability.tolist(),
                        "loss": loss.tolist(),
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def _explain(
    subjects: Mapping[str, Subject],
    methods: Methods,
    batch: Batch,
    views: _Shown,
    *,
    take: NDArray[np.int64],
    draw: NDArray[np.int64],
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Explain the images ``take`` of a batch with their own cue: mass on the cue, maps to draw."""
    chosen = torch.from_numpy(take).to(batch.images.device)
    images, masks = views.images["aligned"][chosen], views.masks[chosen]
    area = masks.float().mean(dim=(1, 2)).cpu().numpy()
    frames, drawn = [], {}
    for run, subject in subjects.items():
        found = attribute_many(subject.classifier, images, methods)
        probability, prediction = next(iter(found.values())).logits.softmax(1).max(dim=1)
        for label, result in found.items():
            mass = relevance_mass(result.maps, masks)
            keep = np.isfinite(mass.values) & (area > 0)
            frames.append(
                pd.DataFrame(
                    {
                        "run_id": run,
                        "id": np.array(batch.ids)[take][keep],
                        "method": label,
                        "mass": mass.values[keep],
                        "area": area[keep],
                        "prediction": prediction.cpu().numpy()[keep],
                    }
                )
            )
        drawn[run] = {
            "predictions": prediction.cpu().numpy()[draw],
            "probabilities": probability.cpu().numpy()[draw],
            "maps": {name: r.maps.float().cpu().numpy()[draw] for name, r in found.items()},
        }
    return pd.concat(frames, ignore_index=True), {
        "images": images.permute(0, 2, 3, 1).cpu().numpy()[draw],
        "masks": masks.cpu().numpy()[draw],
        "labels": batch.labels[chosen].cpu().numpy()[draw],
        "cue_class": views.cue_class["aligned"][chosen].cpu().numpy()[draw],
        "views": drawn,
    }


def _join(examples: Sequence[dict[str, Any]], runs: Sequence[str]) -> dict[str, Any]:
    """Concatenate the examples of several batches."""
    joined: dict[str, Any] = {
        name: np.concatenate([e[name] for e in examples])
        for name in ("images", "masks", "labels", "cue_class")
    }
    views = []
    for run in runs:
        parts = [e["views"][run] for e in examples]
        views.append(
            ModelView(
                name=run,
                predictions=np.concatenate([p["predictions"] for p in parts]),
                probabilities=np.concatenate([p["probabilities"] for p in parts]),
                maps={
                    name: np.concatenate([p["maps"][name] for p in parts])
                    for name in parts[0]["maps"]
                },
            )
        )
    joined["views"] = views
    return joined
