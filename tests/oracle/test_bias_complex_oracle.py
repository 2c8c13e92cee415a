"""The search for slices against brute force over every subset, scipy's tests and plain loops."""

import itertools

import numpy as np
import pytest
from scipy import stats

from sundog.bias.class_images import ClassImages
from sundog.bias.complex import find_slices
from sundog.bias.complex_contrast import lower_bound, one_sided_p
from sundog.bias.complex_lattice import Lattice
from sundog.bias.strata_scores import null_law, stratum_moments
from sundog.core.statistics import benjamini_hochberg, holm, proportion_difference


def make(seed, name="a", n=160, tags=7, bias=0.35):
    rng = np.random.default_rng(seed)
    present = rng.random((n, tags)) < rng.uniform(0.15, 0.6, tags)
    pair = present[:, 0] & present[:, 1]
    correct = rng.random(n) < np.where(pair, 0.8 - bias, 0.8)
    confidence = np.clip(np.where(correct, 0.8, 0.35) + rng.normal(0, 0.1, n), 0, 1)
    ids = tuple(f"{name}{i}" for i in range(n))
    return ClassImages(name, ids, correct, confidence), present


def brute(one, present, *, max_tags=3, min_support=10, metric="accuracy"):
    """Every combination: tags -> (mask, gap, two-sided p)."""
    outcome = one.outcome(metric)
    found = {}
    for size in range(1, max_tags + 1):
        for tags in itertools.combinations(range(present.shape[1]), size):
            mask = present[:, list(tags)].all(axis=1)
            if mask.sum() < min_support or mask.all():
                continue
            a, b = outcome[mask], outcome[~mask]
            if metric == "accuracy":
                table = [[a.sum(), (~a).sum()], [b.sum(), (~b).sum()]]
                p = stats.fisher_exact(table).pvalue
            else:
                rng = np.random.default_rng(0)
                drawn = rng.permuted(np.tile(outcome, (4000, 1)), axis=1)[:, : mask.sum()].mean(1)
                p = min(1, 2 * min((drawn <= a.mean()).mean(), (drawn >= a.mean()).mean()))
            found[tags] = (mask, a.mean() - b.mean(), p)
    return found


@pytest.mark.parametrize("metric", ["accuracy", "confidence"])
def test_every_combination_is_found_with_its_gap_and_p_value(metric):
    one, present = make(1)
    want = brute(one, present, metric=metric)
    got = find_slices(
        [one],
        {"a": present},
        list("tuvwxyz"),
        metric=metric,
        adjustment="none",
        minimality="none",
        min_gap=0.0,
        alpha=1.0,
    )
    assert got.tested == len(want) == len(got.slices) > 20
    for slice_ in got.slices:
        tags = tuple("tuvwxyz".index(name) for name in slice_.concepts)
        mask, gap, p = want[tags]
        assert slice_.n_present == mask.sum()
        assert slice_.n_absent == (~mask).sum()
        assert slice_.gap.value == pytest.approx(gap, abs=1e-12)
        assert slice_.mean_present - slice_.mean_absent == pytest.approx(gap, abs=1e-12)
        close = {"rel": 1e-6} if metric == "accuracy" else {"abs": 0.035}
        assert slice_.p == pytest.approx(p, **close)
        assert slice_.p_adjusted == slice_.p
        assert slice_.direction == ("hurts" if gap < 0 else "helps")


def test_effect_fields_by_hand():
    one, present = make(2)
    want = brute(one, present)
    got = find_slices(
        [one],
        {"a": present},
        list("tuvwxyz"),
        adjustment="none",
        minimality="none",
        min_gap=0.0,
        alpha=1.0,
    )
    triples = [s for s in got.slices if len(s.concepts) == 3]
    assert triples
    n = len(one)
    for s in triples:
        tags = tuple("tuvwxyz".index(name) for name in s.concepts)
        mask = want[tags][0]
        wrong = ~one.correct
        assert s.errors == (wrong & mask).sum()
        assert s.expected_errors == pytest.approx(mask.sum() * wrong[~mask].mean())
        assert s.expected_images == pytest.approx(n * np.prod(present[:, list(tags)].mean(axis=0)))
        interval = proportion_difference(
            int(one.correct[mask].sum()),
            int(mask.sum()),
            int(one.correct[~mask].sum()),
            int((~mask).sum()),
        )
        assert (s.gap.low, s.gap.high) == pytest.approx((interval.low, interval.high), abs=1e-12)
        assert len(s.parents) == 3
        for parent in s.parents:
            rest = tuple("tuvwxyz".index(name) for name in parent.concepts)
            around, gap, _ = want[rest]
            assert parent.n == around.sum()
            assert parent.gap == pytest.approx(gap, abs=1e-12)
            other = around & ~mask
            table = [
                [one.correct[mask].sum(), wrong[mask].sum()],
                [one.correct[other].sum(), wrong[other].sum()],
            ]
            side = "less" if s.direction == "hurts" else "greater"
            p = stats.fisher_exact(table, alternative=side).pvalue
            assert parent.p_more == pytest.approx(p, rel=1e-9)
        # Shapley by averaging over all orders
        value = {frozenset(): 0.0} | {frozenset(k): v[1] for k, v in want.items()}
        shares = dict.fromkeys(tags, 0.0)
        for order in itertools.permutations(tags):
            for place, tag in enumerate(order):
                before = frozenset(order[:place])
                shares[tag] += (value[before | {tag}] - value[before]) / 6
        for tag in tags:
            assert s.shapley["tuvwxyz"[tag]] == pytest.approx(shares[tag], abs=1e-12)
        assert sum(s.shapley.values()) == pytest.approx(s.gap.value, abs=1e-12)


@pytest.mark.parametrize(
    ("adjustment", "correct"), [("holm", holm), ("benjamini_hochberg", benjamini_hochberg)]
)
def test_one_correction_covers_all_classes(adjustment, correct):
    made = [make(seed, name=f"c{seed}", bias=0.5) for seed in (3, 4)]
    wants = [brute(one, present) for one, present in made]
    adjusted = correct([p for want in wants for _, _, p in want.values()])
    keys = [(one.name, tags) for (one, _), want in zip(made, wants, strict=True) for tags in want]
    expected = dict(zip(keys, adjusted, strict=True))
    got = find_slices(
        [one for one, _ in made],
        {one.name: present for one, present in made},
        list("tuvwxyz"),
        adjustment=adjustment,
        minimality="none",
        min_gap=0.0,
        alpha=1.0,
    )
    assert got.tested == len(expected)
    for s in got.slices:
        key = (s.class_name, tuple("tuvwxyz".index(name) for name in s.concepts))
        assert s.p_adjusted == pytest.approx(expected[key], rel=1e-6)


def test_westfall_young_by_slow_permutation():
    one, present = make(5, n=60, tags=5, bias=0.6)
    want = brute(one, present)
    masks = np.array([mask for mask, _, _ in want.values()])
    p = np.array([p for _, _, p in want.values()])
    rng = np.random.default_rng(0)
    table = {}

    def fisher(hits, size):
        if (hits, size) not in table:
            right = int(one.correct.sum())
            cells = [[hits, size - hits], [right - hits, len(one) - size - right + hits]]
            table[hits, size] = stats.fisher_exact(cells).pvalue
        return table[hits, size]

    order = np.argsort(-p)
    count, runs = np.zeros(len(p)), 1500
    for _ in range(runs):
        shuffled = rng.permutation(one.correct)
        drawn = np.array([fisher(int(shuffled[m].sum()), int(m.sum())) for m in masks])
        count[order] += np.minimum.accumulate(drawn[order]) <= p[order] * (1 + 1e-9)
    slow = (1 + count) / (runs + 1)
    slow[order[::-1]] = np.maximum.accumulate(slow[order[::-1]])
    got = find_slices(
        [one],
        {"a": present},
        list("vwxyz"),
        minimality="none",
        min_gap=0.0,
        alpha=1.0,
        permutations=4000,
    )
    fast = {tuple("vwxyz".index(c) for c in s.concepts): s.p_adjusted for s in got.slices}
    assert len(fast) == len(want)
    for tags, value in zip(want, slow, strict=True):
        assert fast[tags] == pytest.approx(value, abs=0.045)


def test_rank_is_adjusted_p_then_lower_bound_never_the_raw_gap():
    one, present = make(6, n=200, bias=0.5)
    got = find_slices(
        [one], {"a": present}, list("tuvwxyz"), minimality="none", alpha=1.0, min_gap=0.0
    )
    keys = [(s.p_adjusted, -lower_bound(s.gap)) for s in got.slices]
    assert keys == sorted(keys)
    sizes = [abs(s.gap.value) for s in got.slices]
    assert sizes != sorted(sizes, reverse=True)


@pytest.mark.parametrize("lower", [True, False])
def test_one_sided_p_is_scipys(lower):
    rng = np.random.default_rng(8)
    outcome = rng.random(80) < 0.6
    group, other = np.arange(80) < 25, np.arange(80) >= 40
    side = "less" if lower else "greater"
    cells = [
        [outcome[group].sum(), (~outcome[group]).sum()],
        [outcome[other].sum(), (~outcome[other]).sum()],
    ]
    want = stats.fisher_exact(cells, alternative=side).pvalue
    assert one_sided_p(outcome, group, other, lower) == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("lower", [True, False])
def test_one_sided_p_of_confidence_is_that_of_all_permutations(lower):
    rng = np.random.default_rng(8)
    values = rng.beta(5, 1, 80)
    group, other = np.arange(80) < 25, np.arange(80) >= 40
    mean = "less" if lower else "greater"
    want = stats.permutation_test(
        (values[group], values[other]),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        vectorized=True,
        n_resamples=20_000,
        alternative=mean,
        rng=np.random.default_rng(1),
    ).pvalue
    assert one_sided_p(values, group, other, lower) == pytest.approx(want, abs=0.015)


def test_one_sided_p_of_few_sure_images_is_not_bold():
    """Ten images that all happen to be right: Welch's t called half of such groups better."""
    bold = {True: 0, False: 0}
    for run in range(300):
        rng = np.random.default_rng([run, 6])
        right = rng.random(200) < 0.93
        values = np.where(right, 1 - 1e-4 * rng.random(200), 0.3 * rng.random(200))
        group = np.zeros(200, bool)
        group[rng.choice(200, 10, replace=False)] = True
        for lower in bold:
            p = one_sided_p(values, group, ~group, lower)
            assert 0 < p <= 1
            bold[lower] += p <= 0.01
    assert max(bold.values()) <= 0.01 * 300 + 3 * np.sqrt(0.01 * 300)
    sure = np.where(np.arange(50) < 10, 1.0, 0.0)
    p = one_sided_p(sure, np.arange(50) < 10, np.arange(50) >= 10, False)
    assert 0 < p < 1e-6
    assert one_sided_p(np.full(50, 0.5), np.arange(50) < 10, np.arange(50) >= 10, False) == 1.0


def test_lattice_knows_every_row_and_parent():
    rng = np.random.default_rng(9)
    combos = [
        tags
        for size in (1, 2, 3, 4)
        for tags in itertools.combinations(range(8), size)
        if 5 not in tags or size == 1
    ]
    rows = np.full((len(combos), 4), -1, dtype=np.int32)
    for row, tags in enumerate(combos):
        rows[row, : len(tags)] = tags
    lattice = Lattice(
        combos=rows,
        support=np.full(len(combos), 3),
        total=rng.random(len(combos)),
        images=10,
        class_total=5.0,
    )
    place = {tags: row for row, tags in enumerate(combos)}
    for row, tags in enumerate(combos):
        assert lattice.row_of(tags) == lattice.row_of(tags[::-1]) == row
        for j in range(4):
            parent = lattice.parents[row, j]
            rest = tags[:j] + tags[j + 1 :]
            assert parent == (place[rest] if j < len(tags) > 1 else -1)
    assert lattice.row_of((5, 6)) == lattice.row_of(()) == -1


def test_small_p_values_of_confidence_are_those_of_the_permutation():
    """Skewed confidence, slices of 10 to 40 images: where Welch's t is wrong by orders."""
    rng = np.random.default_rng(3)
    n = 300
    right = rng.random(n) < 0.85
    confidence = np.clip(np.where(right, 0.8, 0.3) + rng.normal(0, 0.08, n), 0, 1)
    present = rng.random((n, 12)) < 0.12
    one = ClassImages("a", tuple(map(str, range(n))), right, confidence)
    found = find_slices(
        [one],
        {"a": present},
        [f"t{i}" for i in range(12)],
        metric="confidence",
        adjustment="none",
        minimality="none",
        max_tags=1,
        alpha=1.0,
        min_gap=0.0,
    )
    drawn = rng.permuted(np.tile(confidence, (20_000, 1)), axis=1)
    sums = np.cumsum(drawn, axis=1)
    assert len(found.slices) == 12
    for s in found.slices:
        means = sums[:, s.n_present - 1] / s.n_present
        for share, bold, shy in (
            (0.001, 0.5, 2.5),
            (0.01, 0.7, 1.4),
            (0.99, 0.7, 1.4),
            (0.999, 0.5, 2.5),
        ):
            reached = np.quantile(means, share)
            law = three_moment_p(confidence, s.n_present, reached * s.n_present)
            assert bold <= law / min(share, 1 - share) <= shy
        tail = min((means <= s.mean_present).mean(), (means >= s.mean_present).mean())
        assert s.p == pytest.approx(min(1, 2 * tail), rel=0.2, abs=0.03)


def three_moment_p(values, size, total):
    one = np.zeros(len(values), dtype=int)
    law = null_law(np.array([[size]]), stratum_moments(values, one, count=1))
    return float(stats.norm.sf(abs(law.scores(np.array([total]))[0])))


def test_confidence_of_all_classes_is_adjusted_together_and_in_blocks(monkeypatch):
    made = [make(seed, name=f"c{seed}", bias=0.5) for seed in (3, 4)]
    arguments = (
        [one for one, _ in made],
        {one.name: present for one, present in made},
        list("tuvwxyz"),
    )
    options = {"metric": "confidence", "minimality": "none", "min_gap": 0.0, "alpha": 1.0}
    both = find_slices(*arguments, **options)
    monkeypatch.setattr("sundog.bias.strata_permutation._CELLS", 3000)
    assert find_slices(*arguments, **options) == both
    alone = find_slices(arguments[0][:1], *arguments[1:], **options)
    joint = {s.concepts: s.p_adjusted for s in both.slices if s.class_name == "c3"}
    single = {s.concepts: s.p_adjusted for s in alone.slices}
    assert set(joint) == set(single)
    assert all(joint[name] >= single[name] - 0.02 for name in single)
    assert sum(joint.values()) > sum(single.values())
