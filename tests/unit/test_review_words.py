"""The words of the review say what the numbers say, in the right direction."""

import runpy
from pathlib import Path

import pytest

from sundog.core.inspection.finding import Effect, Finding, Ranking
from sundog.core.inspection.results import Rate, TagCheck
from sundog.review.facts import facts
from sundog.review.sentences import claim, meaning, question, tag_check
from sundog.review.wording import (
    count,
    interval,
    percent,
    plain_text,
    points,
    printable,
    probability,
    sentence,
    signed_points,
)

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "review_run.py"))["SCRIPT"]


def _finding(*, class_name="tench", concepts=("water",), **changes):
    effect = {
        "metric": "accuracy",
        "present": 0.45,
        "absent": 0.92,
        "n_present": 120,
        "n_absent": 80,
        "gap": -0.47,
        "low": -0.60,
        "high": -0.31,
        **changes.pop("effect", {}),
    }
    fields = {
        "id": "a" * 16,
        "kind": "hidden",
        "class_name": class_name,
        "concepts": concepts,
        "direction": "hurts",
        "effect": Effect(**effect),
        "p": 0.0001,
        "p_adjusted": 0.004,
        "adjustment": "westfall_young",
        "tests": 2340,
        "significant": True,
        **changes,
    }
    return Finding(**fields)


def _text(pieces):
    return plain_text(pieces).replace("\u00a0", " ")


def test_a_lower_metric_is_said_with_a_positive_number_and_its_interval():
    assert _text(claim(_finding())) == (
        "Of 200 tench images, the 120 tagged “water” are right 45 % of the time and the other 80 "
        "are right 92 % of the time: 47 points lower [31, 60]."
    )


def test_a_higher_metric():
    helps = _finding(effect={"present": 0.9, "absent": 0.7, "gap": 0.2, "low": -0.05, "high": 0.4})
    assert _text(claim(helps)).endswith("20 points higher [−5, 40].")


def test_an_undecided_lower_metric_keeps_its_signs_apart():
    small = _finding(
        effect={"present": 0.7, "absent": 0.75, "gap": -0.05, "low": -0.2, "high": 0.1}
    )
    assert _text(claim(small)).endswith("5 points lower [−10, 20].")


def test_combinations_classes_together_confidence_and_one_image():
    assert "“a”, “b” and “c” together" in _text(claim(_finding(concepts=("a", "b", "c"))))
    across = _text(claim(_finding(class_name="", kind="across")))
    assert across.startswith("Of 200 images of all classes, ")
    assert across.endswith("Compared within each class.")
    sure = _finding(effect={"metric": "confidence", "n_present": 1, "n_absent": 1})
    assert _text(claim(sure)).startswith(
        "Of 2 tench images, the 1 tagged “water” gets 45 % for its own class on average and the "
        "other 1 92 %"
    )


def test_nothing_to_compare_is_said():
    none = _finding(
        effect={"n_present": 0, "present": None, "gap": None, "low": None, "high": None}
    )
    assert _text(claim(none)) == "Of 80 tench images, none is tagged “water”."
    all_ = _finding(effect={"n_absent": 0, "absent": None, "gap": None, "low": None, "high": None})
    assert _text(claim(all_)) == "Of 120 tench images, 120 are tagged “water”; not compared."
    same = _finding(effect={"present": 0.5, "absent": 0.5, "gap": 0.0, "low": None, "high": None})
    assert _text(claim(same)).endswith("no difference.")


@pytest.mark.parametrize(
    ("auroc", "low", "high", "said"),
    [
        (0.7, 0.6, 0.8, "shows more of it than a wrong one in 70 % of pairs [60 %, 80 %]"),
        (0.2, 0.1, 0.35, "shows less of it than a wrong one in 80 % of pairs [65 %, 90 %]"),
    ],
)
def test_rankings_say_the_direction(auroc, low, high, said):
    ranked = _finding(source="ranking", ranking=Ranking(auroc=auroc, low=low, high=high))
    assert said in _text(claim(ranked))
    assert "50 % would be chance" in _text(claim(ranked))


def test_rankings_by_confidence():
    ranking = Ranking(auroc=None, low=None, high=None, correlation=-0.31)
    text = _text(claim(_finding(source="ranking", ranking=ranking)))
    assert "the less confidence" in text
    assert "−0.31" in text


def test_renamed_concepts_are_shown_and_names_are_pieces_of_their_own():
    pieces = claim(_finding(class_name=SCRIPT), ["sea"])
    assert ("name", SCRIPT) in pieces
    assert ("name", "sea") in pieces
    assert not any("water" in text for _, text in pieces)
    assert not any(SCRIPT in text for kind, text in pieces if kind != "name")


def test_the_meaning_follows_the_evidence():
    assert "fails more often where" in _text(meaning(_finding(), 0.05))
    assert "lean on" in _text(meaning(_finding(direction="helps"), 0.05))
    twin = _text(meaning(_finding(explained_by=("sea", "sky")), 0.05))
    assert "another view of “sea” and “sky”" in twin
    chance = _text(meaning(_finding(p_adjusted=0.3, significant=False), 0.05))
    assert chance.startswith("This may be chance")
    assert "2,340 tests with probability 0.30" in chance
    small = _text(meaning(_finding(significant=False), 0.05))
    assert "smaller than the gap that was asked for" in small
    untested = _finding(p=None, p_adjusted=None, significant=False, note="Only one image.")
    assert _text(meaning(untested, 0.05)) == "Only one image."


@pytest.mark.parametrize("direction", ["hurts", "helps", "none"])
@pytest.mark.parametrize("concepts", [("water",), ("a", "b")])
def test_the_blind_question_tells_nothing_of_the_numbers(direction, concepts):
    one = _finding(direction=direction, concepts=concepts)
    other = _finding(direction="none", concepts=concepts, p_adjusted=1.0, effect={"gap": 0.1})
    assert question(one) == question(other)
    assert not any(c.isdigit() for c in _text(question(one)))


def _check(**changes):
    corrected = _finding(effect={"gap": -0.6, "low": -0.8, "high": -0.4}).effect
    fields = {
        "checked_present": 12,
        "wrong_present": 2,
        "checked_absent": 10,
        "wrong_absent": 0,
        "false_positive": Rate(value=0.2, low=0.1, high=0.35),
        "false_negative": Rate(value=0.0, low=0.0, high=0.2),
        "corrected": corrected,
        **changes,
    }
    return TagCheck(**fields)


def test_the_tag_check_says_rates_and_the_corrected_gap():
    text = _text(tag_check(_check(), _finding().effect))
    assert text == (
        "Of 12 checked images with the tag, 2 are wrong. Of 10 checked images without it, none "
        "shows the concept. So 20 % [10 %, 35 %] of the images without the concept carry the tag. "
        "So 0 % [0 %, 20 %] of those with it lack the tag. With the tagger's errors taken out, the "
        "gap is −60 points [−80, −40] (as tagged: −47)."
    )


def test_blind_tag_checks_hide_the_gap():
    text = _text(tag_check(_check(), _finding().effect, blind=True))
    assert "gap" not in text
    assert "20 % [10 %, 35 %]" in text


def test_the_tag_check_without_an_estimate():
    bare = _check(false_positive=None, false_negative=None, corrected=None, checked_absent=0)
    assert _text(tag_check(bare, _finding().effect)).strip() == (
        "Of 12 checked images with the tag, 2 are wrong."
    )


def test_facts_hold_every_number_once():
    finding = _finding(errors=66, expected_errors=43.8, smallest_detectable=0.12)
    rows = {fact.label: fact for fact in facts(finding, alpha=0.05)}
    assert rows["Images"].value == "120 with, 80 without"
    assert rows["Gap"].value.replace("\u00a0", " ") == "−47 points [−60, −31]"
    assert rows["Adjusted p"].value == "0.004"
    assert "2,340 tests (Westfall–Young)" in rows["Adjusted p"].hint
    assert "this test alone: under 0.001" in rows["Adjusted p"].hint
    assert rows["Errors with the concept"].value == "66; 43.8 expected by chance"
    assert rows["Smallest gap to be seen"].value == "12 points"
    assert rows["Significant"].value == "yes"
    bare = _finding(p=None, p_adjusted=None, significant=False, effect={"gap": None, "low": None})
    assert {fact.label for fact in facts(bare, alpha=0.05)} == {"Images"}


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.45, "45 %"), (0.0, "0 %"), (1.0, "100 %"), (0.998, "99.8 %"), (0.002, "0.2 %")],
)
def test_percent_never_rounds_to_certainty(share, text):
    assert percent(share).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.474, "47"), (-0.03, "−3"), (0.004, "0.4"), (-0.004, "−0.4"), (0.0, "0"), (-0.0001, "0")],
)
def test_points(value, text):
    assert points(value) == text


def test_small_formats():
    assert signed_points(0.2) == "+20"
    assert signed_points(-0.2) == "−20"
    assert signed_points(0) == "0"
    assert interval(None, 0.1) == ""
    assert interval(-0.3, 0.1, flip=True).replace("\u00a0", " ") == " [−10, 30]"
    assert [probability(p) for p in (0.0004, 0.004, 0.05, 0.5)] == [
        "under 0.001",
        "0.004",
        "0.050",
        "0.50",
    ]
    assert count(1, "image") == "1 image"
    assert count(2340, "image") == "2,340 images"
    assert sentence("a", "b", ("c"), "") == (("plain", "abc"),)


def test_a_terminal_is_not_obeyed():
    hostile = "\x1b[2Jred\x07\r\nrow\u202eevil"
    assert printable(hostile) == "\ufffd[2Jred\ufffd\ufffd\ufffdrow\ufffdevil"
    assert printable("عشب 👩\u200d🔧 a\u00a0b") == "عشب 👩\u200d🔧 a\u00a0b"
