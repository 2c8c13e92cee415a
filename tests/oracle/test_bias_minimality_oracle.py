"""The rules of minimality against their definitions, written as recursion over sets of tags."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from sundog.bias.class_images import ClassImages
from sundog.bias.complex import find_slices

B = (0.0, 0.10, 0.05, 0.025)


def make(seed, n=300, tags=6):
    rng = np.random.default_rng(seed)
    present = rng.random((n, tags)) < rng.uniform(0.3, 0.7, tags)
    chance = 0.75 - 0.3 * (present[:, 0] & present[:, 1]) + 0.2 * (present[:, 2] & present[:, 3])
    correct = rng.random(n) < chance - 0.2 * present[:, :3].all(axis=1)
    ids = tuple(str(i) for i in range(n))
    return ClassImages("a", ids, correct, correct * 0.5 + 0.2), present


def means(one, present, *, most=4, support=10):
    found = {frozenset(): one.correct.mean()}
    for size in range(1, most + 1):
        for tags in itertools.combinations(range(present.shape[1]), size):
            mask = present[:, list(tags)].all(axis=1)
            if mask.sum() >= support:
                found[frozenset(tags)] = one.correct[mask].mean()
    return found


def minimal(tags, mean, sign, b):
    """The documented rule: all parents minimal and the mean lower (sign -1) by b."""
    if not tags:
        return True
    step = b[len(tags) - 1]
    return all(
        minimal(tags - {t}, mean, sign, b)
        and sign * (mean[tags] - mean[tags - {t}]) >= step - 1e-12
        and sign * (mean[tags] - mean[tags - {t}]) > 1e-12
        for t in tags
    )


def run(one, present, **options):
    got = find_slices(
        [one],
        {"a": present},
        [str(t) for t in range(present.shape[1])],
        max_tags=4,
        adjustment="none",
        **options,
    )
    return {frozenset(map(int, s.concepts)) for s in got.slices}, got


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("b", [B, (0.02, 0.03, 0.01, 0.0, 0.9)])
def test_recursive_rule(seed, b):
    one, present = make(seed)
    mean = means(one, present)
    want = {
        tags for tags in mean if tags and (minimal(tags, mean, -1, b) or minimal(tags, mean, +1, b))
    }
    got, result = run(
        one, present, minimality="recursive", minimal_criteria=b, min_gap=0.0, alpha=1.0
    )
    assert got == want
    assert any(len(tags) > 1 for tags in want)
    assert result.dropped["not minimal"] == result.tested - len(want)


def test_both_directions_are_found():
    _, result = run(
        *make(1), minimality="recursive", minimal_criteria=(0, 0, 0, 0), min_gap=0.0, alpha=1.0
    )
    by_size = {(len(s.concepts), s.direction) for s in result.slices}
    assert {(1, "hurts"), (2, "hurts"), (1, "helps")} <= by_size


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("a", [0.05, 0.2])
def test_primes_one_level_rule(seed, a):
    one, present = make(seed)
    mean = means(one, present, support=30)
    want = {
        tags
        for tags in mean
        if tags
        and mean[tags] <= mean[frozenset()] - a
        and all(
            len(tags) == 1 or mean[tags - {t}] >= mean[tags] + B[len(tags) - 1] - 1e-12
            for t in tags
        )
    }
    got, _ = run(one, present, minimality="prime", min_support=30, min_gap=a, alpha=1.0)
    assert got == want
    assert want


def test_the_recursive_rule_is_stricter_than_one_level():
    one, present = make(2)
    prime, _ = run(one, present, minimality="prime", min_gap=0.05, alpha=1.0)
    recursive, result = run(
        one, present, minimality="recursive", minimal_criteria=B, min_gap=0.0, alpha=1.0
    )
    hurting = {frozenset(map(int, s.concepts)) for s in result.slices if s.direction == "hurts"}
    deep = {tags for tags in hurting if len(tags) > 1}
    low = means(one, present)
    assert {t for t in deep if low[t] <= low[frozenset()] - 0.05} <= prime
    assert recursive


def slow_noise_rule(one, present, slices, searched, alpha):
    """The rule as its documentation says it, with sets and scipy."""

    def mask(tags):
        return present[:, sorted(tags)].all(axis=1)

    def p_value(inside, given, side):
        """Stratified by membership in the given slices, in plain loops."""
        parts = {}
        for image in range(len(one)):
            key = tuple(bool(other[image]) for other in given)
            parts.setdefault(key, []).append(image)
        excess = variance = third = 0.0
        for images in parts.values():
            n, n1 = len(images), sum(inside[i] for i in images)
            y = [float(one.correct[i]) for i in images]
            mean = sum(y) / n
            excess += sum(v - mean for v, i in zip(y, images, strict=True) if inside[i])
            if n > 1:
                v2 = sum((v - mean) ** 2 for v in y) / n
                variance += n1 * (n - n1) * v2 / (n - 1)
            if n > 2:
                v3 = sum((v - mean) ** 3 for v in y) / n
                third += n1 * (n - n1) * (n - 2 * n1) * v3 / ((n - 1) * (n - 2))
        if variance < 1e-12:
            return 1.0
        z = math.copysign(max(abs(excess) - 0.5, 0) / math.sqrt(variance), excess)
        g = third / variance**1.5
        if abs(g) > 1e-4:
            z = 6 / g * (np.cbrt(max(1 + g * z / 2, 0)) - 1) + g / 6
        return stats.norm.cdf(z if side == "less" else -z)

    def rivals(shared, size):
        return sum(len(tags) == size and shared <= tags for tags in searched)

    kept, twins = [], {}
    for s in sorted(slices, key=lambda s: (s.p_adjusted, s.p, len(s.concepts), s.concepts)):
        tags = frozenset(map(int, s.concepts))
        side = "less" if s.direction == "hurts" else "greater"
        inside, factor = mask(tags), 0
        for k in kept:
            if k & tags:
                new = 2 ** len(k) - 2 if tags <= k else rivals(k & tags, len(tags))
                factor = max(factor, new)
        if factor and p_value(inside, [mask(k) for k in kept], side) * factor > alpha:
            continue
        twins[tags] = None
        for k in kept:
            if not k & tags and p_value(inside, [mask(k)], side) > alpha:
                twins[tags] = k
                break
        kept.append(tags)
    return twins


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("alpha", [0.05, 0.5])
def test_the_rule_that_respects_noise(seed, alpha):
    one, present = make(seed, n=400, tags=7)
    present[:, 6] = present[:, 0] ^ (np.random.default_rng(seed).random(400) < 0.05)
    _, everything = run(one, present, minimality="none", min_gap=0.0, alpha=1.0)
    searched = [frozenset(map(int, s.concepts)) for s in everything.slices]
    significant = [s for s in everything.slices if s.p_adjusted <= alpha]
    want = slow_noise_rule(one, present, significant, searched, alpha)
    _, result = run(one, present, minimality="noise", min_gap=0.0, alpha=alpha)
    got = {
        frozenset(map(int, s.concepts)): (
            None if s.explained_by is None else frozenset(map(int, s.explained_by))
        )
        for s in result.slices
    }
    assert got == want
    assert 0 < len(want) < len(significant)


def test_the_noise_rule_drops_what_a_kept_slice_explains():
    """Images by hand: only a & b is hard; a alone, and a & b & c, say nothing more."""
    cells = {
        # (a, b, c): images, right
        (1, 1, 0): (60, 30),
        (1, 1, 1): (20, 10),
        (1, 0, 0): (60, 54),
        (1, 0, 1): (20, 18),
        (0, 1, 0): (80, 72),
        (0, 0, 1): (60, 54),
        (0, 0, 0): (300, 270),
    }
    rows = [tags for tags, (n, _) in cells.items() for _ in range(n)]
    right = [i < hits for n, hits in cells.values() for i in range(n)]
    ids = tuple(str(i) for i in range(len(rows)))
    one = ClassImages("x", ids, np.array(right), np.array(right) * 0.5)
    plain = find_slices([one], {"x": np.array(rows, bool)}, list("abc"), minimality="none")
    minimal = find_slices([one], {"x": np.array(rows, bool)}, list("abc"))
    assert {("a",), ("b",), ("a", "b"), ("a", "b", "c")} <= {s.concepts for s in plain.slices}
    assert [s.concepts for s in minimal.slices] == [("a", "b")]
    assert minimal.dropped["not minimal"] == len(plain.slices) - 1
