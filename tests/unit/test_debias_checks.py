"""The gate, the alignment, noisy labels, selection and the table of methods: right answers."""

import json
import math

import numpy as np
import pytest

from sundog.core.errors import InputError, UnknownNameError
from sundog.core.statistics import wilson_interval
from sundog.debias.alignment import measure_alignment
from sundog.debias.error_sets import gate_error_set
from sundog.debias.noisy_labels import NoisyRemoval, find_noisy_labels, label_error_score
from sundog.debias.registry import METHODS, NEEDS, get_debias_method, usable_methods
from sundog.debias.selection import select_model


def sets(hits, misses, false, rest):
    """in_set and conflicting with these four counts."""
    in_set = np.array([True] * hits + [False] * misses + [True] * false + [False] * rest)
    conflicting = np.array([True] * (hits + misses) + [False] * (false + rest))
    return in_set, conflicting


# --- gate -----------------------------------------------------------------------------------------


def test_a_good_set_passes_with_its_figures():
    gate = gate_error_set(*sets(40, 10, 60, 890))
    assert gate.allowed
    assert not gate.forced
    assert gate.precision == wilson_interval(40, 100)
    assert gate.base_rate == pytest.approx(0.05)
    assert gate.ratio == pytest.approx(8)
    assert gate.recall == pytest.approx(0.8)
    assert (gate.set_size, gate.n) == (100, 1000)
    gate.require()


def test_the_measured_jtt_set_is_refused_with_the_reason():
    """Precision 6 % at a base rate of 4.6 %: it lowered the worst group from .50 to .26."""
    gate = gate_error_set(*sets(12, 34, 188, 766))
    assert not gate.allowed
    assert gate.precision.value == pytest.approx(0.06)
    assert "1.3 times the base rate of 4.6%" in gate.reason
    assert "at least 3 times is needed" in gate.reason
    with pytest.raises(InputError, match=r"1\.3 times the base rate"):
        gate.require()


def test_too_few_images_do_not_pass_on_luck():
    gate = gate_error_set(*sets(1, 9, 2, 88))
    assert gate.ratio == pytest.approx(10 / 3)
    assert not gate.allowed
    assert "too few images" in gate.reason


def test_precision_at_the_training_rate_not_at_that_of_balanced_validation_groups():
    """Half of the validation images conflict: there no set could reach 3 times the base rate."""
    in_set, conflicting = sets(80, 20, 5, 95)
    plain = gate_error_set(in_set, conflicting)
    assert not plain.allowed
    assert "common" in plain.reason
    at_training = gate_error_set(in_set, conflicting, base_rate=0.05)
    assert at_training.allowed
    expected = 0.05 * 0.8 / (0.05 * 0.8 + 0.95 * 0.05)
    assert at_training.precision.value == pytest.approx(expected)
    assert at_training.precision.low < expected < at_training.precision.high
    assert at_training.ratio == pytest.approx(expected / 0.05)


def test_the_interval_at_another_rate_covers():
    draw = np.random.default_rng(0)
    t, f, rate, covered = 0.6, 0.1, 0.05, 0
    truth = rate * t / (rate * t + (1 - rate) * f)
    for _ in range(2000):
        hits, false = draw.binomial(60, t), draw.binomial(200, f)
        gate = gate_error_set(*sets(hits, 60 - hits, false, 200 - false), base_rate=rate)
        covered += gate.precision.low <= truth <= gate.precision.high
    assert 0.935 <= covered / 2000 <= 0.975


def test_the_interval_survives_no_false_and_no_true_hits():
    perfect = gate_error_set(*sets(30, 0, 0, 300), base_rate=0.05)
    assert perfect.precision.value == perfect.precision.high == 1
    assert 0.5 < perfect.precision.low < 1
    assert perfect.allowed
    useless = gate_error_set(*sets(0, 30, 50, 250), base_rate=0.05)
    assert useless.precision.value == useless.precision.low == 0
    assert 0 < useless.precision.high < 0.1
    assert not useless.allowed
    json.dumps(useless.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("in_set", "conflicting", "text"),
    [
        ([True, False], None, "no groups are known anywhere"),
        ([True, False], [-1, -1], "no groups are known anywhere"),
        ([False, False], [1, 0], "makes no errors"),
        ([True, False], [0, 0], "no conflicting images"),
        ([True, False], [1, 1], "only conflicting images"),
        ([True] * 2 + [False] * 2, [1, 1, 0, 0], "conflicting images are common"),
    ],
)
def test_what_cannot_be_judged_is_refused_unless_forced(in_set, conflicting, text):
    truth = None if conflicting is None else np.array(conflicting)
    gate = gate_error_set(np.array(in_set), truth)
    assert not gate.allowed
    assert text in gate.reason
    with pytest.raises(InputError):
        gate.require()
    forced = gate_error_set(np.array(in_set), truth, force=True)
    assert forced.allowed
    assert forced.forced
    assert forced.reason.startswith("Forced although refused")
    forced.require()
    json.dumps(forced.to_dict(), allow_nan=False)


def test_force_is_not_claimed_where_it_was_not_needed():
    assert not gate_error_set(*sets(40, 10, 60, 890), force=True).forced


def test_unknown_groups_are_left_out_of_the_judgement():
    in_set, conflicting = sets(40, 10, 60, 890)
    more = np.concatenate([conflicting.astype(int), np.full(500, -1)])
    gate = gate_error_set(np.concatenate([in_set, np.ones(500, dtype=bool)]), more)
    assert gate.n == 1000
    assert gate.precision.value == pytest.approx(0.4)


def test_null_world_random_errors_pass_at_most_once_in_a_hundred():
    draw = np.random.default_rng(1)
    passed = sum(
        gate_error_set(draw.random(400) < 0.2, draw.random(400) < 0.05).allowed for _ in range(500)
    )
    assert passed <= 5


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"base_rate": 0.0}, "base_rate"),
        ({"least_ratio": 1.0}, "least_ratio"),
        ({"conflicting": np.array([2, 0])}, "1, 0 or -1"),
        ({"conflicting": np.array([1, 0, 1])}, "2 values"),
        ({"in_set": np.array([1, 0])}, "True or False"),
    ],
)
def test_gate_arguments_out_of_range(kwargs, text):
    arguments = {"in_set": np.array([True, False]), "conflicting": np.array([1, 0]), **kwargs}
    with pytest.raises(InputError, match=text):
        gate_error_set(arguments.pop("in_set"), arguments.pop("conflicting"), **arguments)


# --- alignment ------------------------------------------------------------------------------------


def test_alignment_1_is_found_and_routed():
    labels = np.repeat(np.arange(10), 20)
    found = measure_alignment(labels, labels, class_names=[f"c{k}" for k in range(10)])
    assert found.share == wilson_interval(200, 200)
    assert not found.reweighting_possible
    assert found.locked == tuple(f"c{k}" for k in range(10))
    assert not found.conflicting.any()
    assert "no reweighting can work" in found.advice
    assert "cue_augmentation" in found.advice
    json.dumps(found.to_dict(), allow_nan=False)


def test_one_conflicting_image_per_class_opens_reweighting():
    labels = np.repeat([0, 1], 20)
    cue = labels.copy()
    cue[0], cue[39] = 1, 0
    found = measure_alignment(labels, cue)
    assert found.reweighting_possible
    assert [row.conflicting for row in found.classes] == [1, 1]
    assert np.flatnonzero(found.conflicting).tolist() == [0, 39]
    assert found.share.value == pytest.approx(38 / 40)


def test_cue_free_images_open_reweighting_and_are_not_conflicts():
    labels = np.repeat([0, 1], 20)
    cue = labels.copy()
    cue[[0, 20]] = 2
    found = measure_alignment(labels, cue, absent=2, attribute_names=["red", "blue", "none"])
    assert found.reweighting_possible
    assert found.share == wilson_interval(38, 38)
    assert [(r.aligned, r.conflicting, r.cue_free) for r in found.classes] == [(19, 0, 1)] * 2
    assert [r.agrees_with for r in found.classes] == ["red", "blue"]
    one_sided = measure_alignment(labels, np.where(np.arange(40) == 0, 2, labels), absent=2)
    assert not one_sided.reweighting_possible  # a single class without the cue stays locked out


def test_a_class_alone_with_its_cue_is_named():
    labels = np.array([0] * 10 + [1] * 10 + [2] * 10)
    cue = np.array([0] * 8 + [1] * 2 + [1] * 9 + [0] + [2] * 10)
    found = measure_alignment(labels, cue, class_names=["a", "b", "c"])
    assert found.locked == ("c",)
    assert not found.reweighting_possible
    assert "1 of 3 classes" in found.advice


def test_the_cue_of_a_rare_value_is_the_one_that_exceeds_the_other_classes():
    """A watermark on 40 % of one class and nowhere else: absence is not what tells the class."""
    labels = np.repeat([0, 1], 50)
    mark = np.array([True] * 20 + [False] * 80)
    found = measure_alignment(labels, mark)
    assert [r.agrees_with for r in found.classes] == ["present", "absent"]
    assert found.classes[0].aligned == 20
    given = measure_alignment(labels, mark, agrees_with=[0, 0])
    assert given.classes[0].aligned == 30


def test_a_cue_that_does_not_vary_says_nothing():
    found = measure_alignment(np.array([0, 1, 0]), np.array([1, 1, 1]))
    assert found.reweighting_possible
    assert "does not vary" in found.advice


def test_unknown_images_and_empty_classes_are_counted():
    found = measure_alignment(
        np.array([0, 0, 1, -1, 1]), np.array([0, 1, 1, 0, -1]), class_names=["a", "b", "gone"]
    )
    assert found.unknown == 2
    assert found.kind.tolist() == [0, 1, 0, -1, -1]
    assert found.classes[2].n == 0
    assert not found.classes[2].locked
    assert found.classes[2].agrees_with == ""


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"absent": 5}, "absent"),
        ({"agrees_with": [0]}, "one value per class"),
        ({"agrees_with": [0, 7]}, "agrees_with"),
        ({"labels": np.array([0, 0])}, "two classes"),
    ],
)
def test_alignment_arguments_out_of_range(kwargs, text):
    labels = kwargs.pop("labels", np.array([0, 1]))
    with pytest.raises(InputError, match=text):
        measure_alignment(labels, np.array([0, 1]), **kwargs)


# --- noisy labels ---------------------------------------------------------------------------------


def test_label_error_score_by_hand():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    score = label_error_score(p, np.array([0, 2, -1]))
    np.testing.assert_allclose(score[:2], [-0.5, 0.7])
    assert np.isnan(score[2])


def slow_noisy(scores, labels, share, limit):
    wanted, dropped = math.floor(share * len(scores) + 1e-9), []
    order = sorted(
        (i for i in range(len(scores)) if not math.isnan(scores[i])), key=lambda i: (-scores[i], i)
    )
    for i in order:
        size = sum(labels == labels[i])
        lost = sum(labels[j] == labels[i] for j in dropped)
        if len(dropped) < wanted and labels[i] >= 0 and lost < math.floor(limit * size + 1e-9):
            dropped.append(i)
    return dropped


@pytest.mark.parametrize("seed", range(8))
def test_noisy_images_equal_the_slow_choice(seed):
    draw = np.random.default_rng(seed)
    labels = draw.integers(-1, 4, 200)
    scores = np.round(draw.normal(size=200) + (labels == 1), 1)
    scores[draw.random(200) < 0.05] = np.nan
    found = find_noisy_labels(scores, labels, share=0.15, class_limit=0.2)
    assert found.dropped.tolist() == slow_noisy(scores, labels, 0.15, 0.2)
    assert (~found.kept).sum() == len(found.dropped)
    assert found.without_score == int(np.isnan(scores).sum())
    for row in found.classes:
        assert row.dropped == int((labels[found.dropped] == row.label).sum())
        assert row.dropped <= row.limit


def test_a_hard_class_is_not_thrown_away():
    labels = np.repeat([0, 1], 100)
    scores = np.concatenate([np.full(100, 0.1), np.full(100, 0.9)])
    found = find_noisy_labels(scores, labels, share=0.3, class_limit=0.2)
    assert found.table.set_index("label")["dropped"].to_dict() == {0: 20, 1: 20}
    assert found.classes[1].spared == 80
    assert "hard images rather than wrong labels" in found.warnings[0]
    assert "40 of 60" in found.warnings[1]


def test_planted_label_errors_are_found_at_several_times_their_rate():
    draw = np.random.default_rng(3)
    truth = draw.integers(0, 3, 1000)
    labels = truth.copy()
    wrong = draw.choice(1000, 50, replace=False)
    labels[wrong] = (truth[wrong] + 1) % 3
    logits = draw.normal(size=(1000, 3))
    logits[np.arange(1000), truth] += 3
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = find_noisy_labels(label_error_score(p, labels), labels, share=0.05)
    assert np.isin(found.dropped, wrong).mean() >= 5 * 0.05


def test_nothing_is_dropped_without_scores_or_with_share_0():
    labels = np.array([0, 1, 0, 1])
    assert find_noisy_labels(np.full(4, np.nan), labels).kept.all()
    assert find_noisy_labels(np.arange(4.0), labels, share=0.0).kept.all()
    with pytest.raises(InputError, match="infinite"):
        find_noisy_labels(np.array([np.inf, 0, 0, 0]), labels)
    with pytest.raises(InputError, match="share"):
        find_noisy_labels(np.arange(4.0), labels, share=1.0)


def test_noisy_removal_visits_each_kept_image_once():
    recipe = NoisyRemoval(np.array([True, False, True, True]))
    assert sorted(recipe.order(0, 4, 0).tolist()) == [0, 2, 3]
    assert recipe.notes() == {"kept": 3, "dropped": 1}
    with pytest.raises(InputError, match="not all False"):
        NoisyRemoval(np.zeros(4, dtype=bool))


# --- selection ------------------------------------------------------------------------------------


def test_the_best_worst_group_wins_over_the_best_average():
    labels = np.array([0] * 50 + [1] * 50)
    groups = np.array([0] * 45 + [1] * 5 + [2] * 50)
    sharp = labels.copy()
    sharp[45:50] = 1  # wrong on the whole small group, else perfect
    fair = labels.copy()
    fair[[0, 1, 2, 3, 4, 5, 6, 45, 60, 61]] ^= 1
    found = select_model({"sharp": sharp, "fair": fair}, labels, groups=groups)
    assert found.name == "fair"
    assert found.rule == "worst group"
    assert found.worst == wilson_interval(4, 5)
    assert found.worst_part == "group 1"
    assert found.average == wilson_interval(90, 100)
    assert found.statement == (
        "fair selected by worst group on 100 validation images, of 2 candidates"
    )
    assert "smallest group has 5 images" in found.warnings[0]
    assert found.table["worst"].tolist() == [0.0, 0.8]
    by_class = select_model({"sharp": sharp, "fair": fair}, labels)
    assert by_class.rule == "worst class"
    assert by_class.name == "sharp"


def test_ties_go_to_the_average_and_then_to_the_first():
    labels = np.array([0] * 40 + [1] * 40)
    a, b, c = labels.copy(), labels.copy(), labels.copy()
    a[[0, 1, 40]] ^= 1
    b[[0, 1]] ^= 1
    c[[2, 3]] ^= 1
    assert select_model({"a": a, "b": b, "c": c}, labels).name == "b"
    assert select_model({"c": c, "a": a, "b": b}, labels).name == "c"


def test_unlabelled_and_empty_parts_are_reported():
    labels, groups = np.array([0, 0, 1, -1]), np.array([0, 0, 2, 2])
    found = select_model(
        {"a": np.array([0, 0, 0, 0])}, labels, groups=groups, group_names=["x", "y", "z"]
    )
    assert (found.n, found.left_out) == (3, 1)
    assert found.worst_part == "z"
    assert "not judged: y" in found.warnings[1]
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("predictions", "labels", "kwargs", "text"),
    [
        ({}, [0, 1], {}, "at least one candidate"),
        ({"a": np.array([0])}, [0, 1], {}, "2 classes"),
        ({"a": np.array([0, 1])}, [-1, -1], {}, "known for at least one image"),
        ({"a": np.array([0, 1])}, [0, 1], {"groups": [0]}, "one per image"),
        ({"a": np.array([0, 1])}, [0, 1], {"class_names": ["x"]}, "class_names"),
    ],
)
def test_selection_that_cannot_be_made(predictions, labels, kwargs, text):
    with pytest.raises(InputError, match=text):
        select_model(predictions, np.array(labels), **kwargs)


# --- table of methods -----------------------------------------------------------------------------


def test_the_table_holds_every_method_of_the_plan():
    assert set(METHODS) == {
        "erm",
        "adaptive_resampling",
        "group_reweighting",
        "group_subsampling",
        "class_balance",
        "group_dro",
        "lisa",
        "jtt",
        "noisy_removal",
        "cue_augmentation",
        "right_reasons",
        "dfr",
        "afr",
        "projection",
        "low_spuriosity",
    }
    for name, row in METHODS.items():
        assert row.name == name
        assert set(row.needs) <= set(NEEDS)
        assert row.cost
        assert row.summary
        assert row.paper


def test_full_alignment_leaves_pair_mask_and_clean_data_methods():
    everything = tuple(NEEDS)
    rows = usable_methods(everything, reweighting_possible=False)
    assert {row.name for row in rows} == {
        "cue_augmentation",
        "right_reasons",
        "dfr",
        "projection",
    }
    assert {row.name for row in usable_methods(())} == {"erm", "class_balance"}
    assert usable_methods((), reweighting_possible=False) == ()
    assert {row.name for row in usable_methods(("pairs",))} >= {"projection", "erm"}


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UnknownNameError, match="group_dro"):
        get_debias_method("groupdro")
    with pytest.raises(UnknownNameError, match="masks"):
        usable_methods(("mask",))
    assert get_debias_method("lisa").kind == "training"
