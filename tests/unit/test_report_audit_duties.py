"""Documentation duties: what the run fills, what a person must state, whose text it is."""

import re
import runpy
from pathlib import Path

import pytest

from sundog.report.audit_page import audit_page
from sundog.report.duties import DUTIES, fill_duties, further_answers, questions
from sundog.report.page import render

made = runpy.run_path(str(Path(__file__).parents[1] / "audit_report_run.py"))


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    return made["make_summary"](tmp_path_factory.mktemp("duties"))


def texts(summary):
    return {item.duty.key: item for item in fill_duties(summary)}


def test_every_clause_that_concerns_the_test_of_a_classifier_is_asked_for():
    keys = [duty.key for duty in DUTIES]
    assert len(keys) == len(set(keys))
    clauses = " ".join(clause for duty in DUTIES for clause in duty.asked_by)
    for clause in ("Annex IV 2(g)", "Annex IV 3", "Art. 10(2)(f)", "Art. 10(2)(g)",
                   "Art. 10(2)(h)", "Art. 13(3)(b)(ii)", "Art. 13(3)(b)(v)", "Art. 15(3)",
                   "Data card"):  # fmt: skip
        assert clause in clauses, clause
    measures = set(re.findall(r"2\.(\d+)", clauses))
    assert measures == {str(number) for number in range(1, 14)}
    cards = {c.split(": ")[1] for d in DUTIES for c in d.asked_by if c.startswith("Model card: ")}
    assert cards == {
        "model details", "intended use", "factors", "metrics", "evaluation data", "training data",
        "quantitative analyses", "ethical considerations", "caveats", "recommendations",
    }  # fmt: skip


def test_the_run_fills_what_it_knows(summary):
    found = texts(summary)
    assert found["accuracy"].state == "from the run"
    assert "82\u00a0% [80, 83] of 1,970 images" in found["accuracy"].run
    assert (
        "'church, phone' (class and camera): right on 61\u00a0% [45, 77], n = 64"
        in found["groups"].run
    )
    assert found["bias_examination"].run.startswith(
        "1 cue that predictions follow; 4 findings of a higher error, 3 of them on their own. "
        "p-values are corrected for all that was tested. People judged 1 and rejected 0. "
    )
    assert "3 numbers better, 1 worse, 2 not shown to differ" in found["mitigation"].run
    assert "1 group too small to tell: 'tench, studio' (class and camera)" in found["data_gaps"].run
    assert "'patch, lower right' turns 68\u00a0% [61, 74], n = 212" in found["robustness"].run
    assert "integrated gradients" in found["explanation"].run
    assert "hash of weights 9f2c" in found["model"].run
    assert "audit.json and manifest.json" in found["test_log"].run
    assert found["signature"].run == "The run was made on 2026-05-04T10:11:12+00:00 (UTC)."
    assert "11 min 23 s on cpu" in found["environment"].run


def test_what_only_people_know_is_open_until_they_answer(summary):
    found = texts(summary)
    assert found["intended_use"].state == "from a person"
    assert found["intended_use"].person == "Sorting holiday photographs; not for people."
    for key in ("training_data", "oversight", "monitoring", "privacy", "security",
                "discriminatory_impacts"):  # fmt: skip
        assert found[key].state == "open", key
        assert found[key].open
        assert found[key].duty.ask
    for key in ("metrics", "factors", "test_data", "mitigation", "signature"):
        assert found[key].state == "a person must add", key
    answers = dict.fromkeys(questions(), "It is so.")
    full = texts(summary.model_copy(update={"duties": answers}))
    assert not [item.duty.key for item in full.values() if item.open]
    assert full["metrics"].run
    assert full["metrics"].person == "It is so."
    blank = texts(summary.model_copy(update={"duties": {"oversight": "  "}}))
    assert blank["oversight"].state == "open"


def test_an_answer_that_nobody_asked_for_is_kept_apart(summary):
    assert further_answers(summary) == {"colour_management": "sRGB throughout."}


def test_a_run_that_measured_nothing_leaves_everything_open(summary):
    bare = summary.model_copy(
        update={"performance": None, "findings": (), "tested_concepts": {}, "cues": (),
                "smallest_detectable": {}, "cue_tests": (), "explanations": None, "risk": None,
                "changes": (), "stages": (), "manifest": {}, "duties": {}, "verdicts": {}}
    )  # fmt: skip
    found = texts(bare)
    silent = {key for key, item in found.items() if not item.run}
    assert silent == set(found) - {"model", "test_data", "generalisation"}
    assert {item.state for item in found.values()} == {"open", "a person must add"}


def test_the_page_says_where_each_text_comes_from(summary, tmp_path):
    html = render(audit_page(summary, folder=tmp_path)).replace("\u00a0", " ")
    assert "7 of 24 items" in html
    assert "A person states: Sorting holiday photographs; not for people." in html
    assert "A person must state who watches the output" in html
    assert "Field: oversight" in html
    assert "not legal advice, and no statement that any requirement is met" in html
    assert "Also stated by a person" in html


def test_an_answers_file_can_be_made_from_the_questions():
    asked = questions()
    assert set(asked) == {duty.key for duty in DUTIES if duty.ask}
    assert all(text.startswith("State ") and text.endswith(".") for text in asked.values())
