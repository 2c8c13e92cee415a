"""``comparison.json`` of models compared without a known cue, and of two audits of one model."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sundog.core.audit.cues import CueRecord, CueTest
from sundog.core.audit.measured import Measured
from sundog.core.audit.summary import Change
from sundog.core.inspection.finding import Finding
from sundog.core.inspection.record import FileRecord, Record

COMPARISON_FILE = "comparison.json"


class ModelVerdict(Record):
    """What is said of one model.

    Attributes:
        run: its id.
        verdict: ``biased``, ``no shortcut found`` or ``cannot tell``.
        sentence: with the numbers behind it.
        confidence: calibrated probability that it is biased; None if nothing is calibrated.
        accuracy: on all images, as they are.
        loss: mean cross-entropy on them.
        cues: claimed in it, strongest first; pictures are relative to the comparison's folder.
        tests: that its search made.
        strongest: its test that came nearest to a claim without being one.
        detectable: smallest pull that the typical test of its search would have found with 80 %
            power; None if it could test nothing.
        images: that its search used.
        notes: of its search.
    """

    run: str
    verdict: Literal["biased", "no shortcut found", "cannot tell"]
    sentence: str
    confidence: float | None = None
    accuracy: Measured
    loss: Measured
    cues: tuple[CueRecord, ...] = ()
    tests: int = 0
    strongest: CueTest | None = None
    detectable: float | None = None
    images: int = 0
    notes: tuple[str, ...] = ()


class CueOnModel(Record):
    """What one cue does to one model; fields as in :class:`sundog.bias.pair_cues.RunOnCue`.

    ``pull`` is beyond that of parts of the same size elsewhere in the same images.
    """

    run: str
    flip: Measured
    control: Measured
    excess: Measured
    intact: Measured
    swapped: Measured
    reliance: Measured
    pull: Measured


class CueContrast(Record):
    """How much more ``first`` follows and needs a cue than ``second``; p are Holm-corrected."""

    first: str
    second: str
    excess: Measured
    reliance: Measured
    p_excess: float
    p_reliance: float


class CrossedRecord(Record):
    """A claimed cue, tested on every model with the same images and donors.

    Attributes:
        cue: id of the claimed cue.
        name: a few words.
        classes: that it speaks for.
        claimed_in: runs.
        margin: pull that sound models show without any cue.
        models: what it does to each.
        contrasts: between every two.
    """

    cue: str
    name: str
    classes: tuple[str, ...] = ()
    claimed_in: tuple[str, ...]
    margin: float
    models: tuple[CueOnModel, ...]
    contrasts: tuple[CueContrast, ...]


class MapMean(Record):
    """The mean of one measure of one method's maps of one model."""

    method: str
    measure: str
    run: str
    mean: Measured


class MapContrast(Record):
    """The paired difference of a measure between two models; p are Holm-corrected."""

    method: str
    measure: str
    first: str
    second: str
    difference: Measured
    p: float | None
    p_sign: float | None
    wins: int
    losses: int


class MapLikeness(Record):
    """How alike the maps of two models are: rank correlation, overlap of the top 5 %."""

    method: str
    first: str
    second: str
    correlation: Measured
    overlap: Measured


class MapsSay(Record):
    """All statistics of the maps.

    Attributes:
        images: explained.
        means: per method, measure and model.
        contrasts: per method, measure and pair.
        likeness: per method and pair.
        points_at: method -> the model that its maps are more concentrated or fixed in, or None.
        agrees: method -> whether that is the model that the causal tests name; None where they
            name none or several, or cannot tell.
        notes: what was left out.
    """

    images: int
    means: tuple[MapMean, ...] = ()
    contrasts: tuple[MapContrast, ...] = ()
    likeness: tuple[MapLikeness, ...] = ()
    points_at: dict[str, str | None] = Field(default_factory=dict)
    agrees: dict[str, bool | None] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class FindingLists(Record):
    """The findings of two inspections, laid side by side.

    Attributes:
        first: a run.
        second: another.
        shared: in both.
        only_first: in the first alone.
        only_second: in the second alone.
    """

    first: str
    second: str
    shared: tuple[tuple[Finding, Finding], ...] = ()
    only_first: tuple[Finding, ...] = ()
    only_second: tuple[Finding, ...] = ()


class TrainingRow(Record):
    """What a model's training run recorded; None = not recorded.

    Attributes:
        run: its id.
        arguments: hyper-parameters, as text.
        cue: planted in its training images, or that it was evaluated with.
        trained_with_cue: whether the training images carried it.
        accuracy_off: of its last evaluation without the cue.
        accuracy_on: with it.
        loss_off: mean cross-entropy without the cue.
        loss_on: with it.
        n: images of that evaluation.
    """

    run: str
    arguments: dict[str, str] = Field(default_factory=dict)
    cue: str | None = None
    trained_with_cue: bool | None = None
    accuracy_off: float | None = None
    accuracy_on: float | None = None
    loss_off: float | None = None
    loss_on: float | None = None
    n: int | None = None


class ModelComparison(FileRecord):
    """The whole answer of ``sundog compare`` without a known cue.

    Attributes:
        runs: in the order given.
        decision: ``one``, ``several``, ``all``, ``none`` or ``cannot tell``.
        biased: the runs that are.
        more: the run that is more biased than every other, or None.
        sentence: the verdict.
        models: one per run.
        crossed: every claimed cue on every model.
        accuracy: (first - second) on all images, paired, per pair of runs ``A − B``.
        maps: evidence shown beside; None without maps.
        findings: finding lists matched, per pair of runs that have an inspection.
        training: what the training runs recorded.
        smallest: pull below which a cue does not matter.
        alpha: bound of the probability of any false claim over all models.
        images: of the image set.
        class_names: of the classifiers.
        calibrated: what the confidence was fitted on; empty if there is none.
        notes: limits.
    """

    format: Literal["sundog-model-comparison"] = "sundog-model-comparison"
    version: Literal[1] = 1
    runs: tuple[str, ...]
    decision: Literal["one", "several", "all", "none", "cannot tell"]
    biased: tuple[str, ...] = ()
    more: str | None = None
    sentence: str
    models: tuple[ModelVerdict, ...]
    crossed: tuple[CrossedRecord, ...] = ()
    accuracy: dict[str, Measured] = Field(default_factory=dict)
    maps: MapsSay | None = None
    findings: tuple[FindingLists, ...] = ()
    training: tuple[TrainingRow, ...] = ()
    smallest: float
    alpha: float
    images: int
    class_names: tuple[str, ...] = ()
    calibrated: dict[str, Any] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class MatchedFindings(Record):
    """Findings of a first audit (fixed), of both (remaining) and of the second alone (new)."""

    fixed: tuple[Finding, ...] = ()
    remaining: tuple[tuple[Finding, Finding], ...] = ()
    new: tuple[Finding, ...] = ()


class MatchedCues(Record):
    """Cues of a first audit (fixed), of both (remaining) and of the second alone (new)."""

    fixed: tuple[CueRecord, ...] = ()
    remaining: tuple[tuple[CueRecord, CueRecord], ...] = ()
    new: tuple[CueRecord, ...] = ()


class AuditComparison(FileRecord):
    """Two audits of one model, before and after a change.

    Attributes:
        before: title of the first.
        after: title of the second.
        hashes: content hashes of both.
        same_images: whether both audits saw the same images.
        same_model: whether the weights are the same; None if not recorded.
        sentence: what changed.
        outcome: ``better``, ``worse``, ``mixed`` or ``no change shown``.
        changes: numbers before and after; intervals hold together.
        findings: matched.
        cues: matched.
        notes: limits.
    """

    format: Literal["sundog-audit-comparison"] = "sundog-audit-comparison"
    version: Literal[1] = 1
    before: str
    after: str
    hashes: tuple[str, str]
    same_images: bool
    same_model: bool | None = None
    sentence: str
    outcome: Literal["better", "worse", "mixed", "no change shown"]
    changes: tuple[Change, ...] = ()
    findings: MatchedFindings = MatchedFindings()
    cues: MatchedCues = MatchedCues()
    notes: tuple[str, ...] = ()
