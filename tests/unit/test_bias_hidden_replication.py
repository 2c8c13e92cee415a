"""Halves: how they are dealt, and the status of every kind of finding."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sundog.bias import hidden
from sundog.bias.class_images import ClassImages
from sundog.bias.replication import HalfLook, Search, replicate, split_halves
from sundog.core.errors import InputError
from sundog.core.statistics import Estimate


def _class(right, *, name="cat", groups=None):
    right = np.asarray(right, dtype=bool)
    ids = tuple(f"{name}{i}" for i in range(right.size))
    return ClassImages(name, ids, right, np.full(right.size, 0.5), groups)


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 5))
def test_halves_are_even_in_size_and_in_errors(right, seed):
    images = _class(right)
    first = split_halves([images], seed=seed)["cat"]
    assert 0 <= first.sum() - (~first).sum() <= 1
    for part in (images.correct, ~images.correct):
        assert abs(int((first & part).sum()) - int((~first & part).sum())) <= 1


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30))
def test_near_duplicates_stay_together(groups):
    images = _class(np.arange(len(groups)) % 3 > 0, groups=np.array(groups))
    first = split_halves([images])["cat"]
    assert len({(g, bool(f)) for g, f in zip(groups, first, strict=True)}) == len(set(groups))
    firsts = len({g for g, f in zip(groups, first, strict=True) if f})
    assert 0 <= 2 * firsts - len(set(groups)) <= 1


def test_the_split_follows_ids_and_seed_not_the_order():
    images = _class(np.arange(40) % 4 > 0)
    first = split_halves([images], seed=1)["cat"]
    mixed = np.random.default_rng(0).permutation(40)
    assert split_halves([images.rows(mixed)], seed=1)["cat"].tolist() == first[mixed].tolist()
    assert split_halves([images], seed=2)["cat"].tolist() != first.tolist()
    assert split_halves([_class([])])["cat"].size == 0
    assert split_halves([_class([True])])["cat"].tolist() == [True]


def _gap(value):
    return Estimate(value, value - 0.1, value + 0.1, 50, 0.95, "newcombe")


def _replicate(full, found, second, first=None, **options):
    """``second`` and ``first``: key → (p, gap, smallest detectable, reason)."""
    images = _class(np.arange(40) % 4 > 0)
    halves = split_halves([images], seed=0)["cat"]

    def table(rows):
        return first if halves[rows["cat"][0]] else second

    return replicate(
        [images],
        full=full,
        search=lambda rows: Search(found, 0.01),
        look=lambda key, direction, rows, level: HalfLook(
            _gap(table(rows)[key][1]), *table(rows)[key][2:]
        ),
        p_value=lambda key, direction, rows: table(rows)[key][0],
        **options,
    )


def test_statuses():
    report = _replicate(
        full={
            "found": ("hurts", -0.4),
            "missed by a good half": ("hurts", -0.4),
            "missed by a small half": ("helps", 0.2),
            "turned": ("hurts", -0.3),
        },
        found={
            "turned": ("helps", 0.3),
            "found": ("hurts", -0.5),
            "gone": ("hurts", -0.4),
            "unsure": ("helps", 0.3),
            "untestable": ("hurts", -0.4),
        },
        second={
            "found": (0.001, -0.35, 0.2, ""),
            "gone": (0.6, 0.0, 0.2, ""),
            "unsure": (0.2, 0.1, 0.35, ""),
            "untestable": (math.nan, -0.1, math.nan, "only 3 images with the concept (5 needed)"),
            "turned": (0.9, -0.2, 0.2, ""),
            "missed by a good half": (0.0, -0.3, 0.2, ""),
            "missed by a small half": (0.0, 0.1, 0.5, ""),
        },
        first={
            "missed by a good half": (0.2, -0.1, 0.3, ""),
            "missed by a small half": (0.2, 0.1, 0.6, ""),
            "turned": (0.2, 0.3, math.nan, ""),
        },
    )
    assert [(one.key, one.status) for one in report.findings] == [
        ("found", "confirmed"),
        ("missed by a good half", "not confirmed"),
        ("missed by a small half", "half too small to tell"),
        ("turned", "half too small to tell"),
        ("gone", "not confirmed"),
        ("unsure", "half too small to tell"),
        ("untestable", "half too small to tell"),
    ]
    found = report.findings[0]
    assert (found.in_full, found.in_first, found.p) == (True, True, 0.001)
    assert found.p_adjusted == pytest.approx(0.004)  # four testable findings of the first half
    assert found.gap.value == -0.35
    assert math.isnan(report.findings[1].p)
    assert report.findings[4].in_full is False
    assert "only 3 images" in report.findings[6].reason
    assert [one.key for one in report.confirmed] == ["found"]
    assert report.rate == 1 / 4
    assert (report.first_images, report.second_images) == (20, 20)


def test_nothing_found_is_nothing_to_confirm():
    report = _replicate({}, {}, {}, {})
    assert report.findings == ()
    assert report.rate is None
    with pytest.raises(InputError, match="alpha"):
        _replicate({}, {}, {}, {}, alpha=1.0)


def test_the_second_half_alone_gives_gap_and_p():
    rng = np.random.default_rng(0)
    n = 240
    tags = rng.random((n, 2)) < 0.4
    right = rng.random(n) < 0.85 - 0.5 * tags[:, 0]
    images = ClassImages("cat", tuple(map(str, range(n))), right, np.full(n, 0.5))
    effects = hidden.test_concepts([images], {"cat": tags}, ["x", "y"])
    report = hidden.replicate_concepts(effects, [images], {"cat": tags}, ["x", "y"], seed=3)
    (one,) = report.findings
    assert (one.key, one.status) == (("cat", "x"), "confirmed")
    second = ~split_halves([images], seed=3)["cat"]
    inside, right = tags[second, 0], right[second]
    assert one.gap.value == pytest.approx(right[inside].mean() - right[~inside].mean())
    from scipy import stats

    table = [
        [right[inside].sum(), (~right[inside]).sum()],
        [right[~inside].sum(), (~right[~inside]).sum()],
    ]
    assert one.p == pytest.approx(stats.fisher_exact(table, alternative="less").pvalue)
