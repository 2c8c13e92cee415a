"""The images of a debiasing run, seen through an audit: its cues edited, its concepts as groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64

from sundog.audit.align import plain_name
from sundog.audit.cue_moves import cue_components, is_masked, mask_files
from sundog.audit.debias_conflicts import KINDS, conflicting_view, half_of
from sundog.audit.debias_data import DebiasData, Part
from sundog.audit.debias_from_audit import ToSuppress
from sundog.audit.debias_from_audit_tags import (
    ConceptTags,
    PatchMasks,
    value_codes_of,
    value_names_of,
)
from sundog.core.audit.cues import CueRecord
from sundog.core.errors import InputError
from sundog.data.components.component import Component
from sundog.data.image_set import ImageSet
from sundog.data.mask_reader import COLUMN, ArrayMasks, ManifestMasks, MaskReader, mask_areas
from sundog.debias.alignment import Alignment, measure_alignment
from sundog.debias.chained_editor import ChainedEditor
from sundog.debias.component_editor import ComponentEditor
from sundog.debias.cue_editor import AgainstEditor
from sundog.debias.groups import make_groups
from sundog.debias.mask_editor import MaskEditor
from sundog.models.prepared import PreparedImages

PASTE_SEED = 0
"""Which images are judged with another class's cue, and whose, is the same for every model."""
LEAST_MASKED = 0.5
"""Share of a class's images with a mask of their own from which on masks are used."""
NAME = "judged by the audit"
"""Stands for the metadata column where the groups come from an audit."""


def with_audit(
    data: DebiasData, suppress: ToSuppress, tags: ConceptTags | None = None
) -> DebiasData:
    """Return the data with editors of the audit's cues, and groups to judge a repair by.

    Training images stay as they are. Unless groups were known before (a column), half of the
    validation and test images get the cue of another class, so that a model that goes by it is
    seen to fail; with confirmed concepts groups are class x concepts, too.

    Args:
        data: without editors of its own; those that it has are replaced.
        suppress: cues and findings.
        tags: of the findings, on the images of ``data`` in the order train, validation, test.

    Raises:
        InputError: a cue of classes that the data do not have, or one that cannot be moved.
    """
    notes = list(suppress.notes)
    parts = [data.train, data.validation, data.test]
    known = data.test.groups is not None
    if known and (tags is not None or suppress.cues):
        notes.append(f"Groups are those of column {data.column!r}, as without the audit.")
    components = [c for cue in suppress.cues for c in cue_components(cue)]
    speaks_for = _classes(suppress.cues, data.class_names)
    kinds: list[Int64[np.ndarray, "images"] | None] = [None, None, None]
    made: list[Part] = []
    for number, part in enumerate(parts):
        editor = _editor(part, components, speaks_for, suppress, tags)
        masks = _masks(part, editor)
        if number and components and not known and editor is not None:
            part, kinds[number] = _judged(part, editor, components, speaks_for)
        else:
            part = replace(part, editor=editor)
        made.append(replace(part, masks=masks))
    if components and not known:
        kinds[0] = np.zeros(len(made[0]), dtype=np.int64)
    _say_unplaced(suppress, made[0], notes, enough=bool(components) or tags is not None)
    found = replace(
        data,
        train=made[0],
        validation=made[1],
        test=made[2],
        notes=tuple(dict.fromkeys((*data.notes, *notes, *(tags.notes if tags else ())))),
    )
    return found if known else _with_groups(found, kinds, tags)


def _classes(cues: Sequence[CueRecord], class_names: Sequence[str]) -> list[int]:
    table = {plain_name(name): index for index, name in enumerate(class_names)}
    wanted = list(dict.fromkeys(name for cue in cues for name in cue.classes))
    missing = [name for name in wanted if plain_name(name) not in table]
    if missing:
        raise InputError(
            "The cues of the audit",
            expected="of classes that these images have",
            got=f"{missing[0]!r}",
            hint="The audit was made with other images or another classifier.",
        )
    return sorted(table[plain_name(name)] for name in wanted)


def _editor(
    part: Part,
    components: Sequence[Component],
    speaks_for: Sequence[int],
    suppress: ToSuppress,
    tags: ConceptTags | None,
) -> AgainstEditor | None:
    """Return what edits all cues and patches of a part, as far as their place is known there."""
    editors = list[AgainstEditor]()
    if components:
        editors.append(ComponentEditor(part.images, components, speaks_for=speaks_for))
    readers: list[MaskReader] = []
    for cue in suppress.cues:
        masks = (
            _table_masks(cue, suppress.cues_folder, part, speaks_for) if is_masked(cue) else None
        )
        if masks is not None:
            readers.append(masks)
    if tags is not None and tags.patches:
        size, resize = part.images.image_size, part.images.resize
        readers.append(PatchMasks(part.images.image_set, tags.patches, size=size, resize=resize))
    editors += [MaskEditor(part.images, r) for r in readers if bool((mask_areas(r) > 0).any())]
    if not editors:
        return None
    return editors[0] if len(editors) == 1 else ChainedEditor(editors)


def _say_unplaced(suppress: ToSuppress, train: Part, notes: list[str], *, enough: bool) -> None:
    """Note the cues whose place in the training images is not known; refuse if nothing else is."""
    unplaced = [cue.name for cue in suppress.cues if is_masked(cue)]
    if not unplaced or isinstance(train.editor, (MaskEditor, ChainedEditor)):
        return
    said = (
        f"The place of {unplaced[0]!r} is another in every image, and is known only in images that "
        "were audited"
    )
    if not enough:
        raise InputError(
            "The cue",
            expected="known in the training images",
            got=said,
            hint="Audit the training images, and mend by that audit.",
        )
    notes.append(f"Not mended: {said}; audit the training images to mend by it.")


def _masks(part: Part, editor: AgainstEditor | None) -> MaskReader | None:
    """Return where the cue is, if it is at one place in every image: what masks are asked for."""
    if not isinstance(editor, ComponentEditor):
        return editor.masks if isinstance(editor, MaskEditor) else None
    if editor.mask is None:
        return None
    mask = editor.mask.numpy()
    return ArrayMasks(np.broadcast_to(mask, (len(part), *mask.shape)))


def _judged(
    part: Part,
    editor: AgainstEditor,
    components: Sequence[Component],
    speaks_for: Sequence[int],
) -> tuple[Part, Int64[np.ndarray, "images"]]:
    """Return the part with another class's cue in half of its images, and which these are."""
    chosen = half_of(part.images.image_set, seed=PASTE_SEED)
    view = conflicting_view(part.images, editor, chosen, seed=PASTE_SEED)
    images = PreparedImages(view, size=part.images.image_size)
    again = ComponentEditor(images, components, speaks_for=speaks_for, donors=part.images)
    return replace(part, images=images, editor=again), chosen.astype(np.int64)


def _with_groups(
    data: DebiasData,
    kinds: Sequence[Int64[np.ndarray, "images"] | None],
    tags: ConceptTags | None,
) -> DebiasData:
    """Return the data with groups class x concepts x whose cue is shown, of what there is."""
    shown = any(kind is not None for kind in kinds)
    if tags is None and not shown:
        return data
    values = value_names_of(tags.names) if tags is not None else ("",)
    names = tuple(
        ", ".join(word for word in (value, kind) if word)
        for value in values
        for kind in (KINDS if shown else ("",))
    )
    parts, alignment = [], None
    for number, part in enumerate((data.train, data.validation, data.test)):
        kind = kinds[number]
        carried = None if tags is None else value_codes_of(tags.present[number])
        codes = np.zeros(len(part), dtype=np.int64) if carried is None else carried
        if shown:
            codes = codes * len(KINDS) + (0 if kind is None else kind)
        if carried is not None and number == 0:
            alignment = _alignment(part, carried, data.class_names, values)
        if number or carried is not None:  # in training images the cue is all that is known
            part = replace(
                part,
                attribute=codes,
                groups=make_groups(
                    part.labels, codes, class_names=data.class_names, attribute_names=names
                ),
            )
        parts.append(_agreeing(part, carried, alignment, values, data.class_names))
    return replace(
        data,
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        attribute_names=names,
        column=NAME,
        absent=0 if tags is not None else None,
        alignment=alignment,
    )


def _alignment(
    part: Part,
    carried: Int64[np.ndarray, "images"],
    class_names: Sequence[str],
    values: Sequence[str],
) -> Alignment | None:
    if len(np.unique(part.labels)) < 2 or len(np.unique(carried)) < 2:
        return None
    return measure_alignment(
        part.labels, carried, class_names=class_names, attribute_names=values, absent=0
    )


def _agreeing(
    part: Part,
    carried: Int64[np.ndarray, "images"] | None,
    alignment: Alignment | None,
    values: Sequence[str],
    class_names: Sequence[str],
) -> Part:
    """Return the part with the value that agrees with each label, as groups of a column have it."""
    if carried is None or alignment is None:
        return part
    agrees = {row.name: row.agrees_with for row in alignment.classes}
    wanted = np.array([values.index(agrees[c]) if agrees[c] else -1 for c in class_names])
    return replace(part, raw=carried, agreeing=wanted[part.labels])


def _table_masks(
    cue: CueRecord, folder: Path | None, part: Part, speaks_for: Sequence[int]
) -> MaskReader | None:
    """Return the masks that the audit kept for each image, if most of these images have one."""
    files = mask_files(cue, folder)
    images = part.images.image_set
    carrying: Bool[np.ndarray, "images"] = np.array([i in files for i in images.ids], dtype=bool)
    own = np.isin(part.labels, list(speaks_for))
    if folder is None or not own.any() or carrying[own].mean() < LEAST_MASKED:
        return None
    named = ImageSet(
        name=images.name,
        class_names=images.class_names,
        labels=images.labels,
        ids=images.ids,
        sources=images.sources,
        read=images.image,
        metadata=pd.DataFrame({COLUMN: [files.get(i, "") for i in images.ids]}),
    )
    return ManifestMasks(named, folder, size=part.images.image_size, resize=part.images.resize)
