"""Sampling weights against slow formulas with 60 digits, and against the published code's rules."""

from decimal import Decimal, getcontext

import numpy as np
import pytest

from sundog.debias.mixing import mix_weights, risk_weights
from sundog.debias.sampling_weights import sampling_weights
from sundog.debias.weight_report import kish_size, report_weights

getcontext().prec = 60


def slow(log_density, *, rule, alpha=0.0, m=5, temperature=1.0):
    """The weights of one class in decimal arithmetic: nothing underflows."""
    p = [[Decimal(float(v)).exp() for v in row] for row in np.atleast_2d(log_density.T).T]
    a = Decimal(alpha)
    if rule == "product":
        w = [np.prod([1 / (v + a) for v in row]) for row in p]
    elif rule == "inverse":
        w = [1 / (np.prod(row) + a) for row in p]
    elif rule == "tempered":
        w = [np.prod(row) ** (Decimal(-1) / Decimal(temperature)) for row in p]
    elif rule == "max-m":
        w = [np.prod(sorted((1 / (v + a) for v in row), reverse=True)[:m]) for row in p]
    else:
        inverse = [[1 / (v + a) for v in row] for row in p]
        totals = [sum(column) for column in zip(*inverse, strict=True)]
        w = [max(v / t for v, t in zip(row, totals, strict=True)) for row in inverse]
    total = sum(w)
    return np.array([float(v / total) for v in w])


@pytest.fixture(scope="module")
def density():
    draw = np.random.default_rng(1)
    return draw.normal(-2.0, 1.0, size=(40, 6))


@pytest.mark.parametrize("alpha", [0.0, 1e-3, 0.1])
@pytest.mark.parametrize("rule", ["product", "max", "max-m", "inverse"])
def test_each_rule_equals_its_slow_formula(density, rule, alpha):
    made = sampling_weights(density, rule=rule, alpha=alpha, m=3)
    np.testing.assert_allclose(
        made.probabilities, slow(density, rule=rule, alpha=alpha, m=3), rtol=1e-10
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 7.0])
def test_tempered_equals_its_slow_formula(density, temperature):
    made = sampling_weights(density, rule="tempered", temperature=temperature)
    expected = slow(density, rule="tempered", temperature=temperature)
    np.testing.assert_allclose(made.probabilities, expected, rtol=1e-10)


@pytest.mark.parametrize("rule", ["product", "max", "max-m", "inverse", "tempered"])
def test_densities_of_1e_minus_300_are_weighted_exactly(rule):
    """exp(-690 * 6) underflows float64; the weights must not notice."""
    draw = np.random.default_rng(2)
    density = np.log(1e-300) + draw.normal(0, 0.5, size=(30, 6))
    kwargs = {"temperature": 1.0} if rule == "tempered" else {"alpha": 0.0}
    made = sampling_weights(density, rule=rule, m=4, **kwargs)
    expected = slow(density, rule=rule, m=4)
    np.testing.assert_allclose(made.probabilities, expected, rtol=1e-9)
    assert made.max_min_ratio == pytest.approx(expected.max() / expected.min(), rel=1e-9)


def test_the_lab_rule_on_a_histogram_is_the_lab_code():
    """MIT lab 2 step by step: histogram, smoothing, bin of each image, inverse, max, normalise."""
    draw = np.random.default_rng(3)
    latent = draw.normal(size=(500, 4))
    alpha = 0.001
    chances = np.zeros(500)
    log_density = np.zeros((500, 4))
    for k in range(4):
        height, edges = np.histogram(latent[:, k], density=True, bins=10)
        edges[0], edges[-1] = -np.inf, np.inf
        place = np.digitize(latent[:, k], edges) - 1
        chance = 1.0 / ((height + alpha) / (height + alpha).sum())[place]
        chances = np.maximum(chances, chance / chance.sum())
        log_density[:, k] = np.log(height[place])
    made = sampling_weights(log_density, rule="max", alpha=alpha)
    np.testing.assert_allclose(made.probabilities, chances / chances.sum(), rtol=1e-10)


def test_the_formula_of_the_practical_is_flagged_as_uniform_and_the_tempered_rule_is_not():
    """Known bad: 1 / (score + 1e-7) with scores near 1e-16 changes nothing."""
    draw = np.random.default_rng(4)
    score = np.exp(draw.normal(np.log(1e-16), 2.0, size=2000))
    by_hand = 1.0 / (score + 1e-7)
    by_hand /= by_hand.sum()
    seed = sampling_weights(np.log(score), rule="inverse", alpha=1e-7)
    np.testing.assert_allclose(seed.probabilities, by_hand, rtol=1e-12)
    assert seed.max_min_ratio < 1.001
    assert any("practically uniform" in text for text in seed.warnings)
    fixed = sampling_weights(np.log(score), rule="tempered")
    assert fixed.warnings == ()
    assert fixed.effective_size == pytest.approx(1000, rel=1e-6)


def test_32_latents_of_5_bins_as_in_the_practical():
    """Capsa's score exp(sum log p) over 32 latents is uniform, the rule of the lab is not."""
    draw = np.random.default_rng(5)
    latent = draw.normal(size=(2000, 32))
    log_p = np.empty_like(latent)
    for k in range(32):
        height, edges = np.histogram(latent[:, k], bins=5)
        log_p[:, k] = np.log(height / 2000)[np.digitize(latent[:, k], edges[1:-1])]
    seed = sampling_weights(log_p, rule="inverse", alpha=1e-7)
    assert seed.max_min_ratio < 1.01
    assert "practically uniform" in seed.warnings[0]
    product = sampling_weights(log_p, rule="product")
    assert product.effective_size < 0.05 * 2000
    assert any("rest on a few images" in text for text in product.warnings)
    assert sampling_weights(log_p, rule="max").warnings == ()


def test_the_automatic_temperature_reaches_the_wanted_size_and_no_lower_one_does():
    draw = np.random.default_rng(6)
    log_p = draw.normal(-400, 30, size=300)
    made = sampling_weights(log_p, effective_share=0.4)
    assert made.effective_size == pytest.approx(120, rel=1e-9)
    # the temperature is the one that the same weights have: log w = -log p / T
    slope = np.polyfit(log_p, np.log(made.probabilities), 1)[0]
    colder = sampling_weights(log_p, temperature=-1 / slope * 0.99)
    assert colder.effective_size < 120


def test_the_automatic_temperature_is_never_below_1():
    log_p = np.log(np.array([0.5] * 50 + [0.25] * 50))
    made = sampling_weights(log_p)
    np.testing.assert_allclose(made.probabilities[:50], 1 / 150)
    np.testing.assert_allclose(made.probabilities[50:], 2 / 150)


def slow_clip(p, clip):
    """Cut to the cap and hand the rest out again until nothing changes."""
    p = p.copy()
    cap = clip / p.size
    fixed = np.zeros(p.size, dtype=bool)
    for _ in range(p.size):
        fixed |= p > cap
        free = ~fixed
        if not free.any():
            break
        p[fixed] = cap
        p[free] *= (1 - cap * fixed.sum()) / p[free].sum()
        if not (p > cap * (1 + 1e-12)).any():
            break
    return p


@pytest.mark.parametrize("clip", [1.5, 2.0, 5.0, 20.0])
def test_clipping_hands_the_rest_to_the_others(clip):
    draw = np.random.default_rng(7)
    log_p = draw.normal(0, 2, size=60)
    free = sampling_weights(log_p, temperature=1.0).probabilities
    made = sampling_weights(log_p, temperature=1.0, clip=clip).probabilities
    np.testing.assert_allclose(made, slow_clip(free, clip), rtol=1e-9)
    assert made.max() <= clip / 60 * (1 + 1e-9)


def test_kish_size_of_known_weights():
    assert kish_size([1, 1, 1, 1]) == 4
    assert kish_size([1, 0, 0]) == 1
    assert kish_size([3, 1]) == pytest.approx(16 / 10)
    assert kish_size([3e-300, 1e-300]) == pytest.approx(16 / 10)


def test_the_table_per_class_by_hand():
    p = np.array([0.1, 0.3, 0.2, 0.4])
    report = report_weights(p, labels=np.array([0, 0, 1, 1]))
    first, second = report.classes
    assert (first.share, second.share) == pytest.approx((0.4, 0.6))
    assert first.max_min_ratio == pytest.approx(3)
    assert first.effective_size == pytest.approx(16 / 10)
    assert second.effective_size == pytest.approx(36 / 20)
    assert report.effective_size == pytest.approx(1 / (0.01 + 0.09 + 0.04 + 0.16))
    assert report.max_min_ratio == pytest.approx(3)
    notes = report_weights(p, labels=np.array([0, 0, 1, 1]), classes=[1]).notes()
    assert notes["least_class_share"] == pytest.approx(36 / 20 / 2)
    assert notes["effective_share"] == pytest.approx(report.effective_size / 4)


def test_half_bias_half_reconstruction_as_in_the_practical_of_2023():
    draw = np.random.default_rng(8)
    density, error = draw.uniform(0.01, 1, 200), draw.uniform(0, 50, 200)
    bias = 1 / (density + 1e-7)
    recon = error + 1e-7
    expected = 0.5 * bias / bias.sum() + 0.5 * recon / recon.sum()
    mixed = mix_weights(
        [
            sampling_weights(np.log(density), rule="inverse", alpha=1e-7),
            risk_weights(error, offset=1e-7),
        ],
        [0.5, 0.5],
    )
    np.testing.assert_allclose(mixed.probabilities, expected, rtol=1e-12)
    assert mixed.settings["parts"][0]["alpha"] == 1e-7


def test_risk_weights_per_class_by_hand():
    made = risk_weights(
        np.array([1.0, 3.0, 5.0, 5.0]), offset=1.0, labels=np.array([0, 0, 1, 1]), classes=[0]
    )
    np.testing.assert_allclose(made.probabilities, [2 / 12, 4 / 12, 0.25, 0.25])
