"""The risks of every image of a set, kept part by part in a run folder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from sundog.core.errors import DataError
from sundog.core.progress import track
from sundog.core.run_folder import RunFolder
from sundog.data.image_set import ImageSet
from sundog.data.transforms import Resize
from sundog.risk.ensemble import EnsembleModel
from sundog.risk.model import RiskModel
from sundog.risk.output import RiskOutput, concat_outputs

CHUNK = 512
"""Images per part: the most that a killed run does again."""
TABLE = "risks"


def score_images(
    model: RiskModel | EnsembleModel,
    image_set: ImageSet,
    folder: RunFolder,
    *,
    table: str = TABLE,
    size: tuple[int, int],
    resize: Resize,
    batch_size: int,
    own: bool = False,
    progress: bool | None = None,
) -> RiskOutput:
    """Return prediction and risks of every image that can be decoded, in order.

    Args:
        model: fitted.
        image_set: the images.
        folder: finished parts are read back, new ones written.
        table: name of the parts.
        size: (height, width) the images are brought to.
        resize: pad, crop or stretch.
        batch_size: images per pass.
        own: they are the images that the methods were fitted on; scored in one go.
        progress: None shows it on a terminal.
    """
    if own and isinstance(model, RiskModel):
        return model.predict(
            image_set, size=size, resize=resize, batch_size=batch_size, own=True, progress=progress
        )
    outputs = []
    starts = range(0, len(image_set), CHUNK)
    for start in track(starts, description="risks", total=len(starts), visible=progress):
        key = f"{start:09d}"
        done = folder.part(table, key)
        if done is None:
            places = np.arange(start, min(start + CHUNK, len(image_set)))
            output = _chunk(model, image_set.subset(places), start, size, resize, batch_size)
            done = to_frame(output)
            folder.append(table, key, done)
        if len(done):
            outputs.append(from_frame(done))
    return concat_outputs(outputs)


def _chunk(
    model: RiskModel | EnsembleModel,
    part: ImageSet,
    start: int,
    size: tuple[int, int],
    resize: Resize,
    batch_size: int,
) -> RiskOutput | None:
    """Return the risks of a part; None if not one of its images can be decoded."""
    try:
        output = model.predict(
            part, size=size, resize=resize, batch_size=batch_size, progress=False
        )
    except DataError:
        if len({s.source for s in part.skipped} & set(part.sources)) < len(set(part.sources)):
            raise
        return None
    indices = output.indices
    return replace(output, indices=None if indices is None else indices + start)


def to_frame(output: RiskOutput | None) -> pd.DataFrame:
    """Return a row per image: index, logits (a list), the fields, the scores."""
    if output is None:
        return pd.DataFrame({"index": np.zeros(0, dtype=np.int64)})
    arrays = output.numpy()
    columns: dict[str, Any] = {
        "index": output.indices.numpy() if output.indices is not None else np.arange(len(output)),
        "logits": list(arrays["prediction"]),
    }
    columns |= {name: arrays[name] for name in output.fields}
    columns |= {name: arrays[name] for name in output.scores}
    return pd.DataFrame(columns)


def from_frame(frame: pd.DataFrame) -> RiskOutput:
    """Return what :func:`to_frame` was given."""
    logits = torch.from_numpy(np.stack(frame["logits"].to_list()))
    found = {
        str(name): torch.from_numpy(frame[name].to_numpy(copy=True))
        for name in frame.columns
        if name not in ("index", "logits")
    }
    return RiskOutput(
        prediction=logits,
        probabilities=logits.softmax(dim=1),
        representation=found.get("representation"),
        epistemic=found.get("epistemic"),
        aleatoric=found.get("aleatoric"),
        scores={name: values for name, values in found.items() if "." in name},
        indices=torch.from_numpy(frame["index"].to_numpy(copy=True)),
    )
