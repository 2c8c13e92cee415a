"""``sundog tags``: the tags of an image set, with the images that show most of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sundog.audit.subject import Subject
from sundog.audit.taggers import make_taggers
from sundog.concepts.tag_images import tag_images
from sundog.concepts.tag_scores import TagScores
from sundog.concepts.tagger import Tagger, identity_hash
from sundog.core.errors import DataError
from sundog.core.files import write_json, write_table
from sundog.core.run_folder import RunFolder
from sundog.data.image_set import ImageSet
from sundog.report.notebook import PageInNotebook
from sundog.report.page import Page, write_page
from sundog.report.strips import Shot, Strip
from sundog.report.tags_page import tags_page

SHOWN_TAGS = 40
SHOWN_IMAGES = 8


@dataclass(frozen=True, eq=False, repr=False)
class TagsRun(PageInNotebook):
    """What :func:`tag_image_set` wrote.

    Attributes:
        path: the folder.
        page: the HTML page.
        content: what the page says.
        scores: of every image and tag; also ``tables/scores.parquet``.
        table: a row per tag: tag, images, share, unknown, threshold; also ``tables/tags.parquet``.
        notes: what was left out.
    """

    path: Path
    page: Path
    content: Page
    scores: TagScores
    table: pd.DataFrame
    notes: tuple[str, ...]


def tag_image_set(
    image_set: ImageSet,
    taggers: str | Sequence[str | Tagger],
    out_dir: str | Path,
    *,
    subject: Subject | None = None,
    cache: str | Path | None = None,
    batch_size: int = 32,
    seed: int = 0,
    progress: bool | None = None,
    command: str = "",
) -> TagsRun:
    """Tag every image, write the scores, and show what each tag looks like.

    Args:
        image_set: labelled or not.
        taggers: see :func:`sundog.audit.taggers.make_taggers`.
        out_dir: run folder; an interrupted run goes on where it stopped.
        subject: needed by taggers that look at a classifier's features.
        cache: folder of scores that several runs share; the run folder's own if None.
        batch_size: images per call of a tagger.
        seed: of what taggers learn.
        progress: None shows it on a terminal.
        command: how to reproduce, shown on the page.
    """
    made, notes = make_taggers(taggers, subject)
    with RunFolder.open(
        out_dir,
        kind="tags",
        arguments={"taggers": [t.name for t in made], "images": image_set.name},
        seeds={"seed": seed},
        data_fingerprint=identity_hash({"ids": list(image_set.ids)}),
    ) as folder:
        scores = tag_images(
            image_set,
            made,
            cache=cache or folder.path / "cells" / "scores",
            batch_size=batch_size,
            seed=seed,
            progress=progress,
        )
        present = scores.present()
        table = pd.DataFrame(
            {
                "tag": scores.names,
                "images": present.sum(axis=0),
                "share": present.mean(axis=0),
                "unknown": scores.unknown,
                "threshold": scores.thresholds.astype(float),
            }
        )
        frame = pd.DataFrame(scores.scores, columns=list(scores.names))
        frame.insert(0, "id", list(scores.ids))
        frame.insert(1, "source", list(image_set.sources))
        write_table(folder.path / "tables" / "scores.parquet", frame)
        folder.write_result("tags", table)
        notes += list(scores.notes)
        if skipped := len(image_set.skipped):
            notes.append(f"{skipped} images could not be read.")
        write_json(
            folder.path / "tags.json",
            {
                "format": "sundog-tags",
                "version": 1,
                "tagger": scores.tagger,
                "identity": scores.identity,
                "tags": [
                    {"name": n, "threshold": float(t) if np.isfinite(t) else None}
                    for n, t in zip(scores.names, scores.thresholds, strict=True)
                ],
                "notes": notes,
            },
        )
        content = tags_page(
            table,
            strips=_strips(image_set, scores, present),
            previews=scores.previews,
            title=f"Tags of {image_set.name}",
            images=len(image_set),
            notes=notes,
            command=command,
        )
        page = write_page(content, folder.path / "index.html")
        folder.finish()
    return TagsRun(
        path=folder.path,
        page=page,
        content=content,
        scores=scores,
        table=table,
        notes=tuple(notes),
    )


def _strips(
    image_set: ImageSet, scores: TagScores, present: np.ndarray[tuple[int, int], np.dtype[np.bool_]]
) -> list[Strip]:
    """Return the images with the highest scores of tags that some images carry, rarest last."""
    carried = present.sum(axis=0)
    useful = np.flatnonzero((carried > 0) & (carried < len(image_set)))
    order = useful[np.argsort(-carried[useful], kind="stable")][:SHOWN_TAGS]
    strips = []
    for tag in order.tolist():
        column = np.where(np.isnan(scores.scores[:, tag]), -np.inf, scores.scores[:, tag])
        shots = []
        for index in np.argsort(-column, kind="stable")[:SHOWN_IMAGES].tolist():
            if not present[index, tag]:
                continue
            try:
                pixels = image_set.image(index)
            except DataError:  # listed in image_set.skipped
                continue
            label = int(image_set.labels[index])
            name = image_set.class_names[label] if label >= 0 else ""
            shots.append(Shot(pixels=pixels, predicted=name.replace("_", " "), correct=None))
        strips.append(Strip(title=f"{scores.names[tag]} ({carried[tag]} images)", shots=shots))
    return strips
