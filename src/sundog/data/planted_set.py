"""Write an image set with a planted cue as a folder: images, masks, a manifest.

::

    out/cue.json        what was planted in what; written first, so that a run can be resumed
    out/classes.json    class names in order
    out/images/CLASS/   PNG
    out/masks/CLASS/    PNG, 255 where the cue is
    out/skipped.json    images that could not be decoded
    out/manifest.csv    one row per image; written last: the folder is complete if it is there

A killed run leaves whole files only; running it again writes what is missing, and the result has
the same bytes as that of one undisturbed run. ``load_image_set("out/manifest.csv")`` reads it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool
from PIL import Image as Pillow

from sundog.core.errors import DataError, InputError, RunFolderError
from sundog.core.files import write_bytes, write_json, write_table
from sundog.core.notebook import Card, InNotebook
from sundog.core.progress import make_progress
from sundog.core.seeds import generator
from sundog.core.shapes import Images
from sundog.data.image_set import ImageSet, Skipped
from sundog.data.manifest import CLASSES_FILE
from sundog.data.planting import Cue
from sundog.data.streaming import ordered_map
from sundog.data.transforms import Resize, check_size

FORMAT = 1
WRITERS = 4
"""Threads that encode and write: most of the time goes into waiting for the disk."""
_TEMPORARY = re.compile(r"\.(cue|classes|skipped|manifest|\d{6,}-\w+)-\w{8}\.(json|csv|png)")
OWN_COLUMNS = (
    *("path", "label", "cue", "cue_class", "present", "aligned", "strength"),
    *("mask_path", "source", "source_id"),
)


@dataclass(frozen=True, repr=False)
class PlantedSet(InNotebook):
    """What :func:`write_planted` wrote.

    Attributes:
        folder: the folder.
        manifest: its manifest.
        count: images in the manifest.
        resumed: of these, images that an earlier run had written.
        skipped: images that could not be decoded.
    """

    folder: Path
    manifest: Path
    count: int
    resumed: int
    skipped: tuple[Skipped, ...]

    def _card(self) -> Card:
        return Card(
            headline=f"{self.count:,} images with a planted cue",
            facts={"written before": self.resumed, "could not be decoded": len(self.skipped)},
            link=self.manifest,
        )


def write_planted(
    image_set: ImageSet,
    cue: Cue,
    out_dir: str | os.PathLike[str],
    *,
    presence: float = 1.0,
    size: int | tuple[int, int] | None = None,
    resize: Resize = "pad",
    antialias: bool = True,
    crop_fraction: float = 0.875,
    batch_size: int = 32,
    workers: int = 0,
    progress: bool | None = None,
) -> PlantedSet:
    """Plant a cue in the images of a set and write images, masks and manifest.

    The manifest has the columns ``path``, ``label``, ``cue``, ``cue_class`` (the class that the
    cue speaks for), ``present``, ``aligned`` (label equals cue class), ``strength``,
    ``mask_path``, ``source``, ``source_id``, and all metadata of the set (a column whose name is
    taken is called ``original_NAME``). Images are rounded to 8 bits.

    An image that ``presence`` leaves clean speaks for no class: its ``cue_class`` is empty,
    ``present`` and ``aligned`` are false, its mask is black.

    Args:
        image_set: labelled; its number of classes must be that of the cue.
        cue: from :func:`sundog.data.planting.make_cue`.
        out_dir: new, empty, or left by an interrupted run with the same arguments.
        presence: probability in [0, 1] that an image may carry a cue at all; drawn from the cue's
            seed and name and the image's id alone, so identical images are treated alike.
        size: (height, width) or side in pixels; None keeps each image's own size.
        resize: pad, crop or stretch.
        antialias: False = TensorFlow 2's bilinear without antialiasing.
        crop_fraction: for ``crop``.
        batch_size: images held at once; the result does not depend on it.
        workers: threads that decode; the result does not depend on it.
        progress: show it; None: on a terminal.

    Raises:
        InputError: a presence outside [0, 1].
        DataError: an unlabelled image, or another number of classes than the cue's.
        RunFolderError: a folder that holds something else, or that another run has written.
    """
    folder = Path(out_dir)
    _check_set(image_set, cue)
    if not 0 <= presence <= 1:
        raise InputError("presence", expected="a probability in [0, 1]", got=repr(presence))
    plan: dict[str, Any] = {
        "format": FORMAT,
        "cue": cue.to_dict(),
        "size": None if size is None else list(check_size(size)),
        "resize": resize,
        "antialias": antialias,
        "crop_fraction": crop_fraction if resize == "crop" else None,
        "image_set": {
            "name": image_set.name,
            "images": len(image_set),
            "class_names": list(image_set.class_names),
            "content": _content(image_set),
        },
    }
    if presence < 1:  # absent otherwise, so that folders of earlier versions can be resumed
        plan["presence"] = float(presence)
    _claim(folder, plan)
    write_json(folder / CLASSES_FILE, list(image_set.class_names))
    shown = _draw_presence(image_set.ids, cue, presence)
    table = _table(image_set, cue, shown)
    done = np.array([_written(folder, row) for row in table.itertuples()], dtype=bool)
    missing = np.flatnonzero(~done)
    if len(missing):
        # One written image goes along, so that a rest that cannot be decoded is no broken set.
        missing = np.append(np.flatnonzero(done)[:1], missing)
        part = image_set.subset(missing)
        stream = part.batches(
            size=size,
            batch_size=1 if size is None else batch_size,
            resize=resize,
            antialias=antialias,
            crop_fraction=crop_fraction,
            workers=workers,
        )
        with make_progress(visible=progress) as bar:
            task = bar.add_task(f"planting {cue.name}", total=len(missing))
            for batch in stream:
                rows = missing[batch.indices.numpy()]
                planted = cue.plant(batch.images, batch.labels, batch.ids)
                kept = torch.from_numpy(shown[rows])[:, None, None]
                images = torch.where(kept[:, None], planted.images, batch.images)
                _write_batch(folder, table, rows, images, planted.masks & kept)
                bar.update(task, completed=int(batch.indices[-1]) + 1)
    return _finish(folder, table, image_set, resumed=int(done.sum()))


def _check_set(image_set: ImageSet, cue: Cue) -> None:
    unlabelled = int((image_set.labels < 0).sum())
    if unlabelled or not len(image_set):
        raise DataError(
            f"Image set {image_set.name!r}",
            expected="labelled and non-empty, to plant a cue",
            got=f"{unlabelled} unlabelled images of {len(image_set)}",
        )
    if len(image_set.class_names) != cue.class_count:
        raise DataError(
            "class_count of the cue",
            expected=f"that of the image set ({len(image_set.class_names)})",
            got=str(cue.class_count),
        )


def _content(image_set: ImageSet) -> str:
    """Return a digest of what is in the set and in which order: ids, labels, sources."""
    rows = zip(image_set.ids, image_set.labels.tolist(), image_set.sources, strict=True)
    digest = hashlib.blake2b(digest_size=16)
    for row in rows:
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def _claim(folder: Path, plan: dict[str, Any]) -> None:
    """Write the plan into a new folder, or check that the folder has the same plan."""
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{str(folder)!r}", expected="a folder", got="a file")
    found = folder / "cue.json"
    if found.is_file():
        try:
            old = json.loads(found.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RunFolderError(f"{str(found)!r}", expected="JSON", got="broken JSON") from error
        wanted = json.loads(json.dumps(plan))
        if old != wanted:
            keys = sorted(k for k in {*old, *wanted} if old.get(k) != wanted.get(k))
            raise RunFolderError(
                f"Folder {str(folder)!r}",
                expected="new, or of a run with the same arguments",
                got=f"one that differs in {', '.join(keys)}",
                hint="Choose another folder, or delete this one.",
            )
        for pattern in ("*", "images/*/*", "masks/*/*"):
            for path in folder.glob(pattern):
                if _TEMPORARY.fullmatch(path.name):  # of a killed run
                    path.unlink(missing_ok=True)
        return
    if folder.exists() and any(not p.name.startswith(".") for p in folder.iterdir()):
        raise RunFolderError(
            f"Folder {str(folder)!r}", expected="new or empty", got="one with other files"
        )
    write_json(found, plan)


def _draw_presence(ids: Sequence[str], cue: Cue, presence: float) -> Bool[np.ndarray, "images"]:
    """Return which images may carry the cue: each for itself, with probability ``presence``."""
    draws = [
        float(torch.rand(1, generator=random, dtype=torch.float64))
        for random in (generator(cue.seed, "presence", cue.name, i) for i in ids)
    ]
    return np.array(draws, dtype=np.float64) < presence


def _table(image_set: ImageSet, cue: Cue, shown: Bool[np.ndarray, "images"]) -> pd.DataFrame:
    """Return the manifest of the whole set; nothing in it depends on the pixels."""
    labels = torch.from_numpy(image_set.labels)
    drawn = cue.draw(labels, image_set.ids).numpy()
    folders = _folder_names(image_set.class_names)
    names = np.array(image_set.class_names, dtype=object)
    files = [
        f"{folders[label]}/{i:06d}-{image_id[:12]}.png"
        for i, (label, image_id) in enumerate(zip(image_set.labels, image_set.ids, strict=True))
    ]
    carries = shown if cue.target_class is None else shown & (drawn == cue.target_class)
    own = pd.DataFrame(
        {
            "path": [f"images/{f}" for f in files],
            "label": names[image_set.labels],
            "cue": cue.name,
            "cue_class": np.where(shown, names[drawn], ""),
            "present": carries,
            "aligned": shown & (drawn == image_set.labels),
            "strength": cue.strength,
            "mask_path": [f"masks/{f}" for f in files],
            "source": list(image_set.sources),
            "source_id": list(image_set.ids),
        }
    )
    kept = image_set.metadata.copy()
    taken = {*OWN_COLUMNS, *map(str, kept.columns)}
    renamed = {}
    for column in kept.columns:
        if column in OWN_COLUMNS:
            name = f"original_{column}"
            while name in taken:
                name = f"original_{name}"
            taken.add(name)
            renamed[column] = name
    return pd.concat([own, kept.rename(columns=renamed)], axis=1)


def _folder_names(class_names: tuple[str, ...]) -> list[str]:
    """Return a folder name per class: its own where that is safe, distinct also without case."""
    used: set[str] = set()
    names = []
    for label, name in enumerate(class_names):
        safe = re.sub(r"[^\w\-. ]", "_", name).strip(" .")[:80] or "class"
        if safe.casefold() in used:
            safe = f"{safe}_{label}"
        used.add(safe.casefold())
        names.append(safe)
    return names


def _written(folder: Path, row: Any) -> bool:
    return (folder / row.path).is_file() and (folder / row.mask_path).is_file()


def _write_batch(
    folder: Path,
    table: pd.DataFrame,
    rows: np.ndarray,
    images: Images,
    where: Bool[torch.Tensor, "batch height width"],
) -> None:
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    masks = where.to(torch.uint8).mul(255).numpy()

    def write(item: tuple[int, int]) -> None:
        i, row = item
        write_bytes(folder / table["path"].iloc[row], _png(pixels[i]))
        write_bytes(folder / table["mask_path"].iloc[row], _png(masks[i]))

    for _ in ordered_map(write, enumerate(rows.tolist()), workers=WRITERS):
        pass  # waits, and raises what a writer raised


def _png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Pillow.fromarray(array).save(stream, "PNG", compress_level=4)
    return stream.getvalue()


def _finish(folder: Path, table: pd.DataFrame, image_set: ImageSet, *, resumed: int) -> PlantedSet:
    done = [_written(folder, row) for row in table.itertuples()]
    skipped = image_set.skipped
    write_json(folder / "skipped.json", [{"source": s.source, "reason": s.reason} for s in skipped])
    manifest = write_table(folder / "manifest.csv", table[done])
    return PlantedSet(folder, manifest, int(sum(done)), resumed, skipped)
