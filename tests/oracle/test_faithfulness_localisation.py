"""Localisation scores by hand and against loops; empty masks, constant and zero maps."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sundog.core.errors import InputError
from sundog.faithfulness.localisation import (
    LOCALISATION,
    mass_lift,
    pointing_game,
    rank_accuracy,
    relevance_mass,
)

MAP = torch.tensor([[[4.0, -3.0, 1.0], [0.0, 2.0, -1.0]]])
MASK = torch.tensor([[[True, True, False], [False, False, True]]])


def test_by_hand():
    assert relevance_mass(MAP, MASK).values[0] == pytest.approx(4 / 7)
    assert relevance_mass(MAP, MASK, positive_only=False).values[0] == pytest.approx(8 / 11)
    assert mass_lift(MAP, MASK).values[0] == pytest.approx(8 / 7)
    # The three most relevant pixels are 4, 2, 1; one lies in the mask of three.
    assert rank_accuracy(MAP, MASK).values[0] == pytest.approx(1 / 3)
    assert pointing_game(MAP, MASK).values[0] == 1
    assert pointing_game(MAP, ~MASK).values[0] == 0


def test_tolerance_is_a_euclidean_distance_in_pixels():
    relevance, mask = torch.zeros(1, 9, 9), torch.zeros(1, 9, 9, dtype=torch.bool)
    relevance[0, 0, 0] = 1
    mask[0, 3, 4] = True
    for tolerance, hit in ((0, 0), (4.9, 0), (5, 1), (15, 1)):
        assert pointing_game(relevance, mask, tolerance=tolerance).values[0] == hit


def test_rank_ties_count_with_their_chance():
    relevance = torch.tensor([[[3.0, 1.0, 1.0, 1.0, 0.0]]])
    mask = torch.tensor([[[False, True, True, False, False]]])
    # Two places: the 3 takes one; three tied pixels share the other, two of them in the mask.
    assert rank_accuracy(relevance, mask).values[0] == pytest.approx((1 / 3 * 2) / 2)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(4000):
        order = np.lexsort((rng.random(5), -relevance.flatten().numpy()))[:2]
        drawn.append(mask.flatten().numpy()[order].mean())
    assert np.mean(drawn) == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize("value", [1.0, 1e-30, 1e30])
def test_a_constant_map_scores_its_area_share(value):
    relevance = torch.full((1, 2, 3), value, dtype=torch.float64)
    for name, expected in (
        ("relevance_mass", 0.5),
        ("mass_lift", 1),
        ("rank_accuracy", 0.5),
        ("pointing_game", 0.5),
    ):
        assert LOCALISATION[name](relevance, MASK).values[0] == pytest.approx(expected)


@pytest.mark.parametrize("name", sorted(LOCALISATION))
def test_what_has_no_answer_is_nan_with_its_reason_and_spoils_nothing_else(name):
    maps = MAP.repeat(5, 1, 1)
    masks = MASK.repeat(5, 1, 1)
    masks[1] = False
    maps[2] = 0
    maps[3, 0, 0] = math.nan
    got = LOCALISATION[name](maps, masks)
    assert got.reasons == ("", "empty mask", "map is zero", "map not finite", "")
    assert np.isnan(got.values).tolist() == [False, True, True, True, False]
    alone = LOCALISATION[name](maps[4:], masks[4:])
    assert got.values[4] == alone.values[0] == got.values[0]


def test_a_negative_map_has_no_positive_mass_but_a_rank():
    got = relevance_mass(-MAP.abs() - 1, MASK)
    assert got.reasons == ("no positive relevance",)
    assert math.isnan(got.values[0])
    assert rank_accuracy(torch.full((1, 2, 3), -2.0), MASK).values[0] == pytest.approx(0.5)


def test_a_full_mask_and_one_pixel():
    one = torch.ones(1, 1, 1)
    for name in LOCALISATION:
        assert LOCALISATION[name](one, one.bool()).values[0] == 1
        assert LOCALISATION[name](MAP, torch.ones_like(MASK)).values[0] == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
def test_loops_batches_and_scaling(seed, n, h, w):
    rng = torch.Generator().manual_seed(seed)
    maps = torch.randint(-3, 4, (n, h, w), generator=rng).double()
    masks = torch.rand(n, h, w, generator=rng) > 0.5
    for name, score in LOCALISATION.items():
        together = score(maps, masks)
        alone = [score(maps[k : k + 1], masks[k : k + 1]).values[0] for k in range(n)]
        np.testing.assert_array_equal(together.values, np.array(alone))
        scaled = score(maps * 7.5, masks)
        np.testing.assert_allclose(together.values, scaled.values, rtol=1e-12)
        for value in together.values[~np.isnan(together.values)]:
            assert 0 <= value <= (h * w if name == "mass_lift" else 1) + 1e-12
    mass = relevance_mass(maps, masks).values
    for k in range(n):
        top = sum(max(float(r), 0) for r, m in zip(maps[k].flatten(), masks[k].flatten()) if m)  # noqa: B905
        bottom = sum(max(float(r), 0) for r in maps[k].flatten())
        if bottom and masks[k].any():
            assert mass[k] == pytest.approx(top / bottom)


def test_wrong_masks_are_refused():
    with pytest.raises(InputError, match="masks must be of the maps' shape"):
        relevance_mass(MAP, MASK[:, :1])
    with pytest.raises(InputError, match="masks must be boolean"):
        relevance_mass(MAP, MAP)
    with pytest.raises(InputError, match="masks must be boolean"):
        relevance_mass(MAP, MASK.int() * 2)
    with pytest.raises(InputError, match="tolerance must be at least 0"):
        pointing_game(MAP, MASK, tolerance=-1)
    assert relevance_mass(MAP, MASK.long()).values[0] == pytest.approx(4 / 7)
