"""A cue crossed between models: draws, numbers by hand, verdicts, confidence."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from sundog.bias.confidence import (
    Calibration,
    confidence,
    confidence_features,
    load_calibration,
    read_calibration,
)
from sundog.bias.pair_cues import (
    COLUMNS,
    CrossedCue,
    RunOnCue,
    difference_interval,
    draw_cross_pairs,
    heaviest_difference,
    measure_crossed,
    parts_elsewhere,
)
from sundog.bias.pair_verdict import Found, detectable, judge_pair
from sundog.bias.shortcut_result import ShortcutSearch
from sundog.core.errors import InputError
from sundog.core.statistics import Estimate

LABELS = np.array([0] * 6 + [1] * 5 + [2] * 4 + [-1] * 2)


def draw(classes, **changes):
    every = np.ones(len(LABELS), dtype=bool)
    return draw_cross_pairs(LABELS, classes, **{"good": every, "give": every, "seed": 1, **changes})


@pytest.mark.parametrize("classes", [(), (0,), (0, 2), (0, 1, 2)])
def test_donors_are_of_the_classes_that_are_asked(classes):
    pairs = draw(classes)
    target, other, same = (p.numpy() for p in (pairs.targets, pairs.others, pairs.same))
    alone = set(classes) if len(classes) == 1 else set()
    assert sorted(target) == [i for i in range(15) if LABELS[i] not in alone]
    assert set(LABELS[other]) <= set(classes or (0, 1, 2))
    assert (LABELS[other] != LABELS[target]).all()
    assert (LABELS[same] == LABELS[target]).all()
    assert (same != target).all()


def test_a_draw_depends_on_seed_and_cue_alone():
    def as_list(pairs):
        return [p.tolist() for p in (pairs.targets, pairs.others, pairs.same)]

    assert as_list(draw((0, 1))) == as_list(draw((0, 1)))
    assert as_list(draw((0, 1))) != as_list(draw((0, 1), key="other"))


def test_good_donors_come_first_and_others_never_give():
    good = np.zeros(len(LABELS), dtype=bool)
    good[[0, 1, 6, 7, 11]] = True
    give = np.ones(len(LABELS), dtype=bool)
    give[14] = False
    pairs = draw((), good=good, give=give)
    givers = set(pairs.others.tolist()) | set(pairs.same.tolist())
    # Class 2 has one good donor only, so that all of it that may give gives.
    assert givers <= {0, 1, 6, 7, 11, 12, 13}


def test_parts_elsewhere_have_the_size_that_is_asked():
    masks = parts_elsewhere(50, (12, 20), (3, 5), seed=2)
    for mask in masks.numpy():
        rows, columns = np.nonzero(mask)
        assert mask.sum() == 15
        assert (np.ptp(rows), np.ptp(columns)) == (2, 4)
    assert len({mask.tobytes() for mask in masks.numpy()}) > 20


def table(flips, control, intact, swapped, pull=None):
    n = len(flips)
    return pd.DataFrame(
        {
            "id": [f"i{i}" for i in range(n)],
            "label": 0,
            "donor": 1,
            "flips": np.array(flips, dtype=bool),
            "control": np.array(control, dtype=bool),
            "intact": np.array(intact, dtype=bool),
            "swapped": np.array(swapped, dtype=bool),
            "pull": np.zeros(n) if pull is None else np.asarray(pull, dtype=float),
            "elsewhere": np.full(n, 0.1),
        }
    )[list(COLUMNS)]


def test_numbers_of_a_crossed_cue_by_hand():
    on = [1] * 6 + [0] * 4
    one = table(on, [1] + [0] * 9, [1] * 9 + [0], [0] * 5 + [1] * 5, pull=np.arange(10) / 10)
    two = table([0] * 10, [0] * 10, [1] * 10, [1] * 8 + [0] * 2)
    found = measure_crossed({"x": one, "y": two})
    x, y = found.of("x"), found.of("y")
    assert (x.flip.value, x.control.value, x.excess.value) == pytest.approx((0.6, 0.1, 0.5))
    assert (x.intact.value, x.swapped.value, x.reliance.value) == pytest.approx((0.9, 0.5, 0.4))
    assert x.pull.value == pytest.approx(0.45 - 0.1)
    assert (y.excess.value, y.reliance.value) == pytest.approx((0.0, 0.2))
    (d,) = found.differences
    assert d.excess.value == pytest.approx(0.5)
    assert d.reliance.value == pytest.approx(0.2)
    # Sign flips of five +1: 2 of 32 patterns are as extreme (zeros change nothing).
    assert d.p_excess == pytest.approx(2 / 32)
    with pytest.raises(InputError, match="same images"):
        measure_crossed({"x": one, "y": two.iloc[::-1].reset_index(drop=True)})
    with pytest.raises(InputError):
        found.of("z")


def test_a_difference_that_is_always_zero_has_an_interval():
    for n in (10, 100):
        flat = difference_interval(np.zeros(n), level=0.95)
        half = norm.ppf(0.975) * math.sqrt((1 / (n + 2)) / (n + 2))
        assert (flat.low, flat.high) == pytest.approx((-half, half))
    assert math.isnan(difference_interval(np.zeros(0)).value)


def test_the_interval_of_a_difference_holds_it_as_often_as_it_says():
    random = np.random.default_rng(0)
    values, chances = np.array([-2, -1, 0, 1, 2]), np.array([0.01, 0.04, 0.75, 0.15, 0.05])
    truth = float(values @ chances)
    held = 0
    for _ in range(2000):
        found = difference_interval(random.choice(values, 120, p=chances), level=0.95)
        held += found.low <= truth <= found.high
    # 95 % nominal; four standard errors of 2000 draws are 1.9 points.
    assert held / 2000 > 0.93


def test_each_model_is_judged_by_its_own_heaviest_cue():
    quiet = table([0] * 8, [0] * 8, [1] * 8, [1] * 8)
    heavy = table([1] * 8, [0] * 8, [1] * 8, [0] * 6 + [1] * 2)
    light = table([1] * 8, [0] * 8, [1] * 8, [0] * 2 + [1] * 6)
    tables = {"p": {"a": heavy, "b": quiet}, "q": {"a": quiet, "b": light}}
    assert heaviest_difference(tables, "a", "b", level=0.95).value == pytest.approx(0.5)
    assert heaviest_difference(tables, "b", "a", level=0.95).value == pytest.approx(-0.5)


def number(value, half=0.02):
    return Estimate(value, value - half, value + half, 500, 0.95, "")


def on_cue(run, pull, reliance=0.0):
    zero = number(0.0)
    return RunOnCue(
        run, number(pull), zero, number(pull), zero, zero, number(reliance), number(pull)
    )


def verdict(found, crossed, **given):
    return judge_pair(
        found,
        {key: CrossedCue(tuple(on_cue(*row) for row in rows), ()) for key, rows in crossed.items()},
        names=dict.fromkeys(crossed, "patch"),
        margins=dict.fromkeys(crossed, 0.08),
        heaviest=given.get("heaviest", {}),
    )


CLEAR = Found((), 0.2, 600)
GUILTY = Found(("k",), 0.2, 600)


def test_a_claim_makes_a_model_biased_and_silence_clears_one_that_was_searched():
    made = verdict({"a": GUILTY, "b": CLEAR}, {"k": [("a", 0.6, 0.5), ("b", 0.01)]})
    assert made.standings == {"a": "biased", "b": "no shortcut found"}
    assert (made.decision, made.biased, made.more) == ("one", ("a",), "a")
    assert "“a” is biased" in made.sentence
    assert made.sentence.index("“a”") < made.sentence.index("“b”")


def test_the_cue_of_another_model_can_convict():
    made = verdict({"a": GUILTY, "b": CLEAR}, {"k": [("a", 0.6), ("b", 0.3)]})
    assert made.standings["b"] == "biased"
    assert (made.decision, made.more) == ("all", None)
    assert "cannot be told" in made.sentence


def test_a_pull_near_the_margin_leaves_the_other_model_open():
    made = verdict({"a": GUILTY, "b": CLEAR}, {"k": [("a", 0.6), ("b", 0.08)]})
    assert made.standings["b"] == "cannot tell"
    assert made.biased == ("a",)
    assert made.more is None


@pytest.mark.parametrize("worth", [None, math.inf, 0.9])
def test_a_search_that_could_see_nothing_clears_nobody(worth):
    blind = Found((), worth, 30)
    made = verdict({"a": blind, "b": CLEAR}, {})
    assert made.decision == "cannot tell"
    assert made.standings == {"a": "cannot tell", "b": "no shortcut found"}


def test_of_two_biased_models_the_one_that_loses_more_is_named():
    rows = {"k": [("a", 0.6, 0.5), ("b", 0.4, 0.2)]}
    found = {"a": GUILTY, "b": replace(GUILTY)}
    gap = Estimate(0.3, 0.2, 0.4, 500, 0.95, "")
    assert verdict(found, rows, heaviest={("a", "b"): gap}).more == "a"
    swapped = dict(reversed(found.items()))
    turned = Estimate(-0.3, -0.4, -0.2, 500, 0.95, "")
    assert verdict(swapped, rows, heaviest={("b", "a"): turned}).more == "a"
    open_ = Estimate(0.1, -0.1, 0.3, 500, 0.95, "")
    assert verdict(found, rows, heaviest={("a", "b"): open_}).more is None


def test_what_a_search_could_have_found_is_that_of_its_typical_test():
    tests = pd.DataFrame({"detectable": [0.2, 0.6, 0.5, np.nan, 0.3]})
    assert detectable(tests) == pytest.approx(0.5)
    assert detectable(tests.iloc[:0]) is None
    tests.loc[1:2, "detectable"] = np.nan
    assert detectable(tests) == math.inf


def search(**changes):
    tests = pd.DataFrame(
        {
            "low": [0.1, -0.2, np.nan],
            "pull_low": [0.3, 0.0, np.nan],
            "elsewhere": [0.1, np.nan, 0.2],
            "margin": [0.08, 0.18, 0.08],
            "p_adjusted": [1e-9, 1.0, np.nan],
        }
    )
    return ShortcutSearch(
        **{
            "shortcuts": (),
            "table": tests,
            "smallest": 0.05,
            "alpha": 0.05,
            "images": 100,
            "forwards": 0,
            **changes,
        }
    )


def test_features_come_from_the_search_alone():
    assert confidence_features(search()) == pytest.approx(
        {
            "pull_over": 0.12,
            "excess_low": 0.1,
            "reliance_low": 0.0,
            "evidence": 6.0,
            "claimed": 0.0,
            "images": 2.0,
        }
    )
    empty = confidence_features(search(table=search().table.iloc[:0], images=0))
    assert empty["pull_over"] == -1
    assert empty["evidence"] == 0


def test_the_confidence_is_a_logistic_map_of_its_file():
    made = Calibration(("claimed", "images"), (0.5, 2.0), (0.5, 1.0), (2.0, -1.0), 0.25, {"n": 3})
    again = read_calibration(made.to_dict())
    assert again == made
    wanted = 1 / (1 + math.exp(-(0.25 + 2.0 * (1 - 0.5) / 0.5 - 1.0 * (3 - 2.0) / 1.0)))
    assert again({"claimed": 1.0, "images": 3.0}) == pytest.approx(wanted)
    assert again({"claimed": 1e9, "images": 0.0}) == pytest.approx(1.0)
    with pytest.raises(InputError, match="images"):
        again({"claimed": 1.0})
    for damage in ({"scales": [0.5, 0.0]}, {"weights": [1.0]}, {"format": "other"}):
        with pytest.raises(InputError, match="calibrate"):
            read_calibration({**made.to_dict(), **damage})


def test_without_a_file_there_is_no_confidence():
    found = confidence(search())
    assert (found is None) == (load_calibration() is None)
    assert found is None or 0 < found < 1
