"""Before and after: what a later audit finds on the slices and pairs that an earlier one froze."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sundog.audit.align import plain_name
from sundog.audit.audit_changes_numbers import cue_changes, slice_changes
from sundog.audit.audit_folder import paired_changes
from sundog.audit.audit_verdicts import made_claims, read_verdicts
from sundog.audit.frozen_files import (
    PAIR_COLUMNS,
    PAIRS_FILE,
    SLICE_COLUMNS,
    SLICES_FILE,
    read_frame,
    read_outcomes,
)
from sundog.audit.frozen_pairs import measure_again
from sundog.audit.subject import Subject
from sundog.core.audit.summary import AUDIT_FILE, AuditSummary, Change
from sundog.core.notebook import Card, InNotebook
from sundog.core.progress import track
from sundog.core.statistics.estimate import check_level
from sundog.report.phrases import counted

FEWEST = 10
"""Images of a slice, or pairs of a cue, that both audits must have for a change to be told."""
KINDS = ("slice", "cue")


@dataclass(frozen=True, repr=False)
class BeforeAfter(InNotebook):
    """How a classifier changed since an earlier audit.

    Attributes:
        changes: overall, by class, by frozen slice, by cue; intervals of a kind hold together.
        notes: what could not be compared, in sentences.
        before: title, folder and hash of the earlier audit.
    """

    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    before: dict[str, str]

    def _card(self) -> Card:
        rows = [
            {
                "what": change.what,
                "before": change.before.estimate(),
                "after": change.after.estimate(),
                "difference": change.difference.estimate(),
            }
            for change in self.changes
        ]
        since = self.before.get("title", "an earlier audit")
        return Card(
            headline=f"{counted(len(rows), 'number')} before and after, since {since}",
            word="Before and after",
            tables=[("On the same images", pd.DataFrame(rows))] if rows else [],
            notes=self.notes,
        )


def changes_since(
    before: str | Path,
    after: str | Path,
    *,
    subject: Subject | None = None,
    level: float = 0.95,
    progress: bool | None = None,
) -> tuple[Change, ...]:
    """Return the changes alone; see :func:`before_and_after`."""
    return before_and_after(before, after, subject=subject, level=level, progress=progress).changes


def before_and_after(
    before: str | Path,
    after: str | Path,
    *,
    subject: Subject | None = None,
    level: float = 0.95,
    progress: bool | None = None,
) -> BeforeAfter:
    """Compare two audits on the images, slices and cue pairs of the first.

    Accuracy overall and by class on the images that both saw; for each frozen finding the accuracy
    of the images with the concept and the gap to those without it; for each old cue the share of
    predictions that follow it and the accuracy that hangs on it, with the same component, images
    and donors under the classifier of now. Differences are paired. Intervals of the differences
    are divided over the slices (over the cues) that are told (Bonferroni), so that they hold
    together; those of before and after stand at ``level`` alone.

    Args:
        before: folder of the earlier audit.
        after: folder of this audit; its predictions must be there.
        subject: the images of this audit and its classifier; None: cues are not measured again.
        level: confidence level.
        progress: None shows it on a terminal.

    Raises:
        RunFolderError: a table or record that cannot be read.
        InputError: a level outside (0, 1).
    """
    level = check_level(level)
    first, second = Path(before), Path(after)
    notes: list[str] = []
    changes = list(_accuracy(first, second, subject, notes))
    changes += _slices(first, second, subject, level, notes)
    changes += _cues(first, subject, level, notes, progress)
    return BeforeAfter(changes=tuple(changes), notes=tuple(notes), before=_identity(first))


def _accuracy(
    first: Path, second: Path, subject: Subject | None, notes: list[str]
) -> Sequence[Change]:
    old, new = read_outcomes(first), read_outcomes(second)
    if old is None or new is None:
        notes.append("One of the two audits kept no predictions: nothing can be compared.")
        return []
    shared = set(old["id"]) & set(new["id"])
    if len(shared) < max(len(old), len(new)):
        notes.append(
            f"The audits were of {len(old)} and {len(new)} images, of which {len(shared)} are the "
            "same; only these are compared."
        )
    names = _class_names(first, subject)
    there, here = _class_names(first, None), _class_names(second, subject)
    if there and here and _plain(there) != _plain(here):
        notes.append("The classes of the two audits differ: accuracies are not compared.")
        return []
    return paired_changes(first, second, class_names=names)


def _slices(
    first: Path, second: Path, subject: Subject | None, level: float, notes: list[str]
) -> list[Change]:
    frozen, new = read_frame(first / SLICES_FILE, SLICE_COLUMNS), read_outcomes(second)
    if frozen is None or new is None:
        if frozen is None:
            notes.append("The earlier audit froze no slices; its findings are not compared.")
        return []
    findings = {f.id: f for f in read_verdicts(first).findings}
    both = frozen.merge(
        new.rename(columns={"id": "image"}),
        on="image",
        suffixes=("_before", "_after"),
    )
    if subject is not None:
        names = pd.Series([plain_name(subject.class_names[i]) for i in both["label_after"]])
        same = (both["label_before"].astype(str).map(plain_name) == names) | (
            both["label_before"] == ""
        )
        both = both[same.to_numpy(dtype=bool)]
    told = []
    for identity, rows in both.groupby("finding", sort=False):
        present = rows["present"].to_numpy(dtype=bool)
        if str(identity) in findings and min(present.sum(), (~present).sum()) >= FEWEST:
            told.append((findings[str(identity)], rows))
    lost = frozen["finding"].nunique() - len(told)
    if lost:
        notes.append(
            f"{lost} of {frozen['finding'].nunique()} slices have fewer than {FEWEST} images of "
            "either side in both audits and are not compared."
        )
    return [
        change
        for finding, rows in told
        for change in slice_changes(finding, rows, level=level, tests=2 * len(told))
    ]


def _cues(
    first: Path, subject: Subject | None, level: float, notes: list[str], progress: bool | None
) -> list[Change]:
    if not made_claims(first):
        return []
    frozen = read_frame(first / PAIRS_FILE, PAIR_COLUMNS)
    verdicts = read_verdicts(first)
    cues = verdicts.cues
    if not cues:
        return []
    if frozen is None or subject is None:
        what = "froze no pairs" if frozen is None else "has cues, but no classifier was given"
        notes.append(f"The earlier audit {what}: its cues were not measured again.")
        return []
    told = []
    for cue in track(cues, description="old cues", total=len(cues), visible=progress):
        rows = frozen[frozen["cue"] == cue.id]
        then, now = measure_again(cue, subject, rows, folder=verdicts.cues_folder)
        if len(now) >= FEWEST:
            told.append((cue, then, now))
        if len(now) < len(rows) or not len(rows):
            notes.append(
                f"Of {len(rows)} pairs of the cue '{cue.name}', {len(now)} could be measured again"
                + ("." if len(now) >= FEWEST else "; that is too few.")
            )
    return [
        change
        for cue, then, now in told
        for change in cue_changes(cue, then, now, level=level, tests=2 * len(told))
    ]


def _identity(folder: Path) -> dict[str, str]:
    file = folder / AUDIT_FILE
    if not file.is_file():
        return {"title": folder.name, "run": str(folder)}
    summary = AuditSummary.read(file)
    return {"title": summary.title, "run": str(folder), "hash": summary.content_hash()}


def _class_names(folder: Path, subject: Subject | None) -> tuple[str, ...]:
    if subject is not None:
        return subject.class_names
    file = folder / AUDIT_FILE
    return AuditSummary.read(file).class_names if file.is_file() else ()


def _plain(names: Sequence[str]) -> list[str]:
    return [plain_name(name) for name in names]
