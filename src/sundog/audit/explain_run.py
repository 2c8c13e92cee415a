"""``sundog explain``: maps of several methods for an image set, written to a run folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import Tensor

from sundog.audit.subject import Subject, spread
from sundog.core.errors import RunFolderError
from sundog.core.files import write_bytes
from sundog.core.progress import track
from sundog.core.run_folder import RunFolder
from sundog.data.image_set import Batch
from sundog.explain.attribute import attribute_many
from sundog.explain.objective import OutputKind
from sundog.explain.plan import make_plan
from sundog.faithfulness.deletion import deletion
from sundog.report.explain_page import explain_page
from sundog.report.figures import method_grid
from sundog.report.notebook import PageInNotebook
from sundog.report.overlay import get_palette
from sundog.report.page import Page, write_page
from sundog.report.page_figures import save_page_figures

SHOWN = 24
"""Images drawn in the figures; every image is in the tables and the maps."""

Methods = Sequence[str] | Mapping[str, tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, repr=False)
class ExplainRun(PageInNotebook):
    """What :func:`explain_images` wrote.

    Attributes:
        path: the run folder.
        page: the HTML page.
        content: what the page says.
        images: number of images explained.
        skipped: number of images that could not be read.
        predictions: id, source, label, prediction, probability, explained class.
        costs: seconds and passes per image of each method.
    """

    path: Path
    page: Path
    content: Page
    images: int
    skipped: int
    predictions: pd.DataFrame
    costs: pd.DataFrame


@dataclass(frozen=True, eq=False)
class _Examples:
    """The images that are drawn, with the maps of every method."""

    images: Tensor
    maps: Mapping[str, Tensor]

    @classmethod
    def join(cls, parts: Sequence[_Examples]) -> _Examples:
        names = parts[0].maps
        return cls(
            images=torch.cat([part.images for part in parts]),
            maps={name: torch.cat([part.maps[name] for part in parts]) for name in names},
        )


def explain_images(
    subject: Subject,
    methods: Methods,
    out_dir: str | Path,
    *,
    target: int | None = None,
    output: OutputKind | None = None,
    curve_steps: int = 25,
    seed: int = 0,
    palette: str = "red_blue",
    shown: int = SHOWN,
    figure_kind: Literal["png", "svg"] = "png",
    progress: bool | None = None,
    command: str = "",
) -> ExplainRun:
    """Explain every image with every method; write maps, tables, figures and a page.

    Args:
        subject: images and classifier.
        methods: names, or label -> (name, parameters).
        out_dir: run folder; an interrupted run goes on where it stopped.
        target: explained class; None = the predicted class of each image.
        output: logit, probability or log_probability; None = each method's default.
        curve_steps: points of the deletion curve beside each image (the practical's 25).
        seed: kept in the manifest.
        palette: ``red_blue`` or a colour-blind-safe one.
        shown: images in the figures.
        figure_kind: png or svg, of the files in ``figures/``.
        progress: None shows it on a terminal.
        command: how to reproduce, shown on the page.

    Raises:
        SundogError: bad input, in plain words, before anything is computed where possible.
    """
    get_palette(palette)
    for name, given in requests(methods):
        make_plan(name, given, output=output)
    arguments = {
        "methods": list(methods) if not isinstance(methods, Mapping) else _plain(methods),
        "target": target,
        "output": output,
        "size": list(subject.size),
        "resize": subject.resize,
        "batch_size": subject.batch_size,
        "curve_steps": curve_steps,
        "shown": shown,
    }
    with RunFolder.open(
        out_dir, kind="explain", arguments=arguments, seeds={"seed": seed}, **subject.fingerprints()
    ) as folder:
        total = -(-len(subject.image_set) // subject.batch_size)
        drawn = spread(len(subject.image_set), shown)
        examples: list[_Examples] = []
        for number, batch in enumerate(
            track(subject.batches(), description="explaining", total=total, visible=progress)
        ):
            key = f"{number:06d}"
            if folder.part("predictions", key) is None or not _maps_path(folder, key).exists():
                _explain_batch(folder, key, subject, batch, methods, target=target, output=output)
            chosen = np.flatnonzero(np.isin(batch.indices.numpy(), drawn))
            if len(chosen):
                maps = {k: v[chosen] for k, v in load_file(_maps_path(folder, key)).items()}
                images = batch.images[chosen]
                examples.append(_Examples(images.cpu(), maps))
                if folder.part("curves", key) is None:
                    ids = [batch.ids[i] for i in chosen]
                    folder.append("curves", key, _curves(subject, images, maps, curve_steps, ids))
        predictions = folder.table("predictions")
        costs = _mean_costs(folder.table("costs"))
        folder.write_result("predictions", predictions)
        folder.write_result("costs", costs)
        joined = _Examples.join(examples)
        shown_rows = predictions[predictions["position"].isin(drawn)]
        order = list(costs["method"])
        figures = method_grid(
            joined.images.permute(0, 2, 3, 1).numpy(),
            {name: joined.maps[name].float().numpy() for name in order},
            predictions=shown_rows["prediction"].to_numpy(),
            probabilities=shown_rows["probability"].to_numpy(),
            class_names=subject.class_names,
            labels=shown_rows["label"].to_numpy(),
            curves=_curves_by_method(folder.table("curves"), order),
            palette=palette,
            title=f"{subject.classifier.name}: where each method looks",
        )
        content = explain_page(
            figures,
            predictions=predictions,
            costs=costs,
            classifier=subject.classifier.name,
            facts=subject.facts(),
            command=command,
        )
        page = write_page(content, folder.path / "index.html")
        save_page_figures(content, folder.path / "figures", figure_kind)
        folder.finish()
    return ExplainRun(
        path=folder.path,
        page=page,
        content=content,
        images=len(predictions),
        skipped=len(subject.image_set.skipped),
        predictions=predictions,
        costs=costs,
    )


def _explain_batch(
    folder: RunFolder,
    key: str,
    subject: Subject,
    batch: Batch,
    methods: Methods,
    *,
    target: int | None,
    output: OutputKind | None,
) -> None:
    """Write the maps, the cost and (last) the predictions of one batch."""
    found = attribute_many(subject.classifier, batch.images, methods, target=target, output=output)
    first = next(iter(found.values()))
    tensors = {name: result.maps.cpu().contiguous() for name, result in found.items()}
    write_bytes(_maps_path(folder, key), save(tensors))
    folder.append("costs", key, _costs(found, len(batch)))
    probability, predicted = first.logits.softmax(1).max(dim=1)
    explained = predicted if first.target is None else first.target
    frame = pd.DataFrame(
        {
            "position": batch.indices.tolist(),
            "id": batch.ids,
            "source": [subject.image_set.sources[i] for i in batch.indices.tolist()],
            "label": batch.labels.tolist(),
            "prediction": predicted.tolist(),
            "probability": probability.tolist(),
            "explained": explained.tolist(),
        }
    )
    folder.append("predictions", key, frame)


def read_maps(path: str | Path) -> Iterator[dict[str, Tensor]]:
    """Yield the maps of a finished run, one batch at a time: method -> ``float[batch, h, w]``.

    Raises:
        RunFolderError: no maps there.
    """
    files = sorted((Path(path) / "maps").glob("*.safetensors"))
    if not files:
        raise RunFolderError(f"{str(path)!r}", expected="a run of sundog explain", got="no maps")
    for file in files:
        yield load_file(file)


def requests(methods: Methods) -> list[tuple[str, Mapping[str, Any]]]:
    """Return (name, parameters) of every method asked for."""
    if isinstance(methods, Mapping):
        return [(name, given) for name, given in methods.values()]
    return [(name, {}) for name in methods]


def _maps_path(folder: RunFolder, key: str) -> Path:
    return folder.path / "maps" / f"{key}.safetensors"


def _plain(methods: Mapping[str, tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    return {label: [name, dict(given)] for label, (name, given) in methods.items()}


def _curves(
    subject: Subject, images: Tensor, maps: Mapping[str, Tensor], steps: int, ids: Sequence[str]
) -> pd.DataFrame:
    rows = []
    for name, values in maps.items():
        result = deletion(
            subject.classifier, images, values[: len(images)].to(images.device), steps=steps
        )
        for image_id, curve in zip(ids, result.values, strict=False):
            rows.append({"id": image_id, "method": name, "values": curve.tolist()})
    return pd.DataFrame(rows)


def _costs(found: Mapping[str, Any], count: int) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "method": name,
                "images": count,
                "seconds": result.seconds,
                "forwards": result.forwards * count,
                "backwards": result.backwards * count,
                "shared": ", ".join(result.shared),
            }
            for name, result in found.items()
        ]
    )


def _mean_costs(costs: pd.DataFrame) -> pd.DataFrame:
    sums = costs.groupby("method", sort=False).agg(
        images=("images", "sum"),
        seconds=("seconds", "sum"),
        forwards=("forwards", "sum"),
        backwards=("backwards", "sum"),
        shared=("shared", "first"),
    )
    for column in ("seconds", "forwards", "backwards"):
        sums[column] = sums[column] / sums["images"]
    return sums.reset_index()


def _curves_by_method(table: pd.DataFrame, order: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    return {name: np.array(table.loc[table["method"] == name, "values"].tolist()) for name in order}
