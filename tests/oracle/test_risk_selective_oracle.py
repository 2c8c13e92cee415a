"""Selective prediction, detection and rank correlation against slow loops, scipy, scikit-learn."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from sundog.core.errors import InputError
from sundog.risk.correlation import risk_correlations, spearman
from sundog.risk.detection import detection_scores
from sundog.risk.selective import risk_coverage_curve, selective_scores


def _one_order(wrong, coverage, limit):
    """Every score of one fixed order, image by image."""
    n = len(wrong)
    errors = [sum(wrong[: i + 1]) for i in range(n)]
    risks = [errors[i] / (i + 1) for i in range(n)]
    area = 0.0
    for i in range(n):  # trapezoids from (0, 0)
        area += ((errors[i - 1] if i else 0) + errors[i]) / 2 / n / n
    return sum(risks) / n, area, errors


def _slow(risk, correct, coverage=0.8, limit=0.05):
    """The mean over all orders of tied images, by listing them."""
    n = len(risk)
    wrong = (~correct).astype(int)
    orders = [
        [i for block in choice for i in block]
        for choice in itertools.product(
            *(
                list(itertools.permutations(np.flatnonzero(risk == value)))
                for value in np.unique(risk)
            )
        )
    ]
    runs = [_one_order(wrong[list(order)], coverage, limit) for order in orders]
    aurc, augrc = np.mean([run[0] for run in runs]), np.mean([run[1] for run in runs])
    errors = np.mean([run[2] for run in runs], axis=0)
    best = _one_order(np.sort(wrong), coverage, limit)[0]
    kept = next(m for m in range(1, n + 1) if m >= coverage * n - 1e-12)
    fitting = [i + 1 for i in range(n) if errors[i] / (i + 1) <= limit + 1e-12]
    return {
        "aurc": aurc,
        "excess_aurc": aurc - best,
        "augrc": augrc,
        "risk_at_coverage": errors[kept - 1] / kept,
        "coverage_at_risk": max(fitting, default=0) / n,
    }


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=7),
    st.sampled_from([0.3, 0.5, 0.8, 1.0]),
    st.sampled_from([0.0, 0.05, 0.25, 0.5]),
)
def test_selective_scores_are_the_mean_over_all_orders_of_ties(rows, coverage, limit):
    risk = np.array([row[0] for row in rows], dtype=float)
    correct = np.array([row[1] for row in rows])
    got = selective_scores(risk, correct, coverage=coverage, limit=limit, resamples=0)
    for name, want in _slow(risk, correct, coverage, limit).items():
        assert getattr(got, name).value == pytest.approx(want, abs=1e-12), name


def test_augrc_is_the_closed_form_of_its_authors():
    rng = np.random.default_rng(0)
    for ties in (False, True):
        risk = rng.normal(size=500)
        correct = rng.random(500) > 1 / (1 + np.exp(-risk))
        risk = np.round(risk, 0 if ties else 12)
        got = selective_scores(risk, correct, resamples=0)
        auroc, a = roc_auc_score(~correct, risk), correct.mean()
        assert got.failure_auroc.value == pytest.approx(auroc)
        assert got.augrc.value == pytest.approx((1 - auroc) * a * (1 - a) + (1 - a) ** 2 / 2)


def test_selective_limits():
    correct = np.repeat([True, False], [80, 20])
    perfect = selective_scores(np.arange(100.0), correct)
    assert perfect.excess_aurc.value == pytest.approx(0, abs=1e-12)
    assert perfect.augrc.value == pytest.approx(0.2**2 / 2)
    assert perfect.risk_at_coverage.value == 0
    assert perfect.coverage_at_risk.value == pytest.approx(84 / 100)  # 4 / 84 < .05 < 5 / 85
    assert perfect.failure_auroc.value == 1
    worst = selective_scores(-np.arange(100.0), correct)
    assert worst.failure_auroc.value == 0
    assert worst.coverage_at_risk.value == 0
    constant = selective_scores(np.zeros(100), correct)
    assert constant.aurc.value == pytest.approx(0.2)
    assert constant.augrc.value == pytest.approx(0.1)
    assert constant.risk_at_coverage.value == pytest.approx(0.2)
    assert constant.coverage_at_risk.value == 0
    assert constant.failure_auroc.value == 0.5
    right = selective_scores(np.arange(5.0), np.ones(5, dtype=bool))
    assert (right.aurc.value, right.coverage_at_risk.value) == (0, 1)
    assert math.isnan(right.failure_auroc.value)
    wrong = selective_scores(np.arange(5.0), np.zeros(5, dtype=bool))
    assert (wrong.aurc.value, wrong.augrc.value) == (1, 0.5)
    nothing = selective_scores(np.empty(0), np.empty(0, dtype=bool))
    assert nothing.aurc.n == 0
    assert math.isnan(nothing.aurc.value)


def test_selective_scores_see_the_order_alone_and_not_the_order_of_the_rows():
    rng = np.random.default_rng(1)
    risk, correct = np.round(rng.normal(size=300), 1), rng.random(300) < 0.7
    first = selective_scores(risk, correct, resamples=200, seed=3)
    moved = rng.permutation(300)
    assert selective_scores(risk[moved], correct[moved], resamples=200, seed=3) == first
    assert selective_scores(np.exp(risk), correct, resamples=200, seed=3) == first
    far = np.where(risk == risk.max(), np.inf, risk)
    assert selective_scores(far, correct, resamples=200, seed=3) == first


def test_selective_intervals_cover_the_truth():
    """A risk with a known error rate: P(wrong | u) = u^2, u uniform."""
    rng = np.random.default_rng(2)
    # E(c)/c = c²/3, so aurc = 1/9; augrc = int c³/3 = 1/12; risk at .8 = .64/3
    truth = {"aurc": 1 / 9, "augrc": 1 / 12, "risk_at_coverage": 0.64 / 3}
    hits = dict.fromkeys(truth, 0)
    for run in range(120):
        u = rng.random(300)
        got = selective_scores(u, rng.random(300) >= u**2, resamples=300, seed=run)
        for name, value in truth.items():
            hits[name] += getattr(got, name).low <= value <= getattr(got, name).high
    assert all(105 <= count <= 120 for count in hits.values()), hits


def test_curve_ends_at_the_error_and_agrees_with_the_scores():
    rng = np.random.default_rng(3)
    risk, correct = np.round(rng.normal(size=407), 1), rng.random(407) < 0.6
    curve = risk_coverage_curve(risk, correct, points=None)
    got = selective_scores(risk, correct, resamples=0)
    assert curve["risk"].mean() == pytest.approx(got.aurc.value)
    assert curve["risk"].iloc[-1] == pytest.approx((~correct).mean())
    short = risk_coverage_curve(risk, correct, points=20)
    assert len(short) == 20
    assert short["coverage"].iloc[-1] == 1
    assert short.merge(curve, on="kept")["risk_x"].to_numpy() == pytest.approx(
        short.merge(curve, on="kept")["risk_y"].to_numpy()
    )
    assert len(risk_coverage_curve([], np.empty(0, dtype=bool))) == 0


@pytest.mark.parametrize("bad", [[math.nan, 1.0], [[1.0, 2.0]]])
def test_selective_refuses_nan_and_tables(bad):
    with pytest.raises(InputError):
        selective_scores(bad, np.array([True, False]))
    with pytest.raises(InputError):
        detection_scores(bad, [1.0])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=30),
    st.lists(st.integers(-2, 4), min_size=1, max_size=30),
)
def test_detection_is_scikit_learns(inside, outside):
    got = detection_scores(np.array(inside), np.array(outside), resamples=0)
    score = np.array(inside + outside, dtype=float)
    out = np.repeat([0, 1], [len(inside), len(outside)])
    assert got.auroc.value == pytest.approx(roc_auc_score(out, score))
    assert got.aupr_out.value == pytest.approx(average_precision_score(out, score))
    assert got.aupr_in.value == pytest.approx(average_precision_score(1 - out, -score))
    for name, positive, values in (("fpr95_out", out, score), ("fpr95_in", 1 - out, -score)):
        false, true, _ = roc_curve(positive, values, drop_intermediate=False)
        assert getattr(got, name).value == pytest.approx(false[np.argmax(true >= 0.95 - 1e-12)])


def test_detection_agrees_with_torchmetrics():
    import torch
    from torchmetrics.functional.classification import binary_auroc, binary_average_precision

    rng = np.random.default_rng(0)
    inside, outside = rng.random(200) * 0.8, 0.2 + rng.random(100) * 0.8
    got = detection_scores(inside, outside, resamples=0)
    score = torch.tensor(np.concatenate([inside, outside]))
    out = torch.tensor(np.repeat([0, 1], [200, 100]))
    assert got.auroc.value == pytest.approx(float(binary_auroc(score, out)), abs=1e-6)
    assert got.aupr_out.value == pytest.approx(
        float(binary_average_precision(score, out)), abs=1e-6
    )
    assert got.aupr_in.value == pytest.approx(
        float(binary_average_precision(1 - score, 1 - out)), abs=1e-6
    )


def test_detection_limits_and_intervals():
    apart = detection_scores([0.0, 1.0, 2.0], [5.0, np.inf])
    assert (apart.auroc.value, apart.aupr_out.value, apart.aupr_in.value) == (1, 1, 1)
    assert (apart.fpr95_out.value, apart.fpr95_in.value) == (0, 0)
    same = detection_scores(np.zeros(30), np.zeros(10))
    assert (same.auroc.value, same.fpr95_out.value, same.aupr_out.value) == (0.5, 1, 0.25)
    assert same.share_out == 0.25
    swapped = detection_scores([5.0, 6.0], [0.0, 1.0])
    assert swapped.auroc.value == 0
    assert swapped.fpr95_out.value == 1
    assert math.isnan(detection_scores([], [1.0]).auroc.value)
    rng = np.random.default_rng(4)
    hits = {"auroc": 0, "fpr95_out": 0}
    truth = {
        "auroc": stats.norm.cdf(1.5 / math.sqrt(2)),
        "fpr95_out": stats.norm.sf(1.5 + stats.norm.ppf(0.05)),
    }
    for run in range(100):
        got = detection_scores(
            rng.normal(size=300), 1.5 + rng.normal(size=300), resamples=300, seed=run
        )
        for name, value in truth.items():
            hits[name] += getattr(got, name).low <= value <= getattr(got, name).high
    assert all(88 <= count <= 100 for count in hits.values()), hits


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=40))
def test_spearman_is_scipys(rows):
    a, b = np.array(rows, dtype=float).T
    got, p = spearman(a, b)
    if np.unique(a).size == 1 or np.unique(b).size == 1:
        assert math.isnan(got.value)
        assert math.isnan(p)
        return
    want = stats.spearmanr(a, b)
    assert got.value == pytest.approx(want.statistic, abs=1e-12)
    if abs(want.statistic) < 1 - 1e-9:
        assert p == pytest.approx(want.pvalue, rel=1e-9)
    assert got.low <= got.value <= got.high
    assert spearman(-a, b)[0].value == pytest.approx(-got.value, abs=1e-12)


def test_p_value_of_a_perfect_order_counts_the_orders():
    for a in ([1, 2, 3, 4, 5], [1, 1, 2, 3, 4], [0, 0, 0, 1]):
        orders = list(itertools.permutations(a))
        x = np.array(a, dtype=float)
        extreme = [abs(stats.spearmanr(x, order).statistic) > 1 - 1e-9 for order in orders]
        p = spearman(x, x)[1]
        assert p >= np.mean(extreme) - 1e-12
        if len(set(a)) == len(a):
            assert p == pytest.approx(np.mean(extreme))


def test_interval_of_spearman_covers():
    rng = np.random.default_rng(5)
    for r in (0.0, 0.6, 0.9):
        truth = 6 / math.pi * math.asin(r / 2)
        hits = 0
        for _ in range(400):
            x = rng.normal(size=80)
            y = r * x + math.sqrt(1 - r * r) * rng.normal(size=80)
            got = spearman(x, y)[0]
            hits += got.low <= truth <= got.high
        assert 0.92 <= hits / 400 <= 0.98


def test_correlations_report_every_pair_and_say_what_is_the_same():
    rng = np.random.default_rng(6)
    x, noise = rng.normal(size=200), rng.normal(size=200)
    gaps = np.where(np.arange(200) < 7, np.nan, noise)
    found = risk_correlations(
        {"representation": -x, "epistemic": np.exp(x), "aleatoric": gaps, "knn": np.zeros(200)}
    )
    assert len(found.pairs) == 6
    table = found.table().set_index(["a", "b"])
    assert table.loc[("representation", "epistemic"), "rho"] == -1
    assert "the opposite order" in table.loc[("representation", "epistemic"), "note"]
    assert table.loc[("representation", "aleatoric"), "left_out"] == 7
    assert table.loc[("representation", "aleatoric"), "note"] == ""
    assert "knn: the same value" in table.loc[("epistemic", "knn"), "note"]
    assert np.isnan(found.matrix().loc["knn", "epistemic"])
    assert found.matrix().equals(found.matrix().T)
    assert len(found.notes) == 4
    assert (table["p_holm"].dropna() >= table["p_value"].dropna()).all()
    assert risk_correlations({"only": x}).pairs == ()
    with pytest.raises(InputError, match="equally many"):
        risk_correlations({"a": x, "b": x[1:]})
