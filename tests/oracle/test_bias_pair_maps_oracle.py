"""Statistics of maps against slow loops in float64, and what must not change them."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, entropy

from sundog.bias.pair_evidence import squared_deviations, weigh_pairs
from sundog.bias.pair_maps import map_statistics, top_overlap
from sundog.core.errors import InputError
from sundog.faithfulness.similarity import spearman


def described(image, top_share):
    """The definitions, one pixel at a time."""
    height, width = image.shape
    total = math.fsum(abs(float(v)) for v in image.ravel())
    shares = [abs(float(v)) / total for v in image.ravel()]
    k = max(1, round(top_share * height * width))
    best = max(range(len(shares)), key=lambda i: (shares[i], -i))
    return {
        "top_mass": math.fsum(sorted(shares, reverse=True)[:k]),
        "entropy": -math.fsum(p * math.log(p) for p in shares if p) / math.log(len(shares)),
        "centre_row": math.fsum(p * (i // width + 0.5) / height for i, p in enumerate(shares)),
        "centre_column": math.fsum(p * (i % width + 0.5) / width for i, p in enumerate(shares)),
        "peak_row": (best // width + 0.5) / height,
        "peak_column": (best % width + 0.5) / width,
    }


@pytest.mark.parametrize("shape", [(9, 14), (20, 20), (1, 7)])
@pytest.mark.parametrize("top_share", [0.005, 0.2])
def test_map_statistics_agree_with_loops(shape, top_share):
    random = np.random.default_rng(sum(shape))
    maps = random.normal(size=(6, *shape)) * 10.0 ** random.integers(-30, 30, (6, 1, 1))
    maps[1] = np.round(maps[1] / np.abs(maps[1]).max() * 3)  # ties and zeros
    found = map_statistics(maps, top_share=top_share)
    for row, image in zip(found.to_dict("records"), maps, strict=True):
        assert row == pytest.approx(described(image, top_share), rel=1e-12, abs=1e-15)


def test_known_maps_have_known_statistics():
    flat = np.full((10, 20), -2.0)
    point = np.zeros((10, 20))
    point[2, 15] = -7.0
    found = map_statistics(np.stack([flat, point])).to_dict("records")
    assert found[0]["top_mass"] == pytest.approx(1 / 200)
    assert found[0]["entropy"] == pytest.approx(1)
    assert (found[0]["centre_row"], found[0]["centre_column"]) == pytest.approx((0.5, 0.5))
    assert found[1]["top_mass"] == 1
    assert found[1]["entropy"] == 0
    assert (found[1]["peak_row"], found[1]["peak_column"]) == (0.25, 0.775)
    halves = np.zeros((1, 4, 4))
    halves[0, 0, 0] = halves[0, 3, 3] = 5.0
    assert map_statistics(halves)["entropy"][0] == pytest.approx(entropy([0.5, 0.5], base=16))


def test_scale_and_sign_change_nothing():
    maps = np.random.default_rng(0).normal(size=(5, 12, 12))
    for factor in (-1.0, 1e-250, 3e200):
        pd.testing.assert_frame_equal(map_statistics(maps), map_statistics(factor * maps))
        assert (top_overlap(maps, factor * maps) == 1).all()


def test_maps_that_say_nothing_are_missing():
    maps = np.stack([np.zeros((8, 8)), np.full((8, 8), np.nan), np.full((8, 8), np.inf)])
    assert map_statistics(maps).isna().to_numpy().all()
    assert np.isnan(top_overlap(maps, np.ones_like(maps))).all()
    with pytest.raises(InputError):
        map_statistics(np.zeros((8, 8)))


def test_overlap_is_that_of_the_sets():
    random = np.random.default_rng(1)
    a, b = random.normal(size=(2, 7, 10, 12))
    k = round(0.05 * 120)
    for found, x, y in zip(top_overlap(a, b), a, b, strict=True):
        sets = [set(sorted(range(120), key=lambda i, m=m: -abs(m.ravel()[i]))[:k]) for m in (x, y)]
        assert found == len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def tables(maps):
    """Statistics and agreement as a comparison writes them; maps: run -> [n, h, w]."""
    import torch

    runs, statistics, agreement = list(maps), [], []
    for run, values in maps.items():
        frame = map_statistics(values)
        frame.insert(0, "id", [str(i) for i in range(len(values))])
        frame.insert(0, "method", "m")
        frame.insert(0, "run_id", run)
        statistics.append(frame)
    for i, first in enumerate(runs):
        for second in runs[i + 1 :]:
            x, y = (torch.from_numpy(maps[run]) for run in (first, second))
            agreement.append(
                pd.DataFrame(
                    {
                        "first": first,
                        "second": second,
                        "method": "m",
                        "id": [str(n) for n in range(len(x))],
                        "correlation": spearman(x, y),
                        "overlap": top_overlap(x.numpy(), y.numpy()),
                    }
                )
            )
    return pd.concat(statistics), pd.concat(agreement)


@pytest.fixture(scope="module")
def maps():
    """``fixed`` has a spot in one place over noise, ``free`` noise alone."""
    random = np.random.default_rng(3)
    fixed, free = np.abs(random.normal(size=(2, 40, 16, 16)))
    fixed[:, 11:13, 11:13] += 6
    return {"fixed": fixed, "free": free}


def test_the_spread_of_a_place_is_its_variance(maps):
    place = map_statistics(maps["free"])[["peak_row", "peak_column"]].to_numpy()
    assert squared_deviations(place).mean() == pytest.approx(place.var(axis=0, ddof=1).sum())


def test_concentrated_maps_in_one_place_are_pointed_at(maps):
    found = weigh_pairs(*tables(maps), runs=["fixed", "free"])
    assert found.points_at == {"m": "fixed"}
    means = {(m.measure, m.run): m.mean.value for m in found.statistics}
    assert means["top_mass", "fixed"] > 2 * means["top_mass", "free"]
    assert means["peak_spread", "fixed"] < 0.01 < means["peak_spread", "free"]
    top = next(d for d in found.differences if d.measure == "top_mass")
    assert top.wins == 40
    assert top.p_sign == pytest.approx(min(1, 4 * 2 * binom.cdf(0, 40, 0.5)))
    (agree,) = found.agreements
    assert -0.2 < agree.correlation.value < 0.2


def test_the_order_of_the_runs_changes_signs_alone(maps):
    one = weigh_pairs(*tables(maps), runs=["fixed", "free"])
    other = weigh_pairs(*tables(maps), runs=["free", "fixed"])
    assert one.points_at == other.points_at
    for a, b in zip(one.differences, other.differences, strict=True):
        assert a.difference.value == pytest.approx(-b.difference.value)
        assert (a.p_value, a.p_sign) == (b.p_value, b.p_sign)


def test_maps_alike_point_at_nobody():
    random = np.random.default_rng(8)
    pointed = 0
    for _ in range(20):
        a, b = np.abs(random.normal(size=(2, 30, 12, 12)))
        found = weigh_pairs(*tables({"a": a, "b": b}), runs=["a", "b"], permutations=499)
        pointed += found.points_at["m"] is not None
    # Family-wise error 5 %: more than 4 of 20 has a probability of 0.3 %.
    assert pointed <= 4
