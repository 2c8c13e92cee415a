"""Which findings or cues of two audits are the same: by identity first, then by where they lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sundog.core.audit.cues import CueRecord
from sundog.core.inspection.finding import Finding

T = TypeVar("T")
LEAST_IMAGES = 0.5
"""Jaccard index of the images of two slices from which on they count as one."""
LEAST_BOX = 0.3
"""Intersection over union of two boxes from which on two cues are in one place."""


@dataclass(frozen=True)
class Matched(Generic[T]):
    """Two lists laid side by side; every entry is in exactly one place.

    Attributes:
        shared: (of a, of b) that are the same, in a's order.
        only_a: entries of a without a partner.
        only_b: entries of b without a partner.
    """

    shared: tuple[tuple[T, T], ...]
    only_a: tuple[T, ...]
    only_b: tuple[T, ...]


def match_findings(
    a: Sequence[Finding],
    b: Sequence[Finding],
    *,
    images_a: Mapping[str, frozenset[str]] | None = None,
    images_b: Mapping[str, frozenset[str]] | None = None,
    least: float = LEAST_IMAGES,
) -> Matched[Finding]:
    """Match the findings of two inspections.

    First by id (class, concepts, kind, metric) and direction. What is left is matched, largest
    overlap first, if class, metric and direction are equal and the Jaccard index
    ``|A and B| / |A or B|`` of the slices' images is at least ``least``.

    Args:
        a: findings of one inspection.
        b: findings of the other.
        images_a: finding id -> ids of all images of its slice; without it, the images shown as
            tagged evidence stand for the slice, which are a sample if the slice is large.
        images_b: the same for ``b``.
        least: in (0, 1].
    """

    def same(x: Finding, y: Finding) -> bool:
        return x.id == y.id and x.direction == y.direction

    def overlap(x: Finding, y: Finding) -> float:
        if (x.class_name, x.direction, x.effect.metric) != (
            y.class_name,
            y.direction,
            y.effect.metric,
        ):
            return 0.0
        return jaccard(slice_images(x, images_a), slice_images(y, images_b))

    return _match(a, b, same=same, overlap=overlap, least=least)


def match_cues(
    a: Sequence[CueRecord], b: Sequence[CueRecord], *, least: float = LEAST_BOX
) -> Matched[CueRecord]:
    """Match the cues of two searches.

    First by id. What is left is matched if both speak for a common class (an empty list is every
    class) and are in one place: two local cues by the intersection over union of their boxes, at
    least ``least``, whatever their families; two cues of the whole image by their family.

    Args:
        a: cues of one search.
        b: cues of the other.
        least: in (0, 1].
    """

    def overlap(x: CueRecord, y: CueRecord) -> float:
        speak = not x.classes or not y.classes or bool(set(x.classes) & set(y.classes))
        if x.kind != y.kind or not speak:
            return 0.0
        if x.box is not None and y.box is not None:
            return box_overlap(x.box, y.box)
        return float(x.family == y.family and x.box is None and y.box is None)

    return _match(a, b, same=lambda x, y: x.id == y.id, overlap=overlap, least=least)


def slice_images(finding: Finding, given: Mapping[str, frozenset[str]] | None) -> frozenset[str]:
    """Return the images of a finding's slice: those given, or its tagged evidence."""
    if given is not None and finding.id in given:
        return given[finding.id]
    return frozenset(entry.image for entry in finding.evidence if entry.tagged)


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Return ``|a and b| / |a or b|`` in [0, 1]; 0 if both are empty."""
    union = len(a | b)
    return len(a & b) / union if union else 0.0


def box_overlap(
    a: tuple[float, float, float, float], b: tuple[float, float, float, float]
) -> float:
    """Return intersection over union in [0, 1] of two boxes (top, left, height, width)."""
    tall = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    wide = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(tall, 0.0) * max(wide, 0.0)
    union = a[2] * a[3] + b[2] * b[3] - shared
    return shared / union if union > 0 else 0.0


def _match(
    a: Sequence[T],
    b: Sequence[T],
    *,
    same: Callable[[T, T], bool],
    overlap: Callable[[T, T], float],
    least: float,
) -> Matched[T]:
    partner: dict[int, int] = {}
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            if j not in partner.values() and same(x, y):
                partner[i] = j
                break
    scored = [
        (overlap(x, y), i, j)
        for i, x in enumerate(a)
        for j, y in enumerate(b)
        if i not in partner and j not in partner.values()
    ]
    # Largest overlap first; equal ones in the order of the lists.
    for score, i, j in sorted(scored, key=lambda entry: (-entry[0], entry[1], entry[2])):
        if score >= least and i not in partner and j not in partner.values():
            partner[i] = j
    taken = set(partner.values())
    return Matched(
        shared=tuple((a[i], b[j]) for i, j in sorted(partner.items())),
        only_a=tuple(x for i, x in enumerate(a) if i not in partner),
        only_b=tuple(y for j, y in enumerate(b) if j not in taken),
    )
