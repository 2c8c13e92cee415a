"""What a debiasing run works on: training, validation and test images, their groups, their cue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int64

from sundog.audit.debias_sources import Sources, aligned_to
from sundog.audit.group_column import NO_CUE, column_values, shared_values, value_codes
from sundog.audit.masks import has_masks
from sundog.core.errors import DataError
from sundog.data.image_set import ImageSet
from sundog.data.mask_reader import ManifestMasks, MaskReader, mask_areas
from sundog.data.planted_view import PlantedMasks, planted_view
from sundog.data.planting import Cue
from sundog.data.transforms import Resize
from sundog.debias.alignment import Alignment, measure_alignment
from sundog.debias.cue_editor import AgainstEditor
from sundog.debias.groups import Groups, make_groups
from sundog.debias.mask_editor import MaskEditor
from sundog.models.classifier import Classifier
from sundog.models.prepared import PreparedImages

MOST_GROUPS = 12
"""With more combinations of class and value, groups are class x kind, see :data:`KINDS`."""
KINDS = ("aligned", "conflicting", "cue-free")
WHOLE_IMAGE = 0.5
"""A mask of more than this share of the image cannot be filled in from its surroundings."""


@dataclass(frozen=True, eq=False)
class Part:
    """Images with what is known of them.

    Attributes:
        images: prepared; labels as the classifier numbers them.
        labels: ``int64[images]``.
        groups: class x attribute of each image, or None.
        attribute: ``int64[images]``, -1 = unknown, or None.
        masks: where the cue is, or None.
        editor: of that cue, or None.
        raw: ``int64[images]``, value of the column before it became aligned or conflicting.
        agreeing: ``int64[images]``, the value that agrees with the image's label (the label itself
            where there is no attribute).
    """

    images: PreparedImages
    labels: Int64[np.ndarray, "images"]
    groups: Groups | None = None
    attribute: Int64[np.ndarray, "images"] | None = None
    masks: MaskReader | None = None
    editor: AgainstEditor | None = None
    raw: Int64[np.ndarray, "images"] | None = None
    agreeing: Int64[np.ndarray, "images"] | None = None

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class DebiasData:
    """Three parts that share classes, attribute and size.

    Attributes:
        train: what methods train on.
        validation: what is chosen by, and what last layers are refitted on.
        test: what numbers are over; nothing is chosen by it.
        class_names: in order of the labels.
        attribute_names: values of the attribute; empty if there is none.
        column: metadata column of the attribute, or None.
        absent: value that means "no cue", or None.
        alignment: of attribute and labels in the training images, or None.
        split: where the parts come from, in words.
        notes: what a reader must know.
    """

    train: Part
    validation: Part
    test: Part
    class_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    column: str | None
    absent: int | None
    alignment: Alignment | None
    split: str
    notes: tuple[str, ...]


def make_debias_data(
    sources: Sources,
    *,
    classifier: Classifier | None = None,
    size: int | tuple[int, int] | None = None,
    resize: Resize = "pad",
    group_column: str | None = None,
    cue: Cue | None = None,
    roots: Sequence[Path | None] = (None, None, None),
) -> DebiasData:
    """Bring images, groups and masks of the three parts together.

    Args:
        sources: from :func:`sundog.audit.debias_sources.open_sources`.
        classifier: whose class order and input size are taken; None: the training set's.
        size: (height, width) or side in pixels.
        resize: pad, crop or stretch.
        group_column: metadata column of the attribute; ``cue_class`` of a planted set if None.
        cue: planted in all three parts first (a study): with its own strength in the training
            images, in half of the others with that of another class, so that both can be judged.
        roots: folder that the mask paths of each part start from.

    Raises:
        DataError: unlabelled sets, or classes that the classifier does not have.
        UnknownNameError: no such column.
    """
    notes: list[str] = []
    sets = [_labelled(s, notes) for s in (sources.train, sources.validation, sources.test)]
    names = sets[0].class_names
    if classifier is not None and classifier.class_names is not None:
        names = classifier.class_names
        sets = [aligned_to(image_set, names) for image_set in sets]
    goal = size or (classifier.input_size if classifier is not None else None)
    masks: list[MaskReader | None] = [None, None, None]
    if cue is not None:
        if goal is None:
            goal = PreparedImages(sets[0], size=None, cache_bytes=0).image_size
        even = replace_strength(cue, 0.5)
        kinds = (cue, even, even)
        masks = [
            PlantedMasks(s, k, size=goal, resize=resize) for s, k in zip(sets, kinds, strict=True)
        ]
        sets = [
            planted_view(s, k, size=goal, resize=resize) for s, k in zip(sets, kinds, strict=True)
        ]
        group_column = group_column or "cue_class"
    elif group_column is None and all("cue_class" in s.metadata.columns for s in sets):
        group_column = "cue_class"
    prepared = [PreparedImages(s, size=goal, resize=resize, workers=2) for s in sets]
    sizes = {p.image_size for p in prepared}
    if len(sizes) > 1:
        raise DataError(
            "Training, validation and test images",
            expected="of one size, or size=...",
            got=", ".join(f"{h} x {w}" for h, w in sorted(sizes)),
        )
    if cue is None:
        masks = [
            ManifestMasks(s, root, size=p.image_size, resize=resize)
            if root is not None and has_masks(s)
            else None
            for s, root, p in zip(sets, roots, prepared, strict=True)
        ]
    parts = [
        Part(images=p, labels=s.labels, masks=m, agreeing=s.labels)
        for s, p, m in zip(sets, prepared, masks, strict=True)
    ]
    values: list[Int64[np.ndarray, "images"] | None] = [None, None, None]
    attribute_names: tuple[str, ...] = ()
    alignment, absent = None, None
    if group_column is not None:
        found = _with_groups(parts, sets, names, group_column, notes)
        parts, attribute_names, alignment = found.parts, found.names, found.alignment
        values, absent = list(found.values), found.absent
    parts = [
        replace(part, editor=_editor(part, value, notes))
        for part, value in zip(parts, values, strict=True)
    ]
    return DebiasData(
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        class_names=tuple(names),
        attribute_names=attribute_names,
        column=group_column,
        absent=absent,
        alignment=alignment,
        split=sources.split,
        notes=tuple(dict.fromkeys(notes)),
    )


def replace_strength(cue: Cue, strength: float) -> Cue:
    """Return the same cue with another probability of agreeing with the label."""
    return replace(cue, strength=strength)


def _labelled(image_set: ImageSet, notes: list[str]) -> ImageSet:
    unlabelled = int((image_set.labels < 0).sum())
    if not unlabelled:
        return image_set
    if unlabelled == len(image_set):
        raise DataError(
            f"Image set {image_set.name!r}",
            expected="with labels",
            got=f"{unlabelled} images without one",
            hint="Name the column of a manifest with --label-column, or use folders CLASS/*.jpg.",
        )
    notes.append(f"{unlabelled} images of {image_set.name} have no label and were left out.")
    return image_set.subset(np.flatnonzero(image_set.labels >= 0))


def _editor(
    part: Part, values: Int64[np.ndarray, "images"] | None, notes: list[str]
) -> MaskEditor | None:
    images, masks = part.images, part.masks
    if masks is None:
        return None
    areas = mask_areas(masks)
    if not (areas > 0).any():
        return None
    share = float(areas[areas > 0].mean()) / float(np.prod(images.image_size))
    if share > WHOLE_IMAGE:
        notes.append(
            f"The cue covers {share:.0%} of the image: it cannot be cut out, and methods that "
            "need a mask are left out."
        )
        return None
    return MaskEditor(images, masks, values=values)


@dataclass(frozen=True, eq=False)
class _Grouped:
    """Parts with groups, the attribute's names, its raw values, and how it follows the labels."""

    parts: list[Part]
    names: tuple[str, ...]
    values: list[Int64[np.ndarray, "images"]]
    absent: int | None
    alignment: Alignment | None


def _with_groups(
    parts: list[Part],
    sets: list[ImageSet],
    class_names: tuple[str, ...],
    column: str,
    notes: list[str],
) -> _Grouped:
    found = shared_values(sets, column)
    values = [value_codes(column_values(s, column), found, column=column) for s in sets]
    unknown = int(sum((v < 0).sum() for v in values))
    if unknown:
        notes.append(f"{unknown} images have no value of {column!r}; their group is not known.")
    absent = found.index(NO_CUE) if NO_CUE in found else None
    if column == "cue_class" and "-1" in found:  # planted views number the classes
        absent = found.index("-1")
    alignment = None
    if len(found) > 1 and len(np.unique(parts[0].labels)) > 1:
        alignment = measure_alignment(
            parts[0].labels,
            values[0],
            class_names=class_names,
            attribute_names=found,
            absent=absent,
        )
    names, shown = found, values
    if alignment is not None:
        agrees = {row.name: row.agrees_with for row in alignment.classes}
        wanted = np.array([found.index(agrees[c]) if agrees[c] else -1 for c in class_names])
        parts = [replace(part, agreeing=wanted[part.labels]) for part in parts]
        if len(class_names) * len(found) > MOST_GROUPS:
            shown = [
                _kinds(p.labels, v, wanted, absent) for p, v in zip(parts, values, strict=True)
            ]
            names = KINDS if absent is not None else KINDS[:2]
    made = []
    for part, value, raw in zip(parts, shown, values, strict=True):
        groups = make_groups(part.labels, value, class_names=class_names, attribute_names=names)
        made.append(replace(part, groups=groups, attribute=value, raw=raw))
    return _Grouped(made, names, values, absent, alignment)


def _kinds(
    labels: Int64[np.ndarray, "images"],
    values: Int64[np.ndarray, "images"],
    agrees: Int64[np.ndarray, "classes"],
    absent: int | None,
) -> Int64[np.ndarray, "images"]:
    """Return 0 where the value agrees with the class, 1 where it does not, 2 without a cue."""
    kind = np.where(values == agrees[labels], 0, 1)
    if absent is not None:
        kind = np.where(values == absent, 2, kind)
    return np.where(values < 0, -1, kind).astype(np.int64)


def group_table(data: DebiasData) -> pd.DataFrame | None:
    """Return images per group and part, or None without groups."""
    if data.train.groups is None:
        return None
    frame = data.train.groups.table[["group", "class", "attribute"]].copy()
    for name, part in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        frame[name] = part.groups.counts if part.groups is not None else 0
    return frame
