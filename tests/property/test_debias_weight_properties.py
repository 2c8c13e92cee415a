"""What holds for every density: shares, order, units, caps."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sundog.debias.sampling_weights import sampling_weights
from sundog.debias.weighted_order import weighted_order

RULES = st.sampled_from(["product", "max", "max-m", "inverse", "tempered"])
DENSITY = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=12),
    elements=st.floats(-800, 50),
)
LABELS = st.integers(0, 2**31)


def labels_for(density, seed):
    return np.random.default_rng(seed).integers(-1, 3, len(density))


@given(DENSITY, RULES, LABELS)
def test_probabilities_sum_to_1_and_classes_keep_their_share(density, rule, seed):
    labels = labels_for(density, seed)
    made = sampling_weights(density, rule=rule, labels=labels)
    assert np.isfinite(made.probabilities).all()
    assert abs(made.probabilities.sum() - 1) < 1e-9
    for row in made.classes:
        assert abs(row.share - (labels == row.label).mean()) < 1e-9
        assert row.effective_size <= row.n * (1 + 1e-9)
    unlabelled = made.probabilities[labels == -1]
    np.testing.assert_allclose(unlabelled, 1 / len(density), rtol=1e-9)


@given(DENSITY, RULES, st.floats(1, 5))
def test_no_image_exceeds_the_clip(density, rule, clip):
    made = sampling_weights(density, rule=rule, clip=clip)
    assert made.probabilities.max() <= clip / len(density) * (1 + 1e-9)


@given(DENSITY, RULES, LABELS)
def test_the_order_of_the_images_does_not_matter(density, rule, seed):
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(density))
    labels = labels_for(density, seed)
    straight = sampling_weights(density, rule=rule, labels=labels).probabilities[order]
    moved = sampling_weights(density[order], rule=rule, labels=labels[order]).probabilities
    np.testing.assert_allclose(moved, straight, rtol=1e-6, atol=1e-12)


@given(DENSITY, st.floats(-200, 200), st.sampled_from(["inverse", "tempered"]))
def test_without_alpha_the_unit_of_the_density_cancels(density, shift, rule):
    kwargs = {"temperature": 3.0} if rule == "tempered" else {}
    one = sampling_weights(density, rule=rule, **kwargs).probabilities
    other = sampling_weights(density + shift, rule=rule, **kwargs).probabilities
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-12)


@given(
    hnp.arrays(np.float64, st.integers(2, 12), elements=st.floats(-800, 50)),
    RULES,
    st.sampled_from([None, 2.0]),
)
def test_a_rarer_image_never_gets_less(density, rule, clip):
    made = sampling_weights(density, rule=rule, clip=clip).probabilities
    falling = made[np.argsort(density, kind="stable")]
    assert (np.diff(falling) <= 1e-12).all()


@given(st.integers(2, 50), st.floats(-900, 10), RULES, st.integers(1, 4))
def test_null_world_a_uniform_density_is_flagged(count, level, rule, latents):
    made = sampling_weights(np.full((count, latents), level), rule=rule)
    np.testing.assert_allclose(made.probabilities, 1 / count, rtol=1e-9)
    assert any("practically uniform" in text for text in made.warnings)


@given(
    hnp.arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 1)).filter(
        lambda p: p.sum() > 0.01
    ),
    st.integers(0, 1000),
)
def test_what_has_no_weight_is_never_drawn(p, seed):
    drawn = weighted_order(p, count=200, seed=seed, epoch=0).numpy()
    assert (p[drawn] > 0).all()


def test_drawn_frequencies_are_the_probabilities():
    p = np.array([0.5, 0.0, 0.3, 0.15, 0.05])
    drawn = weighted_order(p, count=200_000, seed=3, epoch=1).numpy()
    share = np.bincount(drawn, minlength=5) / 200_000
    np.testing.assert_allclose(share, p, atol=4 * np.sqrt(0.25 / 200_000))
    again = weighted_order(p, count=200_000, seed=3, epoch=1).numpy()
    assert (drawn == again).all()
    assert (drawn != weighted_order(p, count=200_000, seed=3, epoch=2).numpy()).any()
