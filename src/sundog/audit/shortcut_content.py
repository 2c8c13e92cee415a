"""From a search for cues to records, pictures and masks in a run folder."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image as Pillow

from sundog.bias.shortcut_result import Shortcut, ShortcutSearch
from sundog.core.audit.cues import CueRecord, Cues, CueTest, Dose
from sundog.core.audit.measured import Measured
from sundog.core.files import write_bytes, write_table
from sundog.core.run_folder import RunFolder
from sundog.core.statistics import Estimate

LARGEST = 256
"""Small images are shown enlarged by a whole number, up to this side in pixels."""


def cue_id(cue: Shortcut, class_names: Sequence[str]) -> str:
    """Return 16 hex digits of what is claimed: family, component, classes."""
    said = {
        "family": cue.family,
        "component": cue.component.to_dict(),
        "also": None if cue.also is None else cue.also.to_dict(),
        "name": cue.name,
        "classes": sorted(class_names[c] for c in cue.classes),
    }
    raw = json.dumps(said, sort_keys=True).encode()
    return hashlib.blake2b(raw, digest_size=8).hexdigest()


def write_pictures(
    search: ShortcutSearch, folder: Path, class_names: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Write donor, receiver and transplant of every example; return cue id -> files."""
    found = {}
    for cue in search.shortcuts:
        name = cue_id(cue, class_names)
        files = []
        for number, example in enumerate(cue.examples):
            for role, pixels in (
                ("source", example.source),
                ("target", example.target),
                ("pasted", example.pasted),
            ):
                file = f"pictures/{name}-{number}-{role}.png"
                write_bytes(folder / file, _png(pixels))
                files.append(file)
        found[name] = tuple(files)
    return found


def write_masks(
    search: ShortcutSearch, folder: RunFolder, ids: Sequence[str], class_names: Sequence[str]
) -> dict[str, tuple[str | None, str | None]]:
    """Write where each local cue is; return cue id -> (picture, table of masks per image)."""
    found: dict[str, tuple[str | None, str | None]] = {}
    for cue in search.shortcuts:
        name = cue_id(cue, class_names)
        picture, table = None, None
        if cue.mask is not None:
            picture = f"masks/{name}.png"
            pixels = np.rint(255 * np.clip(cue.mask, 0, 1)).astype(np.uint8)
            write_bytes(folder.path / picture, _png(pixels))
        if cue.image_masks:
            rows = []
            for position, mask in sorted(cue.image_masks.items()):
                file = f"masks/{name}/{ids[position]}.png"
                write_bytes(folder.path / file, _encoded(np.uint8(255) * mask.astype(np.uint8)))
                rows.append({"id": ids[position], "mask_path": file})
            table = f"masks/{name}.parquet"
            write_table(folder.path / table, pd.DataFrame(rows))
        found[name] = (picture, table)
    return found


def cue_records(
    search: ShortcutSearch,
    *,
    class_names: Sequence[str],
    pictures: Mapping[str, tuple[str, ...]],
    masks: Mapping[str, tuple[str | None, str | None]],
    notes: Sequence[str] = (),
) -> Cues:
    """Return the record of a search; see :class:`sundog.core.audit.cues.Cues`."""
    claimed = []
    for cue in search.shortcuts:
        name = cue_id(cue, class_names)
        component = cue.component.to_dict()
        if cue.also is not None:
            component["also"] = cue.also.to_dict()
        picture, table = masks.get(name, (None, None))
        claimed.append(
            CueRecord(
                id=name,
                family=cue.family,
                kind="local" if cue.kind == "local" else "whole",
                name=cue.name,
                classes=tuple(class_names[c] for c in cue.classes),
                flip=Measured.of(cue.flip),
                control=Measured.of(cue.control),
                excess=Measured.of(cue.excess),
                p=cue.p,
                p_adjusted=cue.p_adjusted,
                intact=Measured.of(cue.intact),
                swapped=Measured.of(cue.swapped),
                reliance=Measured.of(cue.reliance),
                pull=Measured.of(cue.pull),
                component=component,
                random_place=_maybe(cue.random_place),
                elsewhere=_maybe(cue.elsewhere),
                removal=_maybe(cue.removal),
                dose=tuple(
                    Dose(
                        what="size" if dose.what == "size" else "opacity",
                        dose=dose.dose,
                        flip=Measured.of(dose.flip),
                    )
                    for dose in cue.dose
                ),
                box=cue.box,
                mask=picture,
                pictures=pictures.get(name, ()),
                captions=tuple(
                    caption
                    for example in cue.examples
                    for caption in (
                        "gives the part" if cue.kind == "local" else "gives the property",
                        f"{class_names[example.label]}, predicted {class_names[example.before]}",
                        f"predicted {class_names[example.after]}",
                    )
                ),
                masks_table=table,
                note=cue.note,
            )
        )
    return Cues(
        smallest=search.smallest,
        alpha=search.alpha,
        images=search.images,
        tests=len(search.table),
        claimed=tuple(claimed),
        tested=tuple(_tests(search, class_names)),
        notes=(*search.notes, *notes),
    )


def _maybe(estimate: Estimate | None) -> Measured | None:
    return None if estimate is None else Measured.of(estimate)


def _tests(search: ShortcutSearch, class_names: Sequence[str]) -> list[CueTest]:
    level = 1 - search.alpha / max(len(search.table), 1)
    return [
        CueTest(
            family=row["family"],
            name=row["name"],
            class_name="" if row["class_index"] < 0 else class_names[row["class_index"]],
            excess=Measured.of(
                Estimate(row["excess"], row["low"], row["high"], int(row["n"]), level, "newcombe")
            ),
            pull=Measured.of(
                Estimate(row["pull"], row["pull_low"], row["pull_high"], int(row["n"]), level, "t")
            ),
            margin=row["margin"],
            elsewhere=None if pd.isna(row["elsewhere"]) else float(row["elsewhere"]),
            p=row["p"],
            p_adjusted=row["p_adjusted"],
            claimed=bool(row["claimed"]),
            explained_by=row["explained_by"],
            detectable=None if pd.isna(row["detectable"]) else float(row["detectable"]),
        )
        for row in search.table.to_dict("records")
    ]


def _png(pixels: np.ndarray) -> bytes:
    """Return a PNG, enlarged by a whole number so that small images can be seen."""
    factor = max(1, LARGEST // max(pixels.shape[:2]))
    return _encoded(pixels.repeat(factor, axis=0).repeat(factor, axis=1))


def _encoded(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Pillow.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()
