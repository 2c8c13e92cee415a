"""The numbers of a whole inspection: false findings, confirmation, what could have been seen."""

import math

import numpy as np
import pytest
import torch

from sundog.audit.halves import halves_of_rankings
from sundog.audit.inspect_run import Looked
from sundog.audit.observed import observe
from sundog.audit.query_files import concept_scores
from sundog.audit.search_settings import SearchSettings
from sundog.audit.searches import CIRCULAR, search_biases
from sundog.audit.spuriosity import top_gap
from sundog.audit.subject import make_subject
from sundog.audit.vocabulary import ClassTags
from sundog.bias import strata_permutation
from sundog.bias.class_images import ClassImages
from sundog.bias.complex import find_slices
from sundog.bias.hidden import test_rankings as rank_test
from sundog.bias.hidden_replication import half_look, half_p_value
from sundog.core.inspection.feedback import Answer
from sundog.core.inspection.finding import Effect, Evidence, Finding
from sundog.core.inspection.results import PROVISIONAL, check_tags
from sundog.core.statistics import smallest_detectable_gap, smallest_detectable_mean_gap
from sundog.data.arrays import from_arrays
from sundog.models.classifier import Classifier

QUICK = SearchSettings(permutations=199, replicate=False, min_gap=0.0)


def _images(name, right, confidence=None, groups=None):
    right = np.asarray(right, dtype=bool)
    sure = np.where(right, 0.9, 0.2) if confidence is None else confidence
    return ClassImages(name, tuple(f"{name}{i}" for i in range(right.size)), right, sure, groups)


def _tags(present):
    names = tuple(f"tag {i}" for i in range(present.shape[1]))
    return ClassTags(names, present, present.astype(np.float32), {}, {})


def _null_world(run, sizes=(60, 25, 6), rates=(0.95, 0.5, 0.9), tags=8):
    """Correlated tags cut at quantiles of the data; outcomes that know nothing of them."""
    rng = np.random.default_rng([run, 21])
    mix = np.random.default_rng(1).normal(size=(3, tags))
    scores = [rng.normal(size=(n, 3)) @ mix + rng.normal(size=(n, tags)) for n in sizes]
    cuts = np.quantile(np.concatenate(scores), np.linspace(0.3, 0.9, tags), axis=0).diagonal()
    classes, found, rankings = [], {}, {}
    for number, (n, rate, values) in enumerate(zip(sizes, rates, scores, strict=True)):
        right = rng.random(n) < rate
        sure = np.where(right, 1 - 1e-3 * rng.random(n), 0.3 * rng.random(n))
        classes.append(_images(f"class {number}", right, sure))
        found[f"class {number}"] = _tags(values > cuts)
        rankings[f"class {number}"] = {f"rank {i}": np.round(values[:, i]) for i in range(3)}
    return classes, found, rankings


@pytest.mark.parametrize("metric", ["accuracy", "confidence"])
def test_four_searches_together_keep_the_bound(metric):
    runs, alpha = 100, 0.2
    wrong = 0
    for run in range(runs):
        classes, tags, rankings = _null_world(run)
        settings = SearchSettings(
            metric=metric, alpha=alpha, permutations=199, replicate=False, min_gap=0.0, seed=run
        )
        found = search_biases(
            classes, tags, settings, across=tags, rankings=rankings, progress=False
        )
        assert any("4 searches share" in note for note in found.notes)
        wrong += bool(found.significant())
        assert all(f.p is None or f.p > 0 for f in found.findings)
    assert wrong <= runs * alpha + 3 * math.sqrt(runs * alpha * (1 - alpha))


def _own_world(n=200):
    rng = np.random.default_rng(0)
    present = rng.random((n, 3)) < 0.4
    right = rng.random(n) < np.where(present[:, 0], 0.4, 0.9)
    classes = [_images("cat", right)]
    return classes, {"cat": _tags(present)}


def test_rankings_by_the_networks_own_neurons_are_no_evidence_and_no_search():
    classes, tags = _own_world()
    scores = {"cat": {"neuron 3": classes[0].correct + 0.01 * np.arange(200)}}
    plain = search_biases(classes, {}, QUICK, rankings=scores, progress=False)
    assert [f.concepts for f in plain.significant()] == [("neuron 3",)]
    found = search_biases(classes, {}, QUICK, rankings=scores, circular=True, progress=False)
    (neuron,) = found.findings
    assert not neuron.significant
    assert neuron.p_adjusted is None
    assert neuron.note == CIRCULAR
    assert neuron.replication is None
    assert found.classes[0].tests == 0
    without = search_biases(classes, tags, QUICK, progress=False)
    beside = search_biases(classes, tags, QUICK, rankings=scores, circular=True, progress=False)
    known = {f.id: f.p_adjusted for f in without.findings}
    assert {f.id: f.p_adjusted for f in beside.findings if f.source == "tag"} == known


def test_p_values_without_adjustment_are_not_multiplied():
    classes, tags = _own_world()
    settings = SearchSettings(
        adjustment="none", minimality="none", replicate=False, min_gap=0.0, max_tags=2
    )
    found = search_biases(classes, tags, settings, progress=False)
    assert {f.kind for f in found.findings} == {"hidden", "complex"}
    assert all(f.p_adjusted == pytest.approx(f.p) for f in found.findings)
    assert all(f.significant == (f.p <= 0.05) for f in found.findings)
    assert not any("share the bound" in note for note in found.notes)


@pytest.mark.parametrize("metric", ["accuracy", "confidence"])
def test_the_class_tells_the_gap_of_a_concept_that_half_of_it_carries(metric):
    rng = np.random.default_rng(2)
    right = rng.random(150) < 0.8
    images = _images("cat", right, rng.beta(4, 2, 150))
    tags = {"cat": _tags(rng.random((150, 5)) < [0.05, 0.1, 0.2, 0.9, 0.95])}
    settings = SearchSettings(metric=metric, permutations=199, replicate=False, max_tags=1)
    (told,) = search_biases([images], tags, settings, progress=False).classes
    level = 0.05 / told.tests
    if metric == "accuracy":
        want = smallest_detectable_gap(75, 75, right.mean(), alpha=level, direction="both")
    else:
        spread = images.confidence.std(ddof=1)
        want = smallest_detectable_mean_gap(75, 75, spread, alpha=level)
    assert told.smallest_detectable == pytest.approx(want)


def test_a_search_for_combinations_alone_tells_it_as_well():
    rng = np.random.default_rng(2)
    right = rng.random(150) < 0.8
    tags = {"cat": _tags(rng.random((150, 5)) < 0.5)}
    settings = SearchSettings(permutations=199, replicate=False, max_tags=2)
    (told,) = search_biases(
        [_images("cat", right)], tags, settings, hidden=False, progress=False
    ).classes
    want = smallest_detectable_gap(75, 75, right.mean(), alpha=0.05 / 15, direction="both")
    assert told.smallest_detectable == pytest.approx(want)


def test_a_half_of_sure_images_is_not_confirmed_by_chance():
    """Eight images with a combination, all right: Welch's t 'confirmed' 40 % of such halves."""
    bold = 0
    for run in range(150):
        rng = np.random.default_rng([run, 3])
        right = rng.random(80) < 0.93
        sure = np.where(right, 1 - 1e-4 * rng.random(80), 0.3 * rng.random(80))
        inside = np.zeros(80, bool)
        inside[rng.choice(80, 8, replace=False)] = True
        bold += (
            half_p_value(_images("a", right, sure), inside, "helps", metric="confidence", seed=0)
            <= 0.05
        )
    assert bold <= 0.05 * 150 + 3 * math.sqrt(0.05 * 0.95 * 150)


def test_what_a_half_could_have_seen_is_one_sided_and_counts_near_duplicates_once():
    rng = np.random.default_rng(1)
    sure = rng.random(120)
    inside = np.arange(120) < 40
    look = half_look(
        _images("a", sure > 0.3, sure),
        inside,
        "hurts",
        metric="confidence",
        min_support=2,
        alpha=0.01,
    )
    want = smallest_detectable_mean_gap(40, 80, sure.std(ddof=1), alpha=0.02)
    assert look.smallest_detectable == pytest.approx(want)
    pairs = _images("a", sure > 0.3, sure, groups=np.arange(120) // 2)
    twice = half_look(pairs, inside, "hurts", metric="confidence", min_support=2, alpha=0.01)
    want = smallest_detectable_mean_gap(20, 40, sure.std(ddof=1), alpha=0.02)
    assert twice.smallest_detectable == pytest.approx(want)
    assert twice.gap.high - twice.gap.low > look.gap.high - look.gap.low


def test_the_means_of_the_other_half_differ_by_its_gap_with_ties_and_unknown_scores():
    rng = np.random.default_rng(4)
    scores = np.round(rng.normal(size=300))
    right = rng.random(300) < np.where(scores > 0, 0.3, 0.95)
    scores[rng.choice(300, 40, replace=False)] = np.nan
    classes, given = [_images("cat", right)], {"cat": {"dark": scores}}
    effects = rank_test(classes, given, permutations=199)
    (record,) = halves_of_rankings(classes, given, effects, QUICK_HALVES, 1).values()
    assert record.status == "confirmed"
    effect = record.effect
    assert effect.present - effect.absent == pytest.approx(effect.gap)
    assert effect.n_present + effect.n_absent <= 130 + 20


QUICK_HALVES = SearchSettings(permutations=199)


def test_equal_scores_count_in_part_whatever_the_order_of_the_images():
    outcome = np.array([1.0, 0, 0, 0, 0, 1, 1, 1])
    assert top_gap(outcome, np.ones(8), 3) == (3, pytest.approx(0.0))
    scores = np.array([5.0, 2, 2, 2, 2, 2, 2, 0])
    # The top: the first image and one in six of the twos; the bottom: the last and one in six.
    want = (1 + 2 / 6) / 2 - (1 + 2 / 6) / 2
    assert top_gap(outcome, scores, 2) == (2, pytest.approx(want))
    order = np.random.default_rng(0).permutation(8)
    for k in (1, 2, 3, 4):
        assert top_gap(outcome[order], scores[order], k) == top_gap(outcome, scores, k)
        found = rank_test(
            [_images("a", outcome)], {"a": {"x": scores}}, top_k=k, min_support=2, permutations=99
        )
        assert found[0].top_gap == pytest.approx(top_gap(outcome, scores, k)[1])
    distinct = np.arange(8.0)
    assert top_gap(outcome, distinct, 2) == (2, 1.0 - 0.5)


def test_a_bias_of_its_own_is_rarely_called_another_view_of_a_second_one():
    """Two tags that each cost 20 points and occur together on 60 % of their images."""
    both = called = shadows = shadows_called = 0
    for run in range(40):
        rng = np.random.default_rng([run, 3])
        present = rng.random((300, 8)) < 0.2
        present[:, 0] = rng.random(300) < 0.3
        present[:, 1] = rng.random(300) < np.where(present[:, 0], 0.6, 0.12 / 0.7)
        for own in (True, False):
            rate = 0.9 - 0.3 * present[:, 0] - 0.2 * own * present[:, 1]
            found = find_slices(
                [_images("a", rng.random(300) < rate)],
                {"a": present},
                [str(i) for i in range(8)],
                max_tags=1,
                min_gap=0.0,
                alpha=0.0125,
                permutations=199,
                progress=False,
            )
            got = {s.concepts: s.explained_by for s in found.slices}
            if ("0",) in got and ("1",) in got:
                told = got["0",] is not None or got["1",] is not None
                both, called = both + own, called + (own and told)
                shadows, shadows_called = shadows + (not own), shadows_called + (not own and told)
    assert both >= 30
    assert called <= 0.15 * both
    assert shadows_called >= 0.8 * shadows


def test_sums_of_small_and_large_slices_agree(monkeypatch):
    rng = np.random.default_rng(0)
    images = _images("a", rng.random(200) < 0.8, rng.beta(4, 1, 200))
    present = rng.random((200, 10)) < np.linspace(0.03, 0.9, 10)
    found = []
    for share, held in ((0.0, 0), (0.2, 8_000_000), (2.0, 0), (2.0, 300)):
        monkeypatch.setattr(strata_permutation, "_SPARSE", share)
        monkeypatch.setattr(strata_permutation, "_HELD", held)
        monkeypatch.setattr(strata_permutation, "_CELLS", 60_000)
        search = find_slices(
            [images],
            {"a": present},
            [str(i) for i in range(10)],
            metric="confidence",
            min_support=4,
            min_gap=0.0,
            alpha=1.0,
            minimality="none",
            permutations=150,
            progress=False,
        )
        found.append({s.concepts: s.p_adjusted for s in search.slices})
    assert len(found[0]) > 100
    assert all(other == found[0] for other in found[1:])


def test_an_image_alone_in_its_batch_is_predicted_as_among_others():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(3136, 3)
    )
    rng = np.random.default_rng(0)
    images = from_arrays(
        rng.integers(0, 256, (33, 16, 16, 3)).astype(np.uint8), np.arange(33) % 3, list("abc")
    )
    classifier = Classifier(network, class_names=("a", "b", "c"))
    tables = [
        observe(make_subject(images, classifier, size=16, batch_size=size), progress=False).frame
        for size in (33, 32, 1)
    ]
    for other in tables[1:]:
        # Some processors' matrix products round the last bit by the number of rows.
        assert other["confidence"].tolist() == pytest.approx(
            tables[0]["confidence"].tolist(), abs=2e-7, rel=0
        )


def _finding(n_present=30, n_absent=60):
    strips = [("present", 6), ("absent", 6), ("top", 3)]
    return Finding(
        id="f",
        kind="hidden",
        class_name="cat",
        concepts=("dark",),
        direction="hurts",
        effect=Effect(
            metric="accuracy",
            present=0.5,
            absent=0.9,
            n_present=n_present,
            n_absent=n_absent,
            gap=-0.4,
            low=-0.6,
            high=-0.2,
        ),
        evidence=tuple(
            Evidence(image=f"{strip}{i}", strip=strip, tagged=strip != "absent")
            for strip, count in strips
            for i in range(count)
        ),
    )


def test_only_who_checked_all_images_makes_an_estimate_that_stands():
    marked = Answer(finding="f", reviewer="a", wrong_images=("present0",))
    ticked = Answer(finding="f", reviewer="b", tags_checked=True)
    early = check_tags(_finding(), [marked])
    assert (early.checked_present, early.wrong_present) == (6, 1)
    assert PROVISIONAL in early.note
    final = check_tags(_finding(), [marked, ticked])
    assert (final.checked_present, final.wrong_present, final.note) == (6, 0, "")
    elsewhere = Answer(finding="f", reviewer="a", wrong_images=("top1",))
    assert check_tags(_finding(), [elsewhere]) is None


def test_more_checked_than_counted_is_no_crash():
    """Over all classes, classes without the tag are shown but are no part of the gap."""
    ticked = Answer(finding="f", reviewer="b", tags_checked=True)
    assert check_tags(_finding(n_present=5, n_absent=4), [ticked]).checked_absent == 6


def test_the_images_shown_for_a_ranking_are_the_half_that_was_tested():
    rng = np.random.default_rng(0)
    scores = np.array([0.0] * 9 + [1.0] * 6 + [2.0] * 5)
    images = _images("cat", rng.random(20) < 0.6)
    (effect,) = rank_test([images], {"cat": {"dark": scores}}, min_support=2, permutations=99)
    looked = Looked(("cat",), None, {}, {}, {"cat": {"dark": scores}}, None, (), (), {})
    ranked = _finding().model_copy(update={"source": "ranking"})
    present, _ = concept_scores(ranked, "cat", looked)
    assert int(present.sum()) == effect.n_present == 11
    scores[:3] = np.nan
    (effect,) = rank_test([images], {"cat": {"dark": scores}}, min_support=2, permutations=99)
    present, _ = concept_scores(ranked, "cat", looked)
    assert int(present.sum()) == effect.n_present
    assert not present[:3].any()
