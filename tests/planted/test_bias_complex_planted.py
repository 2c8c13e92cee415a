"""A planted combination is found and told alone; a world without bias stays empty."""

import numpy as np
import pytest

from sundog.bias.class_images import ClassImages
from sundog.bias.complex import find_slices
from sundog.bias.strata import pooled_slices
from sundog.bias.strata_tables import mantel_haenszel_gap, tabulate

TAGS = 40
NAMES = [f"t{i}" for i in range(TAGS)]


def make(rng, name, effects, *, planted=0, n=1000, base=0.8):
    """``effects``: tags -> change of the accuracy where all of them are present."""
    shares = np.exp(rng.uniform(np.log(0.02), np.log(0.3), TAGS))
    shares[:planted] = 0.35
    present = rng.random((n, TAGS)) < shares
    chance = np.full(n, base)
    for tags, change in effects.items():
        chance += change * present[:, list(tags)].all(axis=1)
    right = rng.random(n) < chance
    confidence = np.clip(np.where(right, 0.8, 0.35) + rng.normal(0, 0.1, n), 0, 1)
    ids = tuple(f"{name}{i}" for i in range(n))
    return ClassImages(name, ids, right, confidence), present


def search(made, **options):
    return find_slices(
        [one for one, _ in made],
        {one.name: present for one, present in made},
        NAMES,
        **{"permutations": 300, "threads": 1} | options,
    )


def told(found):
    return [frozenset(NAMES.index(name) for name in s.concepts) for s in found.slices]


def worlds(effects, planted, runs, **options):
    for run in range(runs):
        rng = np.random.default_rng([11, run])
        yield told(search([make(rng, "a", effects, planted=planted)], **options))


@pytest.mark.parametrize(
    ("planted", "drop", "recall"), [(1, 0.2, 1.0), (2, 0.3, 0.95), (3, 0.4, 0.8)]
)
def test_the_planted_combination_is_told_and_hardly_anything_else(planted, drop, recall):
    truth = frozenset(range(planted))
    reports = list(worlds({tuple(range(planted)): -drop}, planted, 12))
    assert np.mean([truth in report for report in reports]) >= recall
    assert np.mean([report[:1] == [truth] for report in reports]) >= recall - 0.1
    others = [sum(tags != truth for tags in report) for report in reports]
    assert np.mean(others) <= 0.5
    supersets = [sum(tags > truth for tags in report) for report in reports]
    assert np.mean(supersets) <= 0.2


def test_without_minimality_supersets_and_parts_of_the_truth_are_told_as_well():
    truth = frozenset((0, 1))
    plain = list(worlds({(0, 1): -0.3}, 2, 8, minimality="none"))
    minimal = list(worlds({(0, 1): -0.3}, 2, 8))
    related = [sum(bool(tags & truth) and tags != truth for tags in report) for report in plain]
    left = [sum(bool(tags & truth) and tags != truth for tags in report) for report in minimal]
    assert np.mean(related) >= 3
    assert np.mean(left) <= 0.5


def test_two_truths_that_share_a_tag_and_a_tag_that_acts_alone_and_in_a_pair():
    both = list(worlds({(0, 1): -0.35, (0, 2): -0.35}, 3, 6))
    assert np.mean([frozenset((0, 1)) in r and frozenset((0, 2)) in r for r in both]) >= 0.8
    nested = list(worlds({(0,): -0.15, (0, 1): -0.35}, 2, 6))
    assert np.mean([frozenset((0,)) in r and frozenset((0, 1)) in r for r in nested]) >= 0.8


def test_a_tag_that_helps_is_found_too():
    rng = np.random.default_rng(2)
    found = search([make(rng, "a", {(0,): +0.35}, planted=1, base=0.55)])
    assert found.slices[0].concepts == ("t0",)
    assert found.slices[0].direction == "helps"
    assert found.slices[0].gap.low > 0.2


def test_confidence_finds_the_pair_as_well():
    rng = np.random.default_rng(3)
    found = search([make(rng, "a", {(0, 1): -0.4}, planted=2)], metric="confidence", min_gap=0.05)
    assert told(found)[0] == {0, 1}
    assert found.slices[0].metric == "confidence"


def test_a_second_name_for_the_same_images_is_marked():
    rng = np.random.default_rng(4)
    one, present = make(rng, "a", {(0,): -0.3}, planted=1)
    present[:, 1] = present[:, 0] ^ (rng.random(len(one)) < 0.02)
    found = search([(one, present)])
    names = {s.concepts: s.explained_by for s in found.slices}
    assert len([c for c in names if len(c) == 1 and names[c] is None]) == 1
    assert {("t0",), ("t1",)} & set(names)
    if {("t0",), ("t1",)} <= set(names):
        assert {names["t0",], names["t1",]} in ({None, ("t0",)}, {None, ("t1",)})


def test_only_the_biased_class_is_named():
    rng = np.random.default_rng(5)
    made = [make(rng, "sound", {}), make(rng, "biased", {(3, 7): -0.45}, planted=8)]
    found = search(made)
    assert {s.class_name for s in found.slices} == {"biased"}
    assert frozenset((3, 7)) in told(found)
    assert [row.found > 0 for row in found.classes] == [False, True]


@pytest.mark.parametrize("metric", ["accuracy", "confidence"])
def test_a_world_without_bias_stays_empty(metric):
    """Correctness permuted within classes of different accuracy; 40 runs, 5 % + 2 SE allowed."""
    runs, any_found, naive = 40, 0, 0
    for run in range(runs):
        rng = np.random.default_rng([23, run])
        made = []
        for name, base in (("a", 0.7), ("b", 0.95)):
            one, present = make(rng, name, {(0, 1): -0.3}, planted=2, n=300, base=base)
            order = rng.permutation(300)
            made.append(
                (
                    ClassImages(name, one.ids, one.correct[order], one.confidence[order]),
                    present,
                )
            )
        found = search(made, metric=metric, min_gap=0.0, permutations=200)
        any_found += bool(found.slices)
        naive += bool(
            search(made, metric=metric, adjustment="none", min_gap=0.1, minimality="none").slices
        )
    assert any_found <= 0.05 * runs + 2 * np.sqrt(runs * 0.05 * 0.95)
    if metric == "accuracy":
        assert naive == runs


def test_a_tag_of_a_hard_class_is_no_finding_unless_it_acts_inside_the_classes():
    hits = 0
    for run in range(20):
        rng = np.random.default_rng([31, run])
        made = []
        for number in range(6):
            one, present = make(rng, f"c{number}", {}, n=200, base=0.45 if number == 0 else 0.95)
            present[:, 0] = rng.random(200) < (0.85 if number == 0 else 0.05)
            made.append((one, present))
        table = {one.name: present for one, present in made}
        classes = [one for one, _ in made]
        crude = np.concatenate([one.correct for one in classes])
        tag = np.concatenate([present[:, 0] for _, present in made])
        assert crude[~tag].mean() - crude[tag].mean() > 0.25  # the trap
        found = pooled_slices(
            classes, table, NAMES, max_tags=1, permutations=200, min_gap=0.0, progress=False
        )
        hits += any("t0" in s.effect.concepts for s in found.slices)
    assert hits <= 1


def test_an_effect_too_rare_in_each_class_is_found_in_all_together():
    rng = np.random.default_rng(41)
    made = []
    for number in range(12):
        one, present = make(rng, f"c{number}", {(0, 1): -0.4}, planted=2, n=80, base=0.9)
        made.append((one, present))
    table = {one.name: present for one, present in made}
    alone = search(made)
    pooled = pooled_slices([one for one, _ in made], table, NAMES, permutations=300, progress=False)
    assert pooled.slices[0].effect.concepts == ("t0", "t1")
    assert pooled.slices[0].effect.gap.high < -0.2
    assert pooled.slices[0].p_homogeneity > 0.01
    assert len(pooled.slices) <= 2
    assert len(alone.slices) < 12


def test_the_pooled_interval_covers_the_truth_in_few_large_and_many_small_classes():
    held = {}
    for classes, n in ((5, 200), (150, 6)):
        strata = np.repeat(np.arange(classes), n)
        for run in range(400):
            rng = np.random.default_rng([53, classes, run])
            tag = rng.random(classes * n) < 0.3
            right = rng.random(classes * n) < rng.uniform(0.5, 0.9, classes)[strata] - 0.2 * tag
            confidence = 0.5 * right + 0.1 * rng.random(classes * n)
            for name, outcome, truth in (("right", right, -0.2), ("sure", confidence, -0.1)):
                got = mantel_haenszel_gap(tabulate(tag, ~tag, outcome, strata, count=classes))
                held.setdefault((classes, name), []).append(got.low <= truth <= got.high)
    for rates in held.values():
        assert 0.92 <= np.mean(rates) <= 0.98
