"""Single concepts and rankings against scipy and slow re-implementations."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from sundog.bias import hidden
from sundog.bias.class_images import ClassImages
from sundog.bias.hidden_effect import correlation_of
from sundog.bias.hidden_linear import LinearProblem, _scale, middle_ranks, one_sided_p, permute
from sundog.core.statistics import (
    benjamini_hochberg,
    fisher_p_values,
    holm,
    proportion_difference,
    smallest_detectable_gap,
    studentised_permutation,
    welch_gap,
)

NAMES = ("water", "fence", "dark")


def _world(seed=0, sizes=(90, 60), drop=0.4):
    rng = np.random.default_rng(seed)
    classes, present, scores = [], {}, {}
    for number, n in enumerate(sizes):
        name = f"class {number}"
        tags = rng.random((n, 3)) < (0.3, 0.2, 0.5)
        right = rng.random(n) < 0.8 - (drop if number == 0 else 0) * tags[:, 0]
        confidence = np.where(right, 0.5 + rng.random(n) / 2, rng.random(n) / 2)
        ids = tuple(f"{number}/{i}" for i in range(n))
        classes.append(ClassImages(name, ids, right, confidence))
        present[name] = tags
        scores[name] = {c: tags[:, i] + rng.normal(size=n) / 4 for i, c in enumerate(NAMES)}
    return classes, present, scores


def test_accuracy_is_fisher_with_newcombes_interval():
    classes, present, _ = _world()
    effects = hidden.test_concepts(classes, present, NAMES, permutations=99)
    assert [(e.class_name, e.concept) for e in effects] == [
        (c.name, name) for c in classes for name in NAMES
    ]
    for effect in effects:
        images = next(c for c in classes if c.name == effect.class_name)
        inside = present[images.name][:, NAMES.index(effect.concept)]
        a, n_a = int(images.correct[inside].sum()), int(inside.sum())
        b, n_b = int(images.correct[~inside].sum()), int((~inside).sum())
        assert effect.test == "fisher"
        assert effect.p == pytest.approx(
            stats.fisher_exact([[a, n_a - a], [b, n_b - b]]).pvalue, rel=1e-7
        )
        want = proportion_difference(a, n_a, b, n_b)
        assert (effect.gap.value, effect.gap.low, effect.gap.high) == pytest.approx(
            (want.value, want.low, want.high), abs=1e-12
        )
        assert (effect.n_present, effect.n_absent) == (n_a, n_b)
        assert (effect.mean_present, effect.mean_absent) == pytest.approx((a / n_a, b / n_b))
        assert effect.direction == ("hurts" if a / n_a < b / n_b else "helps")
        assert effect.smallest_detectable == smallest_detectable_gap(
            n_a, n_b, images.correct.mean(), alpha=0.05 / 6, direction="both"
        )


def test_confidence_is_welch_and_its_permutation_p():
    classes, present, _ = _world()
    effects = hidden.test_concepts(
        classes, present, NAMES, metric="confidence", permutations=4000, adjustment="none"
    )
    for effect in effects:
        images = next(c for c in classes if c.name == effect.class_name)
        inside = present[images.name][:, NAMES.index(effect.concept)]
        a, b = images.confidence[inside], images.confidence[~inside]
        assert effect.test == "permutation"
        assert effect.gap == welch_gap(a, b, effective=(a.size, b.size))
        slow = stats.permutation_test(
            (a, b),
            lambda x, y, axis, a=a, b=b: np.abs(
                (x.mean(axis=axis) - y.mean(axis=axis))
                / np.sqrt(x.var(axis=axis, ddof=1) / a.size + y.var(axis=axis, ddof=1) / b.size)
            ),
            n_resamples=4000,
            alternative="greater",
            vectorized=True,
            rng=np.random.default_rng(1),
        ).pvalue
        assert effect.p == pytest.approx(slow, abs=5 * math.sqrt(0.25 / 4000) * 2 * slow + 0.004)
        assert effect.p_adjusted == effect.p


def _slow_westfall_young(statistics, observed):
    """Step-down: ``statistics [B, m]``, larger is stronger."""
    order = np.argsort(-observed)
    adjusted = np.empty(observed.size)
    worst = 0.0
    for place, test in enumerate(order):
        rest = order[place:]
        reached = (statistics[:, rest].max(axis=1) >= observed[test] - 1e-12).sum()
        worst = max(worst, (1 + reached) / (1 + len(statistics)))
        adjusted[test] = worst
    return adjusted


def test_adjusted_accuracy_is_step_down_min_p_over_all_classes():
    classes, present, _ = _world(seed=3, drop=0.25)
    effects = hidden.test_concepts(classes, present, NAMES, permutations=2000, seed=1)
    rng = np.random.default_rng(9)
    drawn = []
    for _ in range(1200):
        p = []
        for images in classes:
            right, tags = rng.permutation(images.correct), present[images.name]
            hits, n = (tags & right[:, None]).sum(axis=0), tags.sum(axis=0)
            p.append(fisher_p_values(hits, n, right.sum() - hits, len(images) - n))
        drawn.append(-np.concatenate(p))
    observed = np.array([-effect.p for effect in effects])
    want = np.maximum(_slow_westfall_young(np.array(drawn), observed), -observed)
    got = np.array([effect.p_adjusted for effect in effects])
    assert got == pytest.approx(want, abs=0.05)
    assert got.min() < 0.05


@pytest.mark.parametrize(
    ("adjustment", "correct"), [("holm", holm), ("benjamini_hochberg", benjamini_hochberg)]
)
def test_holm_and_benjamini_hochberg_over_all_classes(adjustment, correct):
    classes, present, scores = _world()
    for effects in (
        hidden.test_concepts(classes, present, NAMES, adjustment=adjustment),
        hidden.test_rankings(classes, scores, adjustment=adjustment),
    ):
        p = [effect.p for effect in effects]
        assert [effect.p_adjusted for effect in effects] == pytest.approx(correct(p))


def test_ranking_of_accuracy_is_mann_whitney_with_auroc_and_top_gap():
    classes, _, scores = _world()
    for effect in hidden.test_rankings(classes, scores, permutations=99, top_k=7):
        images = next(c for c in classes if c.name == effect.class_name)
        values = scores[images.name][effect.concept]
        right = images.correct
        want = stats.mannwhitneyu(values[right], values[~right], method="exact")
        assert effect.test == "mann_whitney"
        assert effect.p == pytest.approx(want.pvalue, rel=1e-9)
        assert effect.auroc.value == pytest.approx(
            want.statistic / (right.sum() * (~right).sum()), rel=1e-12
        )
        assert effect.direction == ("helps" if effect.auroc.value > 0.5 else "hurts")
        order = np.argsort(values)
        assert effect.top_gap == pytest.approx(right[order[-7:]].mean() - right[order[:7]].mean())
        assert effect.top_k == 7
        upper = values > np.median(values)
        assert effect.n_present == upper.sum()
        assert effect.gap.value == pytest.approx(right[upper].mean() - right[~upper].mean())


def test_ranking_of_confidence_is_spearman():
    classes, _, scores = _world(seed=2)
    effects = hidden.test_rankings(
        classes, scores, metric="confidence", permutations=4000, adjustment="none"
    )
    for effect in effects:
        images = next(c for c in classes if c.name == effect.class_name)
        want = stats.spearmanr(scores[images.name][effect.concept], images.confidence)
        assert effect.correlation.value == pytest.approx(want.statistic, abs=1e-12)
        assert effect.p == pytest.approx(want.pvalue, abs=0.03)
        assert effect.auroc is None
        assert effect.correlation.low < effect.correlation.value < effect.correlation.high


def test_permuted_ranks_single_and_joint_against_a_loop():
    rng = np.random.default_rng(5)
    problems, loops = [], []
    for n in (25, 40):
        outcome = np.round(rng.random(n), 1)
        scores = np.round(rng.normal(size=(n, 3)) + outcome[:, None] * (1.2, 0.3, 0), 1)
        ranks = middle_ranks(scores), middle_ranks(outcome[:, None])[:, 0]
        problems.append(LinearProblem(*ranks, None, b"k%d" % n))
        loops.append((scores, outcome))
    single, joint = permute(problems, permutations=3000, seed=2)

    def statistic(scores, outcome):
        return np.sqrt(len(outcome) - 1) * np.array(
            [abs(stats.spearmanr(s, outcome).statistic) for s in scores.T]
        )

    observed = np.concatenate([statistic(*loop) for loop in loops])
    ranks = [(stats.rankdata(s, axis=0), stats.rankdata(o)) for s, o in loops]
    drawn = np.array(
        [
            np.concatenate(
                [
                    np.abs([np.corrcoef(s, rng.permutation(o))[0, 1] for s in r.T])
                    * np.sqrt(len(o) - 1)
                    for r, o in ranks
                ]
            )
            for _ in range(600)
        ]
    )
    # The loop draws anew for every ranking: right for single tests.
    assert np.concatenate(single) == pytest.approx(
        (1 + (drawn >= observed - 1e-9).sum(axis=0)) / 601, abs=0.06
    )
    together = []
    for _ in range(1500):
        row = []
        for r, o in ranks:
            shuffled = rng.permutation(o)
            row += [abs(np.corrcoef(s, shuffled)[0, 1]) * np.sqrt(len(o) - 1) for s in r.T]
        together.append(row)
    assert np.concatenate(joint) == pytest.approx(
        _slow_westfall_young(np.array(together), observed), abs=0.05
    )
    for problem, want in zip(problems, single, strict=True):
        one = LinearProblem(problem.weights[:, :1], problem.outcome, None, b"x")
        up = one_sided_p(one, rising=True, permutations=3000, seed=0)
        down = one_sided_p(one, rising=False, permutations=3000, seed=0)
        assert 2 * min(up, down) == pytest.approx(want[0], abs=0.03)
        assert up < down
        assert up + down >= 1


def test_linear_statistic_is_standardised_over_every_permutation_of_blocks():
    rng = np.random.default_rng(0)
    groups = np.array([0, 1, 1, 2, 3, 3, 4, 5, 6, 6, 7, 7, 7])
    outcome, weights = rng.normal(size=13), rng.normal(size=(13, 2))
    every = []
    singles, pairs = [[0], [3], [6], [7]], [[1, 2], [4, 5], [8, 9]]
    for a in itertools.permutations(singles):
        for b in itertools.permutations(pairs):
            row = np.arange(13)
            row[np.ravel(singles)] = np.ravel(a)
            row[np.ravel(pairs)] = np.ravel(b)
            every.append(outcome[row] @ weights)
    every = np.array(every)
    scaled = _scale(LinearProblem(weights, outcome, groups, b""))
    assert scaled.observed == pytest.approx(
        (outcome @ weights - every.mean(axis=0)) / every.std(axis=0), rel=1e-9
    )
    z = np.abs(every - every.mean(axis=0)) / every.std(axis=0)
    single, joint = permute(
        [LinearProblem(weights, outcome, groups, b"")], permutations=6000, seed=1
    )
    observed = np.abs(scaled.observed)
    assert single[0] == pytest.approx((z >= observed - 1e-9).mean(axis=0), abs=0.025)
    weak, strong = np.argsort(observed)
    assert joint[0][strong] == pytest.approx(
        (z.max(axis=1) >= observed[strong] - 1e-9).mean(), abs=0.025
    )
    assert joint[0][weak] >= joint[0][strong]
    stuck = LinearProblem(weights[:3], outcome[:3], np.array([0, 1, 1]), b"")
    assert permute([stuck], permutations=99, seed=0)[1][0].tolist() == [1, 1]


def test_adjusted_confidence_is_step_down_over_all_classes():
    classes, present, _ = _world(seed=3, drop=0.45)
    effects = hidden.test_concepts(
        classes, present, NAMES, metric="confidence", permutations=3000, seed=1
    )
    rng = np.random.default_rng(9)

    def strengths(shuffle):
        row = []
        for images in classes:
            y = shuffle(images.confidence)
            row += [
                abs(np.corrcoef(y, t)[0, 1]) * np.sqrt(y.size - 1) for t in present[images.name].T
            ]
        return row

    drawn = np.array([strengths(rng.permutation) for _ in range(1500)])
    want = _slow_westfall_young(drawn, np.array(strengths(np.array)))
    got = np.array([effect.p_adjusted for effect in effects])
    p = np.array([effect.p for effect in effects])
    assert got == pytest.approx(np.maximum(want, p), abs=0.05)
    assert got.min() < 0.05


def test_unknown_scores_are_left_out():
    classes, _, scores = _world()
    holes = {name: dict(values) for name, values in scores.items()}
    hole = holes["class 0"]["water"] = scores["class 0"]["water"].copy()
    hole[[3, 8, 20]] = np.nan
    got = hidden.test_rankings(classes, holes, permutations=999)[0]
    known = ~np.isnan(hole)
    right = classes[0].correct[known]
    want = stats.mannwhitneyu(hole[known][right], hole[known][~right], method="exact")
    assert got.unknown == 3
    assert got.p == pytest.approx(want.pvalue, rel=1e-9)
    assert got.n_present + got.n_absent == 87
    assert got.p_adjusted < 0.05


def test_correlation_interval_is_fishers_z_and_covers():
    rng = np.random.default_rng(0)
    covered, worlds, rho = 0, 600, 0.5
    truth = 6 / math.pi * math.asin(rho / 2)  # Spearman's of a normal pair
    for _ in range(worlds):
        x = rng.normal(size=50)
        y = rho * x + math.sqrt(1 - rho**2) * rng.normal(size=50)
        e = correlation_of(x, y, size=50, level=0.95)
        covered += e.low <= truth <= e.high
    assert 0.92 <= covered / worlds <= 0.975
    one = correlation_of(np.arange(9.0), np.arange(9.0), size=9, level=0.95)
    assert one.value == one.high == 1
    assert math.isnan(correlation_of(np.arange(3.0), np.arange(3.0), size=3, level=0.95).low)


def test_near_duplicates_count_once():
    rng = np.random.default_rng(7)
    n = 60
    tags, right = rng.random((n, 2)) < 0.4, rng.random(n) < 0.7
    confidence = rng.random(n)
    single = ClassImages("a", tuple(map(str, range(n))), right, confidence)
    many = ClassImages(
        "a",
        tuple(map(str, range(6 * n))),
        np.repeat(right, 6),
        np.repeat(confidence, 6),
        np.repeat(np.arange(n), 6),
    )
    options = {"permutations": 4000, "seed": 3}
    for one, six in zip(
        hidden.test_concepts([single], {"a": tags}, ["x", "y"], **options),
        hidden.test_concepts([many], {"a": np.repeat(tags, 6, axis=0)}, ["x", "y"], **options),
        strict=True,
    ):
        assert six.test == "permutation"
        assert six.n_present == 6 * one.n_present
        assert (six.gap.low, six.gap.high) == pytest.approx((one.gap.low, one.gap.high), abs=1e-9)
        inside = tags[:, ["x", "y"].index(one.concept)]
        _, alone = studentised_permutation(right.astype(float), inside[:, None], permutations=4000)
        assert six.p == pytest.approx(alone[0], abs=0.035)
        assert six.p_adjusted >= six.p
        assert six.smallest_detectable == pytest.approx(one.smallest_detectable)
    scores = {"x": rng.normal(size=n)}
    for metric in ("accuracy", "confidence"):
        one = hidden.test_rankings([single], {"a": scores}, metric=metric, **options)[0]
        six = hidden.test_rankings(
            [many], {"a": {"x": np.repeat(scores["x"], 6)}}, metric=metric, **options
        )[0]
        assert six.p == pytest.approx(one.p, abs=0.035)
        a, b = (
            (one.auroc, six.auroc) if metric == "accuracy" else (one.correlation, six.correlation)
        )
        assert (a.low, a.high) == pytest.approx((b.low, b.high), abs=1e-6)
