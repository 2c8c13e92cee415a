"""Null worlds stay empty, planted worlds speak in both directions, halves confirm honestly."""

import math

import numpy as np
import pytest

from sundog.bias import hidden
from sundog.bias.class_images import ClassImages

NAMES = tuple(f"concept {i}" for i in range(12))
RUNS = 60


def _world(seed, *, drop=0.0, rise=0.0, sizes=(130, 90, 60), grouped=False):
    """Concept 0 of class 0 lowers the accuracy, concept 0 of class 1 raises it."""
    rng = np.random.default_rng([3, seed])
    classes, present, scores = [], {}, {}
    for number, n in enumerate(sizes):
        unit = np.arange(n) // 2 if grouped else np.arange(n)
        latent = (0.6 * rng.normal(size=(n, 1)) + 0.8 * rng.normal(size=(n, len(NAMES))))[unit]
        tags = latent > np.r_[0.5, rng.uniform(0.4, 1.3, len(NAMES) - 1)]
        chance = (0.8, 0.55, 0.9)[number] + {0: -drop, 1: rise}.get(number, 0) * tags[:, 0]
        right = rng.random(n)[unit] < chance
        sure = rng.beta(5, 1, n)[unit]
        confidence = np.where(right, 0.5 + sure / 2, 0.5 - sure / 2)
        name = f"class {number}"
        ids = tuple(f"{number}/{i}" for i in range(n))
        classes.append(ClassImages(name, ids, right, confidence, unit if grouped else None))
        present[name] = tags
        scores[name] = {c: latent[:, i] for i, c in enumerate(NAMES)}
    return classes, present, scores


def _audit(what, world, *, metric, seed, permutations=199):
    classes, present, scores = world
    options = {"metric": metric, "seed": seed, "permutations": permutations}
    if what == "concepts":
        return hidden.test_concepts(classes, present, NAMES, threads=1, **options)
    return hidden.test_rankings(classes, scores, **options)


@pytest.mark.parametrize("metric", ["accuracy", "confidence"])
@pytest.mark.parametrize("what", ["concepts", "rankings"])
def test_the_null_world_stays_empty(what, metric):
    alarms = sum(
        any(
            effect.p_adjusted <= 0.05
            for effect in _audit(what, _world(run, grouped=run % 3 == 0), metric=metric, seed=run)
        )
        for run in range(RUNS)
    )
    assert alarms / RUNS <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / RUNS)


@pytest.mark.parametrize("metric", ["accuracy", "confidence"])
@pytest.mark.parametrize("what", ["concepts", "rankings"])
def test_the_planted_world_speaks_in_both_directions(what, metric):
    truth = {("class 0", "concept 0"): "hurts", ("class 1", "concept 0"): "helps"}
    found = dict.fromkeys(truth, 0)
    elsewhere = 0
    for run in range(12):
        world = _world(run, drop=0.45, rise=0.43, sizes=(400, 300, 70))
        for effect in _audit(what, world, metric=metric, seed=run):
            if effect.p_adjusted <= 0.05:
                key = (effect.class_name, effect.concept)
                if key in truth:
                    assert effect.direction == truth[key]
                    found[key] += 1
                elsewhere += effect.class_name == "class 2"
    assert min(found.values()) >= 11
    assert elsewhere <= 2


def test_the_detectable_gap_is_detected_with_its_power():
    hits, runs = 0, 150
    rng = np.random.default_rng(0)
    n, n_in = 300, 80
    inside = np.arange(n) < n_in
    images = ClassImages("a", tuple(map(str, range(n))), np.arange(n) % 5 > 0, np.full(n, 0.5))
    (effect,) = hidden.test_concepts([images], {"a": inside[:, None]}, ["x"], permutations=99)
    gap = effect.smallest_detectable
    rate = float(images.correct.mean())
    for _ in range(runs):
        # The larger of a drop and a rise is named; at 80 % accuracy a drop is harder to see.
        right = rng.random(n) < np.where(inside, rate - gap, rate)
        world = ClassImages("a", images.ids, right, images.confidence)
        (one,) = hidden.test_concepts([world], {"a": inside[:, None]}, ["x"], permutations=99)
        hits += one.p <= 0.05
    assert hits / runs == pytest.approx(0.8, abs=3.5 * math.sqrt(0.16 / runs))


@pytest.mark.parametrize("metric", ["accuracy", "confidence"])
def test_halves_confirm_what_is_there_without_the_winners_curse(metric):
    gaps, statuses = [], []
    for run in range(6):
        classes, present, scores = _world(run, drop=0.45, rise=0.43, sizes=(500, 400, 60))
        for effects, again in (
            (
                hidden.test_concepts(
                    classes, present, NAMES, metric=metric, permutations=199, threads=1
                ),
                lambda e, c=classes, p=present: hidden.replicate_concepts(
                    e, c, p, NAMES, metric=metric, permutations=199, threads=1
                ),
            ),
            (
                hidden.test_rankings(classes, scores, metric=metric, permutations=199),
                lambda e, c=classes, s=scores: hidden.replicate_rankings(
                    e, c, s, metric=metric, permutations=199
                ),
            ),
        ):
            report = again(effects)
            assert abs(report.first_images - report.second_images) <= 3
            for one in report.findings:
                if one.key in (("class 0", "concept 0"), ("class 1", "concept 0")):
                    statuses.append(one.status)
                    if effects[0].test == "fisher" and one.key[0] == "class 0":
                        gaps.append(one.gap)
    assert statuses.count("confirmed") / len(statuses) >= 0.9
    if metric == "accuracy":
        assert sum(gap.low <= -0.45 <= gap.high for gap in gaps) >= len(gaps) - 1
        assert len(gaps) == 6


def test_halves_confirm_nothing_in_a_null_world():
    false = searched = 0
    for run in range(40):
        classes, present, _ = _world(run + 500)
        effects = hidden.test_concepts(
            classes, present, NAMES, permutations=99, threads=1, adjustment="none"
        )
        # Without correction the search finds much that is not there: the second half must not.
        report = hidden.replicate_concepts(
            effects, classes, present, NAMES, adjustment="none", permutations=99, threads=1
        )
        searched += len(report.findings)
        false += bool(report.confirmed)
    assert searched > 40
    assert false / 40 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 40)
