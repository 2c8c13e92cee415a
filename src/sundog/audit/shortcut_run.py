"""``sundog shortcuts``: search for unknown cues, and write what shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sundog.audit.shortcut_content import cue_records, write_masks, write_pictures
from sundog.audit.shortcut_hints import Hints, find_hints
from sundog.audit.subject import Subject
from sundog.bias.shortcut import LEAST_IMAGES, find_shortcuts
from sundog.bias.shortcut_result import ShortcutSearch
from sundog.core.audit.cues import CUES_FILE, Cues
from sundog.core.errors import DataError
from sundog.core.run_folder import RunFolder
from sundog.core.shapes import Images, Labels
from sundog.data.sampling import balanced_sample
from sundog.explain.attribute import attribute
from sundog.report.notebook import PageInNotebook
from sundog.report.page import Page, write_page
from sundog.report.shortcut_page import shortcut_page

MOST_BYTES = 1 << 30
"""Images held at once; fewer are used if they are so large that they would not fit."""


@dataclass(frozen=True, eq=False, repr=False)
class CueRun(PageInNotebook):
    """What :func:`find_cues` wrote.

    Attributes:
        path: the run folder.
        page: the HTML page.
        content: what it says.
        cues: the record, also ``cues.json``.
        search: the result itself; None if an earlier run of this folder had finished.
    """

    path: Path
    page: Path
    content: Page
    cues: Cues
    search: ShortcutSearch | None


def find_cues(
    subject: Subject,
    out_dir: str | Path,
    *,
    limit: int = 600,
    method: str = "gradient_x_input",
    hints: bool = True,
    smallest: float = 0.05,
    alpha: float = 0.05,
    seed: int = 0,
    progress: bool | None = None,
    command: str = "",
) -> CueRun:
    """Search for cues that nobody named on a sample of the images; write records and pictures.

    Maps (``method``), clusters of maps and recurring stamps propose; the causal test of
    :func:`sundog.bias.shortcut.find_shortcuts` decides. A finished folder is read, not redone.

    Args:
        subject: labelled images and classifier.
        out_dir: run folder; ``cues.json``, ``pictures/``, ``masks/``, ``tables/tests.parquet``.
        limit: images used at most, as many of each class as can be.
        method: attribution method of the hints; left out for classifiers without gradients.
        hints: whether stamps and clusters of maps are looked for too; costs about half a minute.
        smallest: pull below which a cue does not matter.
        alpha: bound of the probability of any false claim.
        seed: of all draws.
        progress: None shows it on a terminal.
        command: how to reproduce, shown on the page.

    Raises:
        DataError: fewer than 20 labelled images, or one class.
    """
    chosen = sample_images(subject, limit=limit, seed=seed)
    arguments = {
        "limit": limit,
        "method": method,
        "hints": hints,
        "smallest": smallest,
        "alpha": alpha,
        "size": list(subject.size),
        "resize": subject.resize,
    }
    with RunFolder.open(
        out_dir,
        kind="shortcuts",
        arguments=arguments,
        seeds={"seed": seed},
        **subject.fingerprints(),
    ) as folder:
        written = folder.path / CUES_FILE
        search: ShortcutSearch | None = None
        if written.is_file() and folder.manifest.status == "complete":
            cues = Cues.read(written)
        else:
            images, labels, ids = load_sample(subject, chosen)
            maps = _maps(subject, method)
            found = (
                find_hints(
                    images,
                    labels,
                    attribute=maps,
                    seed=seed,
                    device=subject.classifier.device,
                    batch_size=max(subject.batch_size, 16),
                    progress=progress,
                )
                if hints
                else Hints()
            )
            search = find_shortcuts(
                subject.classifier,
                images,
                labels,
                attribute=maps,
                boxes=found.boxes,
                stamps=found.stamps,
                class_names=subject.class_names,
                smallest=smallest,
                alpha=alpha,
                seed=seed,
                batch_size=max(subject.batch_size, 16),
                progress=progress,
            )
            pictures = write_pictures(search, folder.path, subject.class_names)
            masks = write_masks(
                search,
                folder,
                [subject.image_set.ids[i] for i in ids.tolist()],
                subject.class_names,
            )
            cues = cue_records(
                search,
                class_names=subject.class_names,
                pictures=pictures,
                masks=masks,
                notes=(*_unread(len(chosen) - len(ids)), *found.notes),
            )
            folder.write_result("tests", search.table)
            cues.write(written)
        content = shortcut_page(
            cues,
            folder=folder.path,
            facts={name: str(value) for name, value in subject.facts().items()},
            command=command,
        )
        page = write_page(content, folder.path / "index.html")
        folder.finish()
    return CueRun(path=folder.path, page=page, content=content, cues=cues, search=search)


def sample_images(subject: Subject, *, limit: int, seed: int) -> np.ndarray:
    """Return positions of a class-balanced sample of labelled images of distinct content.

    Raises:
        DataError: too few, or one class.
    """
    ids = subject.image_set.ids
    first = {image: position for position, image in reversed(list(enumerate(ids)))}
    able = np.array(
        [p for p, image in enumerate(ids) if subject.labels[p] >= 0 and first[image] == p],
        dtype=np.int64,
    )
    height, width = subject.size
    fits = max(LEAST_IMAGES, MOST_BYTES // (3 * 4 * height * width))
    chosen = able[
        balanced_sample(
            subject.labels[able], [ids[p] for p in able], limit=min(limit, fits), seed=seed
        )
    ]
    if len(chosen) < LEAST_IMAGES or len(np.unique(subject.labels[chosen])) < 2:
        raise DataError(
            f"Image set {subject.image_set.name!r}",
            expected=f"at least {LEAST_IMAGES} labelled images of at least two classes",
            got=f"{len(chosen)} of {len(np.unique(subject.labels[chosen]))}",
            hint="Components are moved between images of different classes.",
        )
    return chosen


def load_sample(
    subject: Subject, chosen: Sequence[int] | np.ndarray
) -> tuple[Images, Labels, np.ndarray]:
    """Return images, labels and positions of those that can be read, in memory."""
    part = subject.image_set.subset(chosen)
    images, positions = [], []
    for batch in part.batches(
        size=subject.size, batch_size=subject.batch_size, resize=subject.resize, workers=2
    ):
        images.append(batch.images)
        positions += batch.indices.tolist()
    kept = np.asarray(chosen, dtype=np.int64)[positions]
    return torch.cat(images), torch.from_numpy(subject.labels[kept]), kept


def _unread(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    return (f"{count} of the drawn images could not be decoded and were left out.",)


def _maps(subject: Subject, method: str) -> Callable[[Images], Tensor] | None:
    if not subject.classifier.differentiable:
        return None
    return partial(_explain, subject=subject, method=method)


def _explain(images: Images, *, subject: Subject, method: str) -> Tensor:
    return attribute(subject.classifier, images, method).maps
