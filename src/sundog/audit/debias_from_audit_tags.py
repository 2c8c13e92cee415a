"""Confirmed concepts on the images of a debiasing run: tagged again, by the taggers of the audit.

What taggers learn (patches, clusters) and where their thresholds lie depends on the images they
saw. Where the audited images are among those of the run, taggers are fitted to exactly these, so
that the tags are those that were judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float32, Int64

from sundog.audit.subject import Subject
from sundog.audit.taggers import make_taggers
from sundog.concepts.patch_place import patch_mask
from sundog.concepts.patches import PatchTagger
from sundog.concepts.patches_learn import Patch
from sundog.concepts.tag_images import tag_images
from sundog.concepts.tag_scores import TagScores, join_scores
from sundog.concepts.tagger import Tagger
from sundog.core.errors import DataError, InputError
from sundog.core.inspection.finding import Finding
from sundog.data.content import Pixels
from sundog.data.image_set import ImageSet
from sundog.data.mask_reader import KeptMasks
from sundog.data.transforms import Resize, resize_image

AT_HAND = 0.95
"""Share of the audited images that must be among the run's for taggers to be fitted to them."""


@dataclass(frozen=True, eq=False)
class ConceptTags:
    """Which images carry the concepts of each finding.

    Attributes:
        names: one per finding, e.g. ``night + rain``.
        present: per image set ``bool[images, findings]``.
        patches: tags of the findings that are local patches.
        notes: how the tags were made.
    """

    names: tuple[str, ...]
    present: tuple[Bool[np.ndarray, "images findings"], ...]
    patches: tuple[Patch, ...]
    notes: tuple[str, ...]


def tag_findings(
    findings: Sequence[Finding],
    sets: Sequence[ImageSet],
    *,
    taggers: str,
    subject: Subject | None,
    audited: Sequence[str] = (),
    seed: int = 0,
    batch_size: int = 32,
    progress: bool | None = None,
) -> ConceptTags:
    """Return which images of each set carry all concepts of each finding.

    Args:
        findings: of an audit.
        sets: of the run: training, validation, test images.
        taggers: names with parameters, as for the audit.
        subject: classifier and images, for taggers that need them; None: without.
        audited: ids of the audited images, in their order.
        seed: of the audit.
        batch_size: images per call of a tagger.
        progress: None shows it on a terminal.

    Raises:
        InputError: a concept that the taggers do not have for these images.
    """
    union = _joined(sets)
    place = {image: row for row, image in reversed(list(enumerate(union.ids)))}
    known = [place[image] for image in audited if image in place]
    near = bool(audited) and len(known) >= AT_HAND * len(audited)
    rows = np.array(known if near else range(len(union)), dtype=np.int64)
    base = union.subset(rows)
    ready = [
        one if one.fitted else one.fit(base, seed=seed, progress=progress)
        for one in make_taggers(taggers, subject)[0]
    ]
    columns = _columns(ready, findings)
    scores: dict[int, tuple[Float32[np.ndarray, "images tags"], np.ndarray]] = {}
    for number in sorted({tagger for tagger, _ in columns.values()}):
        found = tag_images(
            union, [ready[number]], batch_size=batch_size, seed=seed, progress=progress
        ).scores
        scores[number] = (found, ready[number].calibrate(found[rows]))
    carried = {
        concept: scores[tagger][0][:, column] >= scores[tagger][1][column]
        for concept, (tagger, column) in columns.items()
    }
    present = np.stack(
        [np.all([carried[c] for c in finding.concepts], axis=0) for finding in findings], axis=1
    )
    ends = np.cumsum([0, *(len(one) for one in sets)])
    return ConceptTags(
        names=tuple(" + ".join(finding.concepts) for finding in findings),
        present=tuple(present[a:b] for a, b in pairwise(ends)),
        patches=_patches(ready, columns, findings),
        notes=(
            "Concepts were tagged again, by taggers fitted to "
            + ("the audited images." if near else "the images of this run."),
        ),
    )


class PatchMasks(KeptMasks):
    """Where patches lie in each image of a set; an image without any has an empty mask.

    Args:
        image_set: the images.
        patches: of a fitted tagger.
        size: (height, width) in pixels.
        resize: as for the images.
    """

    def __init__(
        self,
        image_set: ImageSet,
        patches: Sequence[Patch],
        *,
        size: tuple[int, int],
        resize: Resize = "pad",
    ) -> None:
        super().__init__(len(image_set), size)
        self._image_set, self._patches, self._resize = image_set, tuple(patches), resize

    def _read(self, index: int) -> Bool[np.ndarray, "height width"]:
        try:
            pixels = self._image_set.image(index)
        except DataError:  # the set lists it as skipped
            return np.zeros(self.image_size, dtype=bool)
        mask = np.any([patch_mask(patch, pixels) for patch in self._patches], axis=0)
        shown = np.repeat((mask * 255).astype(np.uint8)[:, :, None], 3, axis=2)
        found: Bool[np.ndarray, "height width"] = (
            resize_image(shown, self.image_size, resize=self._resize)[0].numpy() >= 0.5
        )
        return found


def audited_ids(inspect_folder: Path) -> tuple[str, ...]:
    """Return the ids of the images of an inspection, in the order of its image set."""
    file = inspect_folder / "tables" / "predictions.parquet"
    if not file.is_file():
        return ()
    frame = pd.read_parquet(file, columns=["index", "id"]).sort_values("index")
    return tuple(frame["id"].astype(str))


def _joined(sets: Sequence[ImageSet]) -> ImageSet:
    """Return the images of several sets of the same classes, one after the other."""
    owner = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
    starts = np.cumsum([0, *(len(one) for one in sets)])

    def read(row: int) -> Pixels:
        number = int(owner[row])
        return sets[number].image(row - int(starts[number]))

    return ImageSet(
        name=sets[0].name,
        class_names=sets[0].class_names,
        labels=np.concatenate([one.labels for one in sets]),
        ids=[image for one in sets for image in one.ids],
        sources=[source for one in sets for source in one.sources],
        read=read,
        metadata=pd.concat([one.metadata for one in sets], ignore_index=True),
    )


def _columns(ready: Sequence[Tagger], findings: Sequence[Finding]) -> dict[str, tuple[int, int]]:
    """Return concept -> (tagger, its column); names are joined as an inspection joins them."""
    empty = [
        TagScores(
            tagger=one.name,
            identity="",
            names=one.tag_names,
            thresholds=np.zeros(len(one.tag_names), np.float32),
            scores=np.zeros((0, len(one.tag_names)), np.float32),
            ids=(),
        )
        for one in ready
    ]
    places = [(i, column) for i, one in enumerate(ready) for column in range(len(one.tag_names))]
    table = dict(zip(join_scores(empty).names, places, strict=True))
    wanted = list(dict.fromkeys(c for finding in findings for c in finding.concepts))
    missing = [concept for concept in wanted if concept not in table]
    if missing:
        raise InputError(
            f"Concept {missing[0]!r}",
            expected=f"a tag of the taggers {', '.join(one.name for one in ready)}",
            got=f"{len(table)} others for the images of this run",
            hint="Give the taggers of the audit with their parameters (--taggers). What 'patches' "
            "and 'clusters' learn has other names on other images: debias with the audited ones "
            "among them, or by the cues alone.",
        )
    return {concept: table[concept] for concept in wanted}


def _patches(
    ready: Sequence[Tagger], columns: dict[str, tuple[int, int]], findings: Sequence[Finding]
) -> tuple[Patch, ...]:
    """Return the patches among single concepts: masks of a combination would hide too much."""
    found = []
    for finding in findings:
        number, column = columns[finding.concepts[0]]
        tagger = ready[number]
        if len(finding.concepts) == 1 and isinstance(tagger, PatchTagger):
            found.append(tagger.patches[column])
    return tuple(found)


def value_codes_of(
    present: Bool[np.ndarray, "images findings"],
) -> Int64[np.ndarray, "images"]:
    """Return one code per image: bit k is set where finding k's concepts are."""
    weights = 2 ** np.arange(present.shape[1])
    return np.asarray(present.astype(np.int64) @ weights, dtype=np.int64)


def value_names_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return the name of each code of :func:`value_codes_of`."""
    found = []
    for code in range(2 ** len(names)):
        there = [name for k, name in enumerate(names) if code >> k & 1]
        missing = "without" if len(names) == 1 else "none"
        found.append(" and ".join(there) if there else missing)
    return tuple(found)
