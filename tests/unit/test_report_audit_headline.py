"""The first sentence of an audit's page is short; the second has n and intervals."""

import runpy
from pathlib import Path

import pytest

from sundog.core.audit.measured import Measured
from sundog.report.audit_commands import commands_of
from sundog.report.audit_findings import error_claim
from sundog.report.audit_headline import headline, numbers
from sundog.report.audit_page import audit_page
from sundog.report.audit_words import class_named, images_of, size
from sundog.report.page import render

made = runpy.run_path(str(Path(__file__).parents[1] / "audit_report_run.py"))
make_summary, make_calm, make_cue, make_finding = (
    made[name] for name in ("make_summary", "make_calm", "make_cue", "make_finding")
)


def plain(text):
    return text.replace("\u00a0", " ")


def test_a_cue_and_findings_are_one_short_sentence(tmp_path):
    summary = make_summary(tmp_path)
    assert headline(summary) == (
        "The model follows a cue: 'patch, lower right'; its error is higher on 3 groups of images."
    )
    assert plain(numbers(summary)) == (
        "Moved from classes tench and church into 212 images of other classes, it turns "
        "68 % [61, 74] to its own class (control 1 % [0, 3]); with that of another class the model "
        "is right on 31 % [25, 38] instead of 92 % (n = 212). Its error is higher on church images "
        "with 'indoor': 45 % wrong against 7 %, a difference of 38 points [23, 53] (n = 40 with "
        "it, 257 without). 2 more below."
    )


def test_many_cues_and_long_names_stay_short(tmp_path):
    cue = make_cue(tmp_path, name="a very long name of a window " * 20)
    many = tuple(cue.model_copy(update={"id": str(k)}) for k in range(7))
    summary = make_summary(tmp_path, cues=many, findings=())
    assert headline(summary).startswith("The model follows 7 cues, above all 'a very long name")
    assert len(headline(summary)) < 120
    assert numbers(summary).endswith("6 more below.")
    rejected = {cue.id: "core" for cue in many[1:]}
    summary = make_summary(tmp_path, cues=many, findings=(), verdicts=rejected)
    assert headline(summary).startswith("The model follows a cue: 'a very")
    assert "more below" not in numbers(summary)
    long = make_finding(0, concepts=("x" * 200,) * 6)
    summary = make_summary(tmp_path, cues=(), findings=(long,))
    assert len(headline(summary)) < 200


def test_findings_alone_name_the_worst_images(tmp_path):
    summary = make_summary(tmp_path, cues=())
    assert headline(summary) == (
        "The model's error is higher on church images with 'indoor' and on 2 more groups of images."
    )
    one = make_summary(tmp_path, cues=(), findings=(make_finding(0),))
    assert headline(one) == "The model's error is higher on church images with 'indoor'."


def test_without_bias_it_says_how_often_it_is_right_and_what_that_is_worth(tmp_path):
    calm = make_calm(tmp_path)
    assert plain(headline(calm)) == (
        "No bias was shown; the model is right on 82 % [80, 83] of 1,970 images."
    )
    page = audit_page(calm, folder=tmp_path)
    assert page.answers["What was looked for"] == calm.answer[1]
    poor = calm.performance.model_copy(
        update={"accuracy": Measured(value=0.12, low=0.08, high=0.17, n=200)}
    )
    unsure = make_calm(tmp_path, verdict="cannot tell", performance=poor)
    assert plain(headline(unsure)) == (
        "This audit cannot tell whether the model is biased; it is right on 12 % [8, 17] of 200 "
        "images, which may be no better than guessing."
    )
    page = audit_page(unsure, folder=tmp_path)
    assert page.answers["Why"] == calm.answer[1]
    right = next(c for c in page.sections[0].checks if c.question == "How often is it right?")
    assert right.tone == "unsure"
    assert right.answer.endswith("It may be no better than guessing.")
    nothing = make_calm(tmp_path, performance=None)
    assert headline(nothing) == "No bias was shown."


def test_a_verdict_that_nothing_carries_any_more_keeps_the_sentence_of_the_record(tmp_path):
    summary = make_summary(tmp_path, cues=(), findings=())
    assert plain(headline(summary)) == summary.answer[0]
    page = audit_page(summary, folder=tmp_path)
    assert plain(page.answers["Where it is biased"]) == summary.answer[1]


def test_a_class_without_letters_gets_the_word(tmp_path):
    assert [class_named(name) for name in ("5", "tench", "")] == ["class 5", "tench", ""]
    assert images_of("5") == "images of class 5"
    finding = make_finding(0, class_name="5")
    assert "higher on images of class 5 with 'indoor':" in error_claim(finding)
    page = audit_page(make_summary(tmp_path, findings=(finding,)), folder=tmp_path)
    (section,) = [s for s in page.sections if s.title == "Where its error is higher"]
    assert section.parts[0].title == "1. class 5: indoor"


@pytest.mark.parametrize(
    ("value", "low", "high", "negative", "text"),
    [
        (-0.38, -0.53, -0.23, True, "38 points [23, 53]"),
        (0.38, 0.23, 0.53, False, "38 points [23, 53]"),
        (0.05, -0.1, 0.2, True, "−5 points [−20, 10]"),
        (0.01, None, None, False, "1 point"),
        (-0.001, -0.01, 0.004, False, "0 points [−1, 0]"),
    ],
)
def test_the_size_of_a_difference_has_the_sign_of_its_claim(value, low, high, negative, text):
    made = Measured(value=value, low=low, high=high, n=9).estimate()
    assert size(made, negative=negative) == text


def test_the_command_that_mends_learns_from_the_training_images(tmp_path):
    summary = make_summary(tmp_path)
    given = {**summary.manifest, "arguments": {"data": "held/", "model": "m", "training": "a b/"}}
    told = commands_of(summary.model_copy(update={"manifest": given}), folder=Path("run"))
    assert told.debias == "sundog debias 'a b/' --model m --from-audit run"
    assert told.again == (
        "sundog audit MENDED_MODEL held/ --training 'a b/' -o NEW_RUN --before run"
    )


def test_numbers_stay_with_their_signs_and_commands_keep_their_lines(tmp_path):
    html = render(audit_page(make_summary(tmp_path), folder=tmp_path))
    assert "n\u00a0=\u00a040 with it" in html
    assert "38 points [23,\u00a053]" in html
    assert 'class="line">sundog review' in html
    assert 'data-of="concept"' in html
