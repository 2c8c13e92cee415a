"""Intervals of worst groups and gaps: do they hold in worlds whose truth is known?"""

import numpy as np
import pytest

from sundog.models.group_comparison import compare_group_scores
from sundog.models.group_extremes import largest_gap, lowest_proportion, mean_of_proportions

NAMES = ["a0", "a1", "b0", "b1"]


@pytest.mark.parametrize(
    ("shares", "sizes"),
    [
        ([0.8] * 4, [150] * 4),
        ([0.95, 0.5, 0.6, 0.95], [400, 40, 40, 400]),
        ([0.9] * 20, [50] * 20),
        ([0.99, 0.98], [60, 60]),
        ([0.9] * 9 + [0.7], [100] * 10),
    ],
)
def test_worst_and_gap_hold_the_truth(shares, sizes):
    rng = np.random.default_rng(0)
    truth = {"worst": min(shares), "gap": max(shares) - min(shares), "mean": np.mean(shares)}
    hits = dict.fromkeys(truth, 0)
    plain = 0
    for _ in range(300):
        got = rng.binomial(sizes, shares)
        for name, estimate in (
            ("worst", lowest_proportion(got, sizes, level=0.95)),
            ("gap", largest_gap(got, sizes, level=0.95)),
            ("mean", mean_of_proportions(got, sizes, level=0.95)),
        ):
            hits[name] += estimate.low <= truth[name] <= estimate.high
        which = int(np.argmin(got / np.array(sizes)))
        naive = lowest_proportion(got[[which]], [sizes[which]], level=0.95)
        plain += naive.low <= truth["worst"] <= naive.high
    assert min(hits["worst"], hits["gap"]) >= 276, hits  # 92 %
    assert hits["mean"] >= 262, hits  # near 1, Wilson's own coverage dips to .9
    if len(shares) == 20:
        assert plain < 240  # the interval of the group that came out worst misses its truth


def _images(rng, before, after, n):
    """Two classifiers with the given accuracy per group; labels 0 or 1 by group."""
    groups = np.repeat(np.arange(4), n)
    labels = groups // 2
    luck, other = rng.random(groups.size), rng.random(groups.size)
    second = np.where(rng.random(groups.size) < 0.5, luck, other)
    right = luck < np.array(before)[groups], second < np.array(after)[groups]
    out = []
    for part in right:
        p = np.full((groups.size, 2), 0.2)
        p[np.arange(groups.size), np.where(part, labels, 1 - labels)] = 0.8
        out.append(p)
    return out[0], out[1], labels, groups


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([0.8] * 4, [0.8] * 4),  # null: nothing changed
        ([0.95, 0.5, 0.6, 0.95], [0.95, 0.5, 0.6, 0.95]),
        ([0.95, 0.5, 0.95, 0.95], [0.8] * 4),  # mended: a plain bootstrap covers .81
        ([0.95, 0.5, 0.6, 0.95], [0.85, 0.8, 0.8, 0.85]),
    ],
)
def test_change_of_worst_and_gap_hold_the_truth(before, after):
    rng = np.random.default_rng(1)
    spans = [max(part) - min(part) for part in (before, after)]
    truth = {
        "worst": min(after) - min(before),
        "gap": spans[1] - spans[0],
        "adjusted": np.mean(after) - np.mean(before),
        "average": np.mean(after) - np.mean(before),
    }
    hits = dict.fromkeys(truth, 0)
    found = 0
    for run in range(60):
        p, q, labels, groups = _images(rng, before, after, 120)
        got = compare_group_scores(
            p, q, labels, groups, NAMES, class_names=["a", "b"], resamples=100, seed=run
        )
        for name, value in truth.items():
            part = getattr(got, name)
            hits[name] += part.low <= value <= part.high
        found += got.worst.low > 0 or got.worst.high < 0
    assert min(hits.values()) >= 52, hits
    if truth["worst"] > 0.2:
        assert found >= 57  # a repair of 30 points is seen
    else:
        assert found <= 4


def test_planted_repair_is_found_and_its_side_effect_too():
    rng = np.random.default_rng(2)
    p, q, labels, groups = _images(rng, [0.95, 0.45, 0.9, 0.9], [0.85, 0.85, 0.9, 0.9], 400)
    got = compare_group_scores(p, q, labels, groups, NAMES, class_names=["a", "b"], seed=0)
    assert got.before.worst_group == "a1"
    assert got.worst.low > 0.3
    assert got.gap.high < -0.3
    lost = got.groups[0]
    assert lost.accuracy.high < 0
    assert lost.p_value < 1e-4
    assert lost.lost > lost.gained
    assert got.worst_recall.low > 0
