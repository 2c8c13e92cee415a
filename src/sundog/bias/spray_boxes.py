"""From clusters of maps to boxes: where to cut a candidate for a causal test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy.ndimage import label, uniform_filter

from sundog.bias.spray_features import (
    check_maps,
    hottest_windows,
    relevance_shares,
    spot_side,
    window_sums,
)
from sundog.bias.spray_result import SprayClasses, SprayResult
from sundog.core.errors import InputError
from sundog.core.statistics import Estimate, mean_interval

_LEVEL = 0.5
"""A box holds what is above this share of the peak."""
_SAME = 0.7
"""Boxes that overlap by more (intersection over union) are one candidate."""

Box = tuple[float, float, float, float]
Pixels = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class CandidateBox:
    """A place that a cluster of maps looks at.

    Attributes:
        class_index: of the maps.
        cluster: number of the cluster in the result; -1 = all maps of the class.
        members: ``int64[members]``, positions of the images.
        box: (top, left, tall, wide) as shares of the image; None if each image has its own.
        boxes: ``float[members, 4]``, the same per image.
        inside: mean share of the members' relevance in their boxes, t interval.
        others: the same for the class's other maps; n = 0 if there are none.
        area: share of the image.
        lift: inside / area; 1 = no more than anywhere.
        p: of the class's clusters, as in the result; corrected if classes were.
    """

    class_index: int | None
    cluster: int
    members: Int64[np.ndarray, "members"]
    box: Box | None
    boxes: Float[np.ndarray, "members 4"]
    inside: Estimate
    others: Estimate
    area: float
    lift: float
    p: float


def candidate_boxes(
    result: SprayResult | SprayClasses, maps: Float[np.ndarray, "images height width"]
) -> list[CandidateBox]:
    """Return boxes worth a causal test: of each cluster, and of each class as a whole.

    A cluster's box surrounds the peak of its mean map, and the peak of its mean map minus that of
    the class's other maps (what these images have and the others have not). The class as a whole is
    a candidate too: a cue that every image carries makes no second cluster. With ``position_free``
    each image has a box of its own, the hottest window of its map.

    Args:
        result: of :func:`sundog.bias.spray.spray` or ``spray_classes``.
        maps: those that were given there; positions in the result are positions in them.

    Returns:
        Highest lift first. A high lift is a proposal, no finding.

    Raises:
        InputError: fewer maps than positions.
    """
    values = check_maps(maps)
    if isinstance(result, SprayClasses):
        adjusted = dict(
            zip(result.table["class_index"], result.table["p_adjusted"].tolist(), strict=True)
        )
        found = [
            candidate
            for index, one in result.results.items()
            for candidate in _candidates(one, values, adjusted[index])
        ]
    else:
        found = _candidates(result, values, result.p)
    return sorted(found, key=lambda candidate: -candidate.lift)


def _candidates(
    result: SprayResult, maps: Float[np.ndarray, "images height width"], p: float
) -> list[CandidateBox]:
    everyone = np.sort(np.concatenate([cluster.members for cluster in result.clusters]))
    if everyone.max() >= len(maps):
        raise InputError("maps", expected="those that were clustered", got=f"{len(maps)} maps")
    shares = relevance_shares(maps[everyone])
    groups = [(-1, np.ones(len(everyone), dtype=np.bool_))]
    groups += [
        (number, np.isin(everyone, cluster.members))
        for number, cluster in enumerate(result.clusters)
        if len(cluster.members) < len(everyone)
    ]
    if result.position_free:
        return [
            _own_boxes(result, number, inside, everyone, shares, p) for number, inside in groups
        ]
    found: list[CandidateBox] = []
    for number, inside in groups:
        mean = shares[inside].mean(axis=0)
        means = [mean] if inside.all() else [mean, mean - shares[~inside].mean(axis=0)]
        seen: list[Pixels] = []
        for heat in means:
            box = _box_around_peak(heat)
            if all(_overlap(box, other) <= _SAME for other in seen):
                seen.append(box)
                found.append(_common_box(result, number, inside, everyone, shares, box, p))
    return found


def _common_box(
    result: SprayResult,
    number: int,
    inside: Bool[np.ndarray, "maps"],
    everyone: Int64[np.ndarray, "maps"],
    shares: Float[np.ndarray, "maps height width"],
    pixels: Pixels,
    p: float,
) -> CandidateBox:
    height, width = shares.shape[1:]
    top, left, tall, wide = pixels
    held = shares[:, top : top + tall, left : left + wide].sum(axis=(1, 2), dtype=np.float64)
    box = (top / height, left / width, tall / height, wide / width)
    return _candidate(
        result, number, inside, everyone, held, box, np.tile(box, (int(inside.sum()), 1)), p
    )


def _own_boxes(
    result: SprayResult,
    number: int,
    inside: Bool[np.ndarray, "maps"],
    everyone: Int64[np.ndarray, "maps"],
    shares: Float[np.ndarray, "maps height width"],
    p: float,
) -> CandidateBox:
    height, width = shares.shape[1:]
    side = spot_side(shares.shape[1:], result.spot)
    top, left = hottest_windows(shares, side)
    held = window_sums(shares, side, side)[np.arange(len(shares)), top, left]
    size = np.ones(len(shares))
    boxes = np.stack(
        [top / height, left / width, size * side / height, size * side / width], axis=1
    )
    return _candidate(result, number, inside, everyone, held, None, boxes[inside], p)


def _candidate(
    result: SprayResult,
    number: int,
    inside: Bool[np.ndarray, "maps"],
    everyone: Int64[np.ndarray, "maps"],
    held: Float[np.ndarray, "maps"],
    box: Box | None,
    boxes: Float[np.ndarray, "members 4"],
    p: float,
) -> CandidateBox:
    area = float(boxes[0, 2] * boxes[0, 3])
    share = mean_interval(held[inside])
    return CandidateBox(
        class_index=result.class_index,
        cluster=number,
        members=everyone[inside],
        box=box,
        boxes=boxes,
        inside=share,
        others=mean_interval(held[~inside]),
        area=area,
        lift=share.value / area,
        p=p,
    )


def _box_around_peak(heat: Float[np.ndarray, "height width"]) -> Pixels:
    """Return the box, in pixels, around the part above half of the peak that holds the peak."""
    height, width = heat.shape
    side = max(1, round(0.05 * min(height, width)))
    smooth = uniform_filter(heat.astype(np.float64), side)
    peak = np.unravel_index(int(smooth.argmax()), smooth.shape)
    parts = label(smooth >= _LEVEL * smooth[peak])[0]
    rows, columns = np.nonzero(parts == parts[peak])
    top, left = int(rows.min()), int(columns.min())
    return top, left, int(rows.max()) + 1 - top, int(columns.max()) + 1 - left


def _overlap(first: Pixels, second: Pixels) -> float:
    """Return intersection over union of two boxes."""
    sides = [
        max(0, min(first[i] + first[i + 2], second[i] + second[i + 2]) - max(first[i], second[i]))
        for i in (0, 1)
    ]
    common = sides[0] * sides[1]
    return common / (first[2] * first[3] + second[2] * second[3] - common)
