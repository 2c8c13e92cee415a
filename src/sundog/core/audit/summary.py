"""``audit.json``: everything that one audit found, in one file; the report reads nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd
from pydantic import Field

from sundog.core.audit.cues import CueRecord, CueTest
from sundog.core.audit.measured import Measured
from sundog.core.inspection.finding import Finding
from sundog.core.inspection.query import ImageCard
from sundog.core.inspection.record import FileRecord, Record
from sundog.core.notebook import Card, card_html

AUDIT_FILE = "audit.json"
StageStatus = Literal["done", "failed", "skipped"]


class Stage(Record):
    """One stage of an audit.

    Attributes:
        name: ``performance``, ``concepts``, ``findings``, ``cues``, ``explanations``, ``risk``, ...
        status: whether it finished.
        seconds: wall time of the run that finished it.
        peak_mib: peak resident memory of the process during it.
        planned_seconds: as the plan estimated; None if it could not.
        message: of the error, or why it was skipped.
    """

    name: str
    status: StageStatus
    seconds: float = 0.0
    peak_mib: float | None = None
    planned_seconds: float | None = None
    message: str = ""


class Group(Record):
    """A class, or the images of a class with one metadata value.

    Attributes:
        column: ``class`` or the metadata column.
        name: of the group.
        n: images.
        accuracy: share right.
        ece: expected calibration error, lower is better; None where n is too small.
        small: whether the group is too small to tell.
    """

    column: str
    name: str
    n: int
    accuracy: Measured
    ece: Measured | None = None
    small: bool = False


class Performance(Record):
    """How well the classifier does.

    Attributes:
        accuracy: of all images.
        groups: classes first, then metadata groups.
        worst: name and accuracy of the worst group with enough images, selection accounted for.
        gap: best - worst group, simultaneous interval.
        ece: expected calibration error of all images.
        confusions: (label, predicted, count) of the most frequent errors.
    """

    accuracy: Measured
    groups: tuple[Group, ...] = ()
    worst: Group | None = None
    gap: Measured | None = None
    ece: Measured | None = None
    confusions: tuple[tuple[str, str, int], ...] = ()


class MethodScore(Record):
    """Faithfulness of one attribution method; controls are among them.

    Attributes:
        method: name.
        deletion: area under the deletion curve, lower is better.
        insertion: area under the insertion curve, higher is better.
        control: whether it is a control row (random, centre, ...).
        better_than_random: whether its paired deletion difference to random excludes 0 in favour.
    """

    method: str
    deletion: Measured | None = None
    insertion: Measured | None = None
    control: bool = False
    better_than_random: bool = False


class Explanations(Record):
    """Which maps to believe.

    Attributes:
        scores: one per method.
        most_faithful: method, or empty if none is shown to beat the controls.
        images: explained.
        pictures: files in the run folder.
    """

    scores: tuple[MethodScore, ...] = ()
    most_faithful: str = ""
    images: int = 0
    pictures: tuple[str, ...] = ()


class Suspect(Record):
    """One image that deserves a look.

    Attributes:
        id: content hash.
        source: path or name.
        label: its label.
        predicted: what the classifier says.
        score: the risk that put it here.
        thumbnail: file in the run folder, or None.
        why: in words, e.g. ``label may be wrong``.
    """

    id: str
    source: str
    label: str
    predicted: str
    score: float
    thumbnail: str | None = None
    why: str = ""


class Risk(Record):
    """Where the classifier is unsure.

    Attributes:
        methods: that were fitted.
        rarest: accuracy of the rarest tenth of the images.
        commonest: accuracy of the commonest tenth.
        detection: name of risk -> AUROC of finding errors, higher is better.
        outliers: rarest images.
        label_errors: images whose label may be wrong.
        groups: worst group by risk, in words.
    """

    methods: tuple[str, ...] = ()
    rarest: Measured | None = None
    commonest: Measured | None = None
    detection: dict[str, Measured] = Field(default_factory=dict)
    outliers: tuple[Suspect, ...] = ()
    label_errors: tuple[Suspect, ...] = ()
    groups: tuple[str, ...] = ()


class Change(Record):
    """One number before and after, on the same images.

    Attributes:
        what: e.g. ``accuracy``, ``accuracy of tench with orange marks``, ``reliance on ...``.
        kind: ``slice`` (frozen images of the first audit), ``cue``, ``overall``, ``group``.
        before: in the first audit.
        after: in this one.
        difference: after - before, paired where the images are the same.
        better: ``higher`` or ``lower``.
    """

    what: str
    kind: Literal["overall", "group", "slice", "cue"]
    before: Measured
    after: Measured
    difference: Measured
    better: Literal["higher", "lower"] = "higher"


class AuditSummary(FileRecord):
    """The whole answer of one audit.

    Attributes:
        title: what was audited.
        answer: three sentences: what it looks at and can be trusted; where it is biased; what to
            do.
        verdict: ``bias found``, ``no bias found`` or ``cannot tell``.
        classifier: its name.
        image_set: its name.
        class_names: of the classifier.
        facts: what is known of images and classifier (name -> text).
        stages: in order.
        performance: by class and group.
        findings: significant slices, with the verdicts people gave (``verdicts``).
        verdicts: finding or cue id -> majority verdict.
        judged_before: finding or cue id -> what the reviewers of an earlier audit said of it, where
            that was no bias: it is left out of the verdict, and still listed.
        tested_concepts: concepts looked at, and tests made.
        smallest_detectable: smallest gap of a concept carried by half a class that would have
            shown with 80 % power, per class.
        cues: claimed cues.
        cue_tests: every candidate tested.
        cue_notes: limits of the search for cues.
        explanations: faithfulness.
        risk: rare, unsure and mislabelled images.
        before: title and hash of the audit that this one is compared with, or None.
        changes: before and after.
        pictures: finding or cue id -> picture files in the run folder.
        images: key of the findings' evidence -> card, thumbnails as files in the run folder; with
            them the pictures of a finding are shown with and without the concept.
        limits: what this audit cannot say.
        duties: what a person must add: field -> text, from the user's answers file, if any.
        manifest: versions, hashes, seeds, device, command, created.
    """

    format: Literal["sundog-audit"] = "sundog-audit"
    version: Literal[1] = 1
    title: str
    answer: tuple[str, str, str]
    verdict: Literal["bias found", "no bias found", "cannot tell"]
    classifier: str
    image_set: str
    class_names: tuple[str, ...] = ()
    facts: dict[str, str] = Field(default_factory=dict)
    stages: tuple[Stage, ...] = ()
    performance: Performance | None = None
    findings: tuple[Finding, ...] = ()
    verdicts: dict[str, str] = Field(default_factory=dict)
    judged_before: dict[str, str] = Field(default_factory=dict)
    tested_concepts: dict[str, int] = Field(default_factory=dict)
    smallest_detectable: dict[str, float | None] = Field(default_factory=dict)
    cues: tuple[CueRecord, ...] = ()
    cue_tests: tuple[CueTest, ...] = ()
    cue_notes: tuple[str, ...] = ()
    explanations: Explanations | None = None
    risk: Risk | None = None
    before: dict[str, str] | None = None
    changes: tuple[Change, ...] = ()
    pictures: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    images: dict[str, ImageCard] = Field(default_factory=dict)
    limits: tuple[str, ...] = ()
    duties: dict[str, str] = Field(default_factory=dict)
    manifest: dict[str, Any] = Field(default_factory=dict)

    def _repr_html_(self) -> str:
        tones = {"bias found": "alarm", "no bias found": "calm"}
        first, second, third = self.answer
        tables = [
            ("Cues that predictions follow", _cue_table(self.cues)),
            ("Findings", _finding_table(self.findings)),
        ]
        card = Card(
            headline=first,
            word=self.verdict,
            tone=tones.get(self.verdict, "unsure"),
            facts={"Where": second, "What to do": third},
            tables=[(caption, frame) for caption, frame in tables if len(frame)],
            notes=[self.title],
        )
        return card_html(type(self).__name__, card)


def _cue_table(cues: Sequence[CueRecord]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "cue": cue.name,
                "classes": ", ".join(cue.classes),
                "flip": cue.flip.estimate(),
                "control": cue.control.estimate(),
                "p adjusted": cue.p_adjusted,
            }
            for cue in cues
        ]
    )


def _finding_table(findings: Sequence[Finding]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "class": finding.class_name or "all classes",
                "concepts": " + ".join(finding.concepts),
                "gap": finding.effect.gap,
                "low": finding.effect.low,
                "high": finding.effect.high,
                "p adjusted": finding.p_adjusted,
            }
            for finding in findings
        ]
    )
