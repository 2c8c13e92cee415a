"""A finding: a slice of images (or a cue), its gap with interval, corrected p, and its evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from sundog.core.inspection.cue import CueFacts
from sundog.core.inspection.record import Record

Metric = Literal["accuracy", "confidence"]
Direction = Literal["hurts", "helps", "none"]
Kind = Literal["hidden", "complex", "across", "cue"]
Strip = Literal["top", "bottom", "present", "absent"]
Replicated = Literal["confirmed", "not confirmed", "half too small to tell"]


class Effect(Record):
    """A metric with the concept and without it; gap = present - absent.

    Attributes:
        metric: ``accuracy`` or ``confidence`` (mean probability of the label).
        present: mean over the images with the concept; None if there is none.
        absent: mean over the others of the class.
        n_present: images with the concept.
        n_absent: images without it.
        gap: present - absent; negative = the concept hurts.
        low: lower end of the gap's interval.
        high: upper end.
        level: of the interval, e.g. 0.95.
        method: of the interval, e.g. newcombe.
    """

    metric: Metric
    present: float | None
    absent: float | None
    n_present: int = Field(ge=0)
    n_absent: int = Field(ge=0)
    gap: float | None
    low: float | None
    high: float | None
    level: float = 0.95
    method: str = ""


class Ranking(Record):
    """How well a sorter's score tells right images from wrong ones.

    Attributes:
        auroc: P(score of a right image > score of a wrong one); 0.5 = nothing to do with it.
        low: lower end of its interval.
        high: upper end.
        correlation: Spearman's, of the score and the confidence; instead of the AUROC where the
            metric is confidence.
        top_k: images per end for ``top_gap``.
        top_gap: metric of the top-k images minus that of the bottom-k; an illustration, not a test.
    """

    auroc: float | None
    low: float | None
    high: float | None
    correlation: float | None = None
    top_k: int | None = None
    top_gap: float | None = None


class Parent(Record):
    """A combination with one concept fewer, to judge whether that concept adds anything.

    Attributes:
        concepts: the smaller combination.
        n: its images.
        gap: its own gap.
        p_more: one-sided p that the dropped concept changes nothing inside the parent.
    """

    concepts: tuple[str, ...]
    n: int
    gap: float | None
    p_more: float | None


class Replication(Record):
    """What a random half found alone, and what the other half says of it.

    Attributes:
        status: ``confirmed``, ``not confirmed``, or ``half too small to tell``.
        effect: in the half that did not search: its gap is free of the winner's curse.
        p: one-sided, corrected for all findings of the half that searched; None if that half did
            not find it.
    """

    status: Replicated
    effect: Effect | None = None
    p: float | None = None


class Evidence(Record):
    """An image shown with a finding.

    Attributes:
        image: key of ``Query.images``.
        strip: ``top`` / ``bottom`` of the ranking by the concept's score (illustration);
            ``present`` / ``absent``: a random sample of the images with / without the concept, from
            which the tagger's errors are estimated.
        tagged: whether the image counts as having the concept(s).
        score: the concept's score, if one concept.
    """

    image: str
    strip: Strip
    tagged: bool
    score: float | None = None


class Finding(Record):
    """One (class, concepts) that was looked at.

    Attributes:
        id: made from kind, class, concepts and metric by :func:`finding_id`.
        kind: ``hidden`` one concept, ``complex`` several, ``across`` all classes together, ``cue``
            a part of the image that drags the prediction with it.
        class_name: empty for ``across``, and for a cue that speaks for several classes.
        concepts: names; of a cue its own.
        source: ``tag`` (present / absent) or ``ranking`` (a sorter's score).
        direction: ``hurts`` the metric is lower with the concept, ``helps`` higher: the model
            leans on it, ``none`` undecided.
        effect: the gap; of a cue: accuracy with another class's cue minus with that of the own.
        test: name of the test behind ``p``.
        p: two-sided, of this test alone.
        p_adjusted: corrected for every test made.
        adjustment: e.g. westfall_young.
        tests: how many tests the correction is for.
        significant: ``p_adjusted`` <= alpha of the query, and the gap large enough.
        smallest_detectable: smallest |gap| that these data could have shown.
        errors: wrong images with the concept.
        expected_errors: wrong images to be expected there if the concept did nothing.
        expected_images: images with all concepts to be expected if they were independent.
        ranking: of a sorter's score.
        parents: combinations with one concept fewer.
        shapley: share of the gap of each concept; sums to the gap.
        replication: on halves of the data.
        explained_by: concepts of a stronger finding, outside of whose images this gap is no longer
            seen: most likely another view of the same bias.
        evidence: images.
        note: why it was not tested, and other remarks.
        cue: the evidence of a cue; None for every other kind. It is left out of the file while it
            is None, so that a query from before there were cues keeps its hash, and its verdicts.
    """

    id: str
    kind: Kind
    class_name: str
    concepts: tuple[str, ...] = Field(min_length=1)
    source: Literal["tag", "ranking"] = "tag"
    direction: Direction
    effect: Effect
    test: str = ""
    p: float | None = None
    p_adjusted: float | None = None
    adjustment: str = ""
    tests: int = 0
    significant: bool = False
    smallest_detectable: float | None = None
    errors: int | None = None
    expected_errors: float | None = None
    expected_images: float | None = None
    ranking: Ranking | None = None
    parents: tuple[Parent, ...] = ()
    shapley: dict[str, float] = Field(default_factory=dict)
    replication: Replication | None = None
    explained_by: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    note: str = ""
    cue: CueFacts | None = None

    @model_validator(mode="after")
    def _cue_or_not(self) -> Self:
        if (self.kind == "cue") != (self.cue is not None):
            raise ValueError("a finding of kind 'cue', and no other, says what the cue is")
        return self

    @model_serializer(mode="wrap")
    def _without_empty_cue(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if self.cue is None:
            values.pop("cue", None)
        return values


def finding_id(kind: Kind, class_name: str, concepts: Sequence[str], metric: Metric) -> str:
    """Return 16 hex digits that depend on what is claimed, not on its order or numbers."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (kind, metric, class_name, *sorted(concepts)):
        raw = part.encode("utf-8")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()
