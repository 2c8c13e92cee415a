"""The slices and cue pairs of an audit, frozen: a later audit is asked about the very same images.

::

    RUN/frozen_slices.parquet   finding, image, present, label, correct, confidence
    RUN/frozen_pairs.parquet    cue, image, other, same, label, goal,
                                flips, control, intact, swapped

``present``: the side of the finding that the image is on. ``other`` and ``same`` gave their
component to ``image``, whose class is ``label``; ``goal`` is the class of ``other``. What came of
it under the audited classifier is in the last four columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from sundog.audit.audit_verdicts import CUES, INSPECT
from sundog.audit.frozen_files import PAIR_COLUMNS, PAIRS_FILE, SLICES_FILE, read_outcomes
from sundog.audit.frozen_pairs import draw_cue_pairs, measure_pairs
from sundog.audit.subject import Subject
from sundog.core.audit.cues import CUES_FILE, Cues
from sundog.core.files import write_table
from sundog.core.inspection.query import QUERY_FILE, Query
from sundog.core.progress import track
from sundog.core.seeds import derive_seed

MOST_FINDINGS = 200
MOST_IMAGES = 2000
"""Images of either side of a finding; more are drawn from."""
MOST_CUES = 20
PAIRS = 200
"""Pairs of each cue: three passes through the classifier for two of them."""


def freeze_slices(
    run: str | Path, subject: Subject | None = None, *, seed: int = 0, progress: bool | None = None
) -> tuple[Path, ...]:
    """Write which images an audit's findings and cues were about, and how they fared.

    Of each finding all images of either side are kept, at most 2,000, drawn by (seed, image); of
    each claimed cue 200 pairs, dealt out over its classes. Nothing is done twice: files that are
    there stay as they are, since they are what a later audit is compared with.

    Args:
        run: folder of an audit, with its inspection and its search for cues, as far as they ran.
        subject: the audited images and classifier, for the cues; None: only findings are frozen.
        seed: of all draws.
        progress: None shows it on a terminal.

    Returns:
        The files that are there.

    Raises:
        RunFolderError: a table of the audit that cannot be read.
    """
    root = Path(run)
    slices, pairs = root / SLICES_FILE, root / PAIRS_FILE
    if not slices.is_file():
        frame = _slices(root, () if subject is None else subject.class_names, seed)
        if frame is not None:
            write_table(slices, frame)
    if not pairs.is_file() and subject is not None and (root / CUES / CUES_FILE).is_file():
        write_table(pairs, _pairs(root, subject, seed, progress))
    return tuple(file for file in (slices, pairs) if file.is_file())


def _slices(root: Path, class_names: Sequence[str], seed: int) -> pd.DataFrame | None:
    folder = root / INSPECT
    file = folder / "tables" / "slices.parquet"
    outcomes = read_outcomes(folder)
    if not file.is_file() or outcomes is None or not (folder / QUERY_FILE).is_file():
        return None
    query = Query.read(folder / QUERY_FILE)
    kept = [f.id for f in query.findings if f.kind != "cue" and f.significant][:MOST_FINDINGS]
    sides = pd.read_parquet(file, columns=["finding", "image", "present"])
    parts = [
        _drawn(side, seed)
        for identity in kept
        for _, side in sides[sides["finding"] == identity].groupby("present")
    ]
    frame = pd.concat(parts, ignore_index=True) if parts else sides.iloc[:0]
    table = outcomes.rename(columns={"id": "image"}).assign(
        label=[class_names[i] if class_names else "" for i in outcomes["label"].tolist()]
    )
    return frame.merge(table[["image", "label", "correct", "confidence"]], on="image", how="inner")


def _drawn(side: pd.DataFrame, seed: int) -> pd.DataFrame:
    if len(side) <= MOST_IMAGES:
        return side
    images = side["image"].astype(str).tolist()
    order = sorted(range(len(side)), key=lambda i: derive_seed(seed, "slice", images[i]))
    return side.iloc[np.sort(order[:MOST_IMAGES])]


def _pairs(root: Path, subject: Subject, seed: int, progress: bool | None) -> pd.DataFrame:
    cues = Cues.read(root / CUES / CUES_FILE).claimed[:MOST_CUES]
    outcomes = read_outcomes(root / INSPECT)
    right = _right(subject, outcomes)
    parts = []
    for cue in track(cues, description="pairs of cues", total=len(cues), visible=progress):
        drawn = draw_cue_pairs(cue, subject, right, folder=root / CUES, most=PAIRS, seed=seed)
        if len(drawn):
            parts.append(measure_pairs(cue, subject, drawn, folder=root / CUES))
    columns = list(PAIR_COLUMNS)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _right(subject: Subject, outcomes: pd.DataFrame | None) -> Bool[np.ndarray, "images"]:
    """Return ``bool[images]``: what the classifier gets right, all of them if that is not known."""
    if outcomes is None:
        return np.ones(len(subject.labels), dtype=bool)
    right = set(outcomes.loc[outcomes["correct"], "id"])
    return np.array([image in right for image in subject.image_set.ids], dtype=bool)
