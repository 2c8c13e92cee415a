"""Parts of an inspection: which tags are looked at, which images are shown, rankings as given."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from sundog.audit.evidence import choose_evidence, combined_score
from sundog.audit.finding_records import number, rank_findings, scaled
from sundog.audit.observed import Observed
from sundog.audit.spuriosity import top_gap
from sundog.audit.vocabulary import class_tags, names_the_class, shared_tags
from sundog.concepts.tag_scores import TagScores
from sundog.core.errors import InputError, UnknownNameError
from sundog.core.inspection.finding import Effect, Finding, finding_id


def observed(labels, correct=None):
    count = len(labels)
    return Observed(
        frame=pd.DataFrame(
            {
                "index": np.arange(count),
                "id": [f"i{k}" for k in range(count)],
                "source": [f"{k}.png" for k in range(count)],
                "label": labels,
                "prediction": labels,
                "correct": np.ones(count, bool) if correct is None else correct,
                "confidence": np.full(count, 0.5),
            }
        ),
        class_names=("golf ball", "tench"),
    )


def tag_scores(columns):
    names = tuple(columns)
    scores = np.stack([columns[name] for name in names], axis=1).astype(np.float32)
    return TagScores(
        tagger="t",
        identity="x",
        names=names,
        thresholds=np.full(len(names), 0.5, np.float32),
        scores=scores,
        ids=tuple(f"i{k}" for k in range(len(scores))),
    )


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("golf ball", True),
        ("Golf_ball", True),
        ("imagenet: golf ball", True),
        ("golf", False),
        ("golf ball marker", False),
        ("folder = golf ball", False),
    ],
)
def test_a_tag_names_the_class_only_if_it_says_all_of_it(tag, expected):
    assert names_the_class(tag, "golf ball") is expected


def test_tags_of_a_class_leave_out_its_name_rare_constant_and_twin_tags_and_say_so():
    labels = np.repeat([0, 1], 6)
    half = np.tile([1, 1, 1, 0, 0, 0], 2)
    scores = tag_scores(
        {
            "golf ball": half,
            "grass": half,
            "lawn": half,
            "rare": np.eye(12)[0] + np.eye(12)[7],
            "always": np.ones(12),
            "night": np.tile([0, 1, 0, 1, 0, 1], 2),
            "day": np.tile([1, 0, 1, 0, 1, 0], 2),
        }
    )
    found = class_tags(scores, observed(labels), ("golf ball", "tench"), min_support=2)
    golf = found["golf ball"]
    assert golf.names == ("grass", "night")
    assert golf.same == {"grass": ("lawn",), "night": ("not day",)}
    assert golf.dropped == {
        "too few with it": 1,
        "too few without it": 1,
        "names the class": 1,
        "twin": 1,
        "opposite": 1,
    }
    np.testing.assert_array_equal(golf.present[:, 0], half[:6].astype(bool))
    assert found["tench"].names == ("golf ball", "night")
    only = class_tags(
        scores, observed(labels), ("tench",), only={"tench": ["night"]}, min_support=2
    )
    assert only["tench"].names == ("night",)
    with pytest.raises(UnknownNameError, match="night"):
        class_tags(scores, observed(labels), ("tench",), only={"tench": ["nigth"]})
    with pytest.raises(InputError, match="golf ball"):
        class_tags(scores, observed(labels), ("tench",), only={"golf ball": ["night"]})


def test_tags_for_all_classes_are_the_same_in_each_and_name_none_of_them():
    labels = np.repeat([0, 1], 6)
    scores = tag_scores({"tench": labels, "night": np.tile([0, 1], 6), "dark": np.tile([0, 1], 6)})
    found = shared_tags(scores, observed(labels), ("golf ball", "tench"), min_support=2)
    assert found["golf ball"].names == found["tench"].names == ("night",)
    assert found["tench"].present.shape == (6, 1)


def test_evidence_is_top_and_bottom_by_score_and_random_samples_of_either_side():
    draw = np.random.default_rng(0)
    ids = [f"i{k}" for k in range(200)]
    scores = draw.random(200)
    present = scores > 0.7
    scores[5] = np.nan
    chosen = choose_evidence(
        ids=ids, present=present, scores=scores, top_k=3, sample=10, seed=1, key="a"
    )
    by_strip = {
        strip: [e.image for e in chosen if e.strip == strip]
        for strip in ("top", "bottom", "present", "absent")
    }
    order = [k for k in np.argsort(-scores, kind="stable") if not np.isnan(scores[k])]
    assert by_strip["top"] == [ids[k] for k in order[:3]]
    assert by_strip["bottom"] == [ids[k] for k in order[::-1][:3]]
    assert len(set(by_strip["present"])) == len(set(by_strip["absent"])) == 10
    assert all(present[int(name[1:])] for name in by_strip["present"])
    again = choose_evidence(
        ids=ids, present=present, scores=scores, top_k=3, sample=10, seed=1, key="a"
    )
    assert again == chosen
    other = choose_evidence(
        ids=ids, present=present, scores=scores, top_k=3, sample=10, seed=1, key="b"
    )
    assert other != chosen


def test_every_image_of_a_side_is_as_likely_to_be_sampled():
    present = np.arange(40) < 20
    counts = np.zeros(40)
    for key in range(400):
        for e in choose_evidence(
            ids=[str(k) for k in range(40)],
            present=present,
            scores=None,
            top_k=0,
            sample=5,
            seed=0,
            key=str(key),
        ):
            counts[int(e.image)] += 1
    assert stats.chisquare(counts[:20]).pvalue > 0.001
    assert stats.chisquare(counts[20:]).pvalue > 0.001


def test_a_combination_is_shown_by_the_image_that_shows_each_part():
    scores = np.array([[0.9, 0.1], [0.8, 0.8], [0.1, 0.9], [np.nan, 0.5]])
    combined = combined_score(scores)
    assert np.nanargmax(combined) == 1
    assert np.isnan(combined[3])
    np.testing.assert_allclose(combined_score(scores[:, :1])[:3], scores[:3, 0])


def test_the_top_gap_is_the_difference_of_the_ends():
    outcome = np.array([1.0, 1, 0, 0, 1, 0])
    scores = np.array([0.9, 0.8, 0.1, 0.2, np.nan, 0.5])
    assert top_gap(outcome, scores, 2) == (2, 1.0)
    assert top_gap(outcome, scores, 50) == (2, 1.0)
    assert top_gap(outcome[:1], scores[:1], 3) is None


def finding(name, p, low, high, *, significant=True, explained=()):
    return Finding(
        id=finding_id("hidden", name, ("x",), "accuracy"),
        kind="hidden",
        class_name=name,
        concepts=("x",),
        direction="hurts",
        effect=Effect(
            metric="accuracy",
            present=0.5,
            absent=0.9,
            n_present=9,
            n_absent=9,
            gap=(low + high) / 2,
            low=low,
            high=high,
        ),
        p=p,
        p_adjusted=p,
        significant=significant,
        explained_by=explained,
    )


def test_findings_are_ranked_by_p_then_by_the_bound_never_by_the_gap():
    wide = finding("wide", 0.01, -0.9, -0.05)
    sure = finding("sure", 0.01, -0.4, -0.3)
    weak = finding("weak", 0.04, -0.99, -0.9)
    view = finding("view", 0.001, -0.9, -0.8, explained=("y",))
    none = finding("none", 0.5, -0.9, 0.9, significant=False)
    ranked = rank_findings([none, view, weak, wide, sure])
    assert [f.class_name for f in ranked] == ["sure", "wide", "weak", "view", "none"]


def test_ids_depend_on_the_claim_alone():
    first = finding_id("complex", "tench", ("a", "b"), "accuracy")
    assert first == finding_id("complex", "tench", ("b", "a"), "accuracy")
    assert first != finding_id("complex", "tench", ("ab",), "accuracy")
    assert first != finding_id("complex", "tencha", ("b",), "accuracy")
    assert first != finding_id("complex", "tench", ("a", "b"), "confidence")


def test_adjusted_p_values_pay_for_every_family_and_stay_probabilities():
    assert scaled(0.01, 3) == pytest.approx(0.03)
    assert scaled(0.6, 3) == 1.0
    assert scaled(float("nan"), 3) is None
    assert number(float("inf")) is None
    assert number(torch.tensor(0.5).item()) == 0.5
