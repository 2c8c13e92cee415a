"""The report of an audit from its record: what comes first, words, numbers, lost pictures, size."""

import re
from itertools import pairwise

import pytest
from tests import audit_report_run as made
from tests.audit_report_run import make_calm, make_finding, make_summary
from tests.report_outline import Outline, part

from sundog.core.audit.summary import Stage
from sundog.core.inspection.finding import Ranking, Replication
from sundog.report import audit_cues, audit_findings, audit_tested
from sundog.report.audit_page import audit_page
from sundog.report.page import render


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    return folder, make_summary(folder)


@pytest.fixture(scope="module")
def outline(run):
    folder, summary = run
    return Outline(render(audit_page(summary, folder=folder)))


def test_the_answer_comes_first_then_a_line_for_each_question(run, outline):
    folder, summary = run
    page = audit_page(summary, folder=folder)
    assert (page.tone, page.word) == ("alarm", "bias found")
    assert list(page.answers) == ["Where it is biased", "What to do"]
    said = [s.replace("\u00a0", " ") for s in (page.headline, *page.answers.values())]
    assert said[2] == summary.answer[2]
    titles = [section.title for section in page.sections]
    assert titles == [
        "At a glance",
        "Cues that it relies on",
        "Where its error is higher",
        "Before and after",
        "How well it does, class by class",
        "Which explanations to believe",
        "Rare, unsure and mislabelled images",
        "Tested and not found",
        "Limits",
        "Documentation duties",
        "How to reproduce",
    ]
    words = [check.word for check in page.sections[0].checks]
    assert words == ["cue found", "3 findings", "82\u00a0%", "mixed", "some", "9 labels", "yes"]
    assert {check.section for check in page.sections[0].checks} <= set(titles)
    positions = [outline.words.index(text) for text in ("bias found", *said)]
    assert positions == sorted(positions)
    assert positions[-1] < outline.words.index("At a glance")


def test_the_page_is_self_contained_accessible_and_opens_nothing(outline):
    assert not outline.problems
    assert not outline.stack
    names = {tag for tag, _ in outline.tags}
    assert not names & {"script", "iframe", "object", "link", "form"}
    for _, attrs in outline.tags:
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "href", "srcset", "xlink:href"):
            assert (attrs.get(name) or "#").startswith(("data:image/webp;base64,", "#"))
    headings = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    ids = [attrs["id"] for _, attrs in outline.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {attrs["href"][1:] for tag, attrs in outline.tags if tag == "a"}
    assert links <= set(ids)
    images = [attrs for tag, attrs in outline.tags if tag == "img"]
    assert len(images) >= 60
    assert all(attrs["alt"].strip() for attrs in images)


def test_a_cue_is_told_with_its_control_and_a_command_that_mends(run):
    folder, summary = run
    page = audit_page(summary, folder=folder)
    cue = part(page, "1. Patch, lower right")
    assert cue.text[0].replace("\u00a0", " ") == (
        "Moved into 212 images of other classes, it turns 68 % [61, 74] of the predictions into "
        "the class it came from; its control turns 1 % [0, 3]."
    )
    assert cue.text[1] == (
        "Tested on the probabilities: it moves +59 points [+52, +66], n = 212, from the label to "
        "the class it came from, the control subtracted; more than sound models show (corrected "
        "p < 0.001 over all candidates)."
    )
    assert "+61 points [+53, +68]" in cue.text[2]
    assert [badge.text for badge in cue.badges] == [
        "corrected p < 0.001",
        "part of the image",
        "speaks for tench and church",
        "nobody has judged it yet",
    ]
    triples, mask = cue.galleries
    assert [photo.head for photo in triples.photos] == ["Comes from", "Put into", "Result"] * 2
    assert triples.photos[2].words == "predicted tench"
    assert mask.photos[0].file == "cues/images/0-mask.png"
    names = [row.name for row in cue.charts[0].rows]
    assert names[1].startswith("control")
    assert [curve.across for curve in cue.curves] == ["opacity of the cue", "size of the cue"]
    assert [dose for dose, _ in cue.curves[0].points] == [0.25, 0.5, 0.75, 1.0]
    assert cue.curves[0].reference == pytest.approx(2 / 212)
    assert cue.action.command.splitlines() == [
        f"sundog review {folder}",
        f"sundog debias photos/ --model runs/cnn --from-audit {folder}",
        f"sundog audit MENDED_MODEL photos/ -o NEW_RUN --before {folder}",
    ]
    assert "About 61 points of accuracy" in cue.action.text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {},
            "The model's error is higher on church images with 'indoor': 45 % wrong against 7 %, "
            "a difference of 38 points [23, 53] (n = 40 with it, 257 without).",
        ),
        (
            {"direction": "helps", "present": (84, 88), "absent": (65, 109)},
            "The model's error is higher on church images without 'indoor': 40 % wrong against "
            "5 %, a difference of 36 points [25, 46] (n = 88 with it, 109 without).",
        ),
        (
            {"class_name": "", "kind": "across"},
            "The model's error is higher on images with 'indoor': 45 % wrong against 7 %, "
            "a difference of 38 points [23, 53] (n = 40 with it, 257 without).",
        ),
        (
            {"source": "ranking", "ranking": Ranking(auroc=0.3, low=0.2, high=0.4)},
            "Church images ranked by 'indoor': a right image ranks above a wrong one 30% of the "
            "time [20%, 40%] (50% = the concept does not matter).",
        ),
    ],
)
def test_a_finding_says_where_the_error_is_higher(changes, text):
    assert audit_findings.error_claim(make_finding(**changes)).replace("\u00a0", " ") == text


def test_a_finding_of_confidence_is_no_error():
    effect = make_finding().effect.model_copy(update={"metric": "confidence"})
    text = audit_findings.error_claim(make_finding(effect=effect)).replace("\u00a0", " ")
    assert text.startswith("The model is less sure of church images with 'indoor': the label gets")
    assert "error" not in text


def test_findings_show_images_with_and_without_and_the_error_of_both(run):
    folder, summary = run
    page = audit_page(summary, folder=folder)
    first = part(page, "1. church: indoor")
    assert [g.title for g in first.galleries] == [
        "With it (random sample)",
        "Without it (random sample)",
    ]
    assert [p.correct for p in first.galleries[0].photos] == [True, False] * 4
    assert [row.value.value for row in first.charts[0].rows] == [18 / 40, 19 / 257]
    texts = [badge.text for badge in first.badges]
    assert texts == [
        "corrected p < 0.001 over 1,840 tests",
        "confirmed on the other half of the images",
        "people say: shortcut",
    ]
    assert "gives 33 points [14, 53]" in first.text[1]
    third = part(page, "3. springer: dark + grass")
    assert third.badges[1].text == "halves too small to repeat it"
    view = part(page, "4. church: people")
    assert view.fold
    assert view.action.text == "Look at 'indoor' first: mending it may mend this too."


def test_what_people_rejected_comes_last_and_is_left_alone(run):
    folder, summary = run
    findings = (make_finding(0), make_finding(1, concepts=("sky",)))
    verdicts = {findings[0].id: "core", summary.cues[0].id: "concept absent"}
    changed = summary.model_copy(update={"findings": findings, "verdicts": verdicts})
    page = audit_page(changed, folder=folder)
    assert part(page, "1. church: sky")
    last = part(page, "2. church: indoor")
    assert last.action.text.startswith("Nothing: people say: part of the class.")
    cue = part(page, "1. Patch")
    assert cue.action.command == ""
    assert audit_cues.strongest(changed) is None
    words = [check.word for check in page.sections[0].checks]
    assert words[:2] == ["judged as core", "1 finding"]


def test_what_an_earlier_audit_rejected_is_left_alone_and_says_why(run):
    folder, summary = run
    why = "ann called it core in the first audit: the same class and concept"
    key = summary.findings[1].id
    changed = summary.model_copy(update={"judged_before": {key: why}})
    found = part(audit_page(changed, folder=folder), "gas pump: text")
    assert found.title.startswith("4.")
    assert [b.text for b in found.badges][-1] == "judged in an earlier audit: no bias"
    assert found.notes == ["Ann called it core in the first audit: the same class and concept."]


def test_a_finding_that_did_not_replicate_says_so(run):
    folder, summary = run
    found = make_finding(replication=Replication(status="not confirmed"))
    changed = summary.model_copy(update={"findings": (found,)})
    badge = part(audit_page(changed, folder=folder), "church: indoor").badges[1]
    assert (badge.text, badge.tone) == ("not confirmed on the other half of the images", "unsure")


def test_a_stage_that_failed_is_told_before_everything(run):
    folder, summary = run
    changed = summary.model_copy(
        update={"stages": made.make_stages(failed=True), "risk": None, "cue_tests": (),
                "cues": ()}
    )  # fmt: skip
    stages = (*changed.stages[:3], Stage(name="cues", status="failed", message="x"))
    changed = changed.model_copy(update={"stages": (*stages, *changed.stages[4:])})
    page = audit_page(changed, folder=folder)
    (alarm,) = page.alarms
    assert alarm.startswith("2 of 6 stages failed: cues (x); risk (MemoryError: cannot allocate")
    words = Outline(render(page)).words
    assert words.index("2 of 6 stages failed") < words.index("bias found")
    checks = page.sections[0].checks
    assert (checks[0].word, checks[0].tone) == ("failed", "alarm")
    assert (checks[-1].word, checks[-1].tone) == ("stages failed", "alarm")
    assert not part(page, "Stages:").fold


def test_nothing_found_says_how_large_a_bias_could_have_hidden(tmp_path):
    page = audit_page(make_calm(tmp_path), folder=tmp_path)
    assert page.tone == "calm"
    assert next(iter(page.answers)) == "What was looked for"
    cues, concepts = page.sections[0].checks[:2]
    assert "none claimed. Of these, the middle one would have been claimed" in cues.answer
    assert "from a pull of 16 points on" in cues.answer
    assert "a gap of 22 points would have been seen with 80 % power" in concepts.answer.replace(
        "\u00a0", " "
    )
    assert (concepts.tone, concepts.word) == ("calm", "none found")
    blind = make_calm(tmp_path, smallest_detectable={"tench": None, "church": 0.6})
    check = audit_page(blind, folder=tmp_path).sections[0].checks[1]
    assert (check.tone, check.word) == ("unsure", "cannot tell")
    assert "In 1 class there were too few images to see any gap" in check.answer
    nothing = make_calm(tmp_path, tested_concepts={}, smallest_detectable={}, cue_tests=())
    checks = audit_page(nothing, folder=tmp_path).sections[0].checks
    assert [check.word for check in checks[:2]] == ["not tested", "not tested"]
    assert audit_tested.concepts_unseen(nothing) == "Named concepts were not tested."


def test_no_method_that_beats_a_random_map_is_said_plainly(tmp_path):
    page = audit_page(make_calm(tmp_path), folder=tmp_path)
    section = part(page, "Which explanations")
    assert section.text[0].startswith("No method is shown to beat a random map on 64 images")
    deletion = section.charts[0]
    assert [row.muted for row in deletion.rows] == [False, False, False, True, True, False, True]
    assert {row.side for row in deletion.rows} == {""}
    assert deletion.reference == 0.312
    beaten = part(audit_page(make_summary(tmp_path), folder=tmp_path), "Which explanations")
    assert [row.side for row in beaten.charts[0].rows][:4] == ["better", "better", "better", ""]


def test_changes_are_turned_so_that_right_is_better(run):
    folder, summary = run
    section = part(audit_page(summary, folder=folder), "Before and after")
    rows = {row.name: row.value for row in section.charts[0].rows}
    assert list(rows)[:3] == [
        "accuracy",
        "share that follows 'patch, lower right'",
        "accuracy of church images with 'indoor' (frozen slice)",
    ]
    assert rows["share that follows 'patch, lower right'"].value == pytest.approx((144 - 12) / 212)
    assert rows["accuracy of class springer"].value == pytest.approx((122 - 150) / 197)
    assert "3 numbers better, 1 worse, 2 not shown to differ" in section.text[0]
    table = section.parts[0].tables[0].frame
    assert table["is it better"].tolist().count("worse") == 1


def test_no_text_says_that_a_model_is_fair(run, tmp_path):
    folder, summary = run
    for one, place in ((summary, folder), (make_calm(tmp_path), tmp_path)):
        text = Outline(render(audit_page(one, folder=place))).words.lower()
        assert "the model's error is" in text
        for word in ("unbiased", "is fair", "bias-free", "is safe", "compliant", "discriminates"):
            assert word not in text, word
        assert "not legal advice" in text


def test_numbers_that_could_not_be_measured_are_dashes_not_crashes(tmp_path):
    unknown = made.unknown()
    cue = made.make_cue(tmp_path).model_copy(
        update=dict.fromkeys(
            (
                *("flip", "control", "excess", "intact", "swapped", "reliance", "random_place"),
                "pull",
            ),
            unknown,
        )
        | {"dose": (), "pictures": (), "mask": None, "box": None}
    )  # fmt: skip
    finding = make_finding(evidence=(), replication=None, p_adjusted=None, errors=None)
    effect = finding.effect.model_copy(update={"present": None, "absent": None, "gap": None,
                                               "low": None, "high": None})  # fmt: skip
    performance = made.make_performance().model_copy(
        update={"accuracy": unknown, "groups": (), "worst": None, "gap": None, "ece": unknown}
    )
    summary = make_summary(
        tmp_path,
        cues=(cue,),
        findings=(finding.model_copy(update={"effect": effect}),),
        performance=performance,
        risk=made.make_risk(tmp_path).model_copy(update={"rarest": None, "detection": {}}),
        changes=(made.make_changes()[0].model_copy(update={"difference": unknown}),),
        manifest={},
        stages=(),
        limits=(),
    )
    html = render(audit_page(summary, folder=tmp_path))
    assert "nan" not in Outline(html).words.lower().split()
    assert "DATA --model MODEL --from-audit" in html
    bare = make_calm(tmp_path, performance=None, explanations=None, risk=None, images={})
    assert "Performance was not measured." in render(audit_page(bare, folder=tmp_path))
