"""Verdicts as inputs: what is suppressed, what is never used, what a later audit takes over."""

import json
import runpy
import shutil
from pathlib import Path

import pytest

from sundog.audit.audit_verdicts import debias_command, read_verdicts
from sundog.audit.audit_verdicts_before import judged_before, same_cue
from sundog.audit.cues_for_review import merge_cues_into_query
from sundog.audit.debias_from_audit import what_to_suppress
from sundog.core.audit.summary import AUDIT_FILE, AuditSummary
from sundog.core.errors import InputError, RunFolderError
from sundog.core.inspection.events import Event
from sundog.review.session import Session

HERE = Path(__file__).parents[1]
CUES = runpy.run_path(str(HERE / "cue_records.py"))
RUN = runpy.run_path(str(HERE / "review_run.py"))
cue_record, write_cues = CUES["cue_record"], CUES["write_cues"]
FIRST, SECOND, THIRD = (f"{n:016x}" for n in (1, 2, 3))


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verdicts") / "first"
    return make_audit(folder, cue_record(1), cue_record(2), cue_record(3))


@pytest.fixture
def audit(template, tmp_path):
    return Path(shutil.copytree(template, tmp_path / "first"))


def make_audit(folder, *records, findings=3):
    RUN["make_run"](folder / "inspect", findings=findings, per_strip=1)
    write_cues(folder / "cues", *records)
    merge_cues_into_query(folder / "inspect", folder / "cues")
    return folder


def say(run, *verdicts):
    """Add (finding, verdict, reviewer) as events."""
    session = Session.open(run)
    for finding, verdict, reviewer in verdicts:
        event = Event(
            query=session.query_hash, reviewer=reviewer, action="verdict", finding=finding,
            verdict=verdict,
        )  # fmt: skip
        assert not session.add([event.model_dump(mode="json")]).refused


def test_the_majority_decides_what_is_suppressed(audit):
    hidden, complex_ = (f.id for f in read_verdicts(audit).findings[:2])
    say(
        audit,
        (FIRST, "background", "ann"), (FIRST, "separate object", "bob"), (FIRST, "core", "cy"),
        (SECOND, "core", "ann"), (SECOND, "core", "bob"), (SECOND, "background", "cy"),
        (THIRD, "background", "ann"), (THIRD, "core", "bob"),
        (hidden, "separate object", "ann"),
        (complex_, "concept absent", "ann"),
    )  # fmt: skip
    found = read_verdicts(audit)
    assert {i: found.decision(i) for i in (FIRST, SECOND, THIRD)} == {
        FIRST: "shortcut", SECOND: "core", THIRD: "split",
    }  # fmt: skip
    wanted = what_to_suppress(audit)
    assert [cue.id for cue in wanted.cues] == [FIRST]
    assert [finding.id for finding in wanted.findings] == [hidden]
    assert wanted.cues_folder == audit / "cues"
    said = " ".join(wanted.notes)
    assert "'patch 1, lower right', called spurious by 2 of 3 reviewers" in said
    assert "'water' in tench, called spurious by 1 of 1 reviewer." in said
    for rest in ("1 core", "1 split", "1 concept absent", "1 unreviewed"):
        assert rest in said
    # The same from the folder of the inspection alone.
    assert what_to_suppress(audit / "inspect").cues == wanted.cues


def test_unreviewed_takes_what_nobody_judged_and_never_what_was_rejected(audit):
    say(audit, (SECOND, "core", "ann"), (THIRD, "not sure", "ann"))
    with pytest.raises(InputError) as raised:
        what_to_suppress(audit)
    assert f"sundog review {audit}" in raised.value.message
    assert "--unreviewed" in raised.value.message
    assert "3 cues and 3 findings: 4 unreviewed, 1 core, 1 not sure" in raised.value.message
    wanted = what_to_suppress(audit, unreviewed=True)
    assert [cue.id for cue in wanted.cues] == [FIRST]
    assert wanted.findings == ()
    assert "nobody has judged it" in wanted.notes[0]


def test_an_audit_without_anything_left_says_so(tmp_path):
    run = make_audit(tmp_path / "run", cue_record(1), findings=1)
    finding = read_verdicts(run).findings[0].id
    say(run, (FIRST, "core", "ann"), (finding, "concept absent", "ann"))
    with pytest.raises(InputError, match="People judged all of it to be no bias"):
        what_to_suppress(run, unreviewed=True)
    empty = make_audit(tmp_path / "empty", findings=0)
    with pytest.raises(InputError, match="claims no cue and no finding"):
        what_to_suppress(empty)
    with pytest.raises(RunFolderError, match="an inspection or an audit"):
        what_to_suppress(tmp_path)


def test_a_verdict_taken_back_does_not_count(audit):
    say(audit, (FIRST, "background", "ann"))
    session = Session.open(audit)
    done = session.log().events[0].id
    undo = Event(query=session.query_hash, reviewer="ann", action="undo", undoes=done)
    session.add([undo.model_dump(mode="json")])
    with pytest.raises(InputError):
        what_to_suppress(audit)


def test_rejected_claims_are_known_in_the_next_audit_and_said_why(audit, tmp_path):
    hidden, complex_, third = (f.id for f in read_verdicts(audit).findings)
    say(
        audit,
        (FIRST, "core", "ann"), (FIRST, "core", "bob"), (SECOND, "background", "ann"),
        (hidden, "concept absent", "ann"), (complex_, "not sure", "ann"),
        (third, "background", "ann"),
    )  # fmt: skip
    findings = read_verdicts(audit).findings[:2]
    moved = cue_record(9, box=(0.76, 0.75, 0.25, 0.25))  # overlaps all three
    elsewhere = cue_record(8, box=(0.0, 0.0, 0.25, 0.25))
    wider = cue_record(7, classes=("three", "eight"))
    found = judged_before(
        audit, findings=findings, cues=(cue_record(2), moved, elsewhere, wider), class_names=()
    )
    assert set(found.rejected) == {hidden, moved.id}
    assert found.rejected[moved.id].earlier == FIRST
    assert found.sentences()[moved.id] == (
        "judged before: not a bias (core), by 2 of 2 reviewers of first (in the place of "
        "'patch 1, lower right')"
    )
    assert "concept absent" in found.sentences()[hidden]
    assert set(found.confirmed) == {SECOND}
    assert list(found.gone.values()) == ["shortcut"]
    # A verdict given on the new audit itself counts more.
    own = judged_before(audit, findings=(), cues=(moved,), judged={moved.id: "background"})
    assert own.rejected == {}


def test_verdicts_are_handed_on_from_audit_to_audit(audit, tmp_path):
    say(audit, (FIRST, "core", "ann"))
    second = make_audit(tmp_path / "second", cue_record(1), findings=1)
    found = judged_before(audit, findings=(), cues=(cue_record(1),))
    summary = AuditSummary(
        title="t", answer=("a", "b", "c"), verdict="cannot tell", classifier="c", image_set="i",
        judged_before=found.sentences(),
    )  # fmt: skip
    summary.write(second / AUDIT_FILE)
    assert read_verdicts(second).rejected(FIRST)
    with pytest.raises(InputError):
        what_to_suppress(second, unreviewed=True)
    third = judged_before(second, findings=(), cues=(cue_record(5),))
    assert third.rejected[f"{5:016x}"].why == found.sentences()[FIRST]
    say(second, (FIRST, "background", "bob"))  # judged anew: counts
    assert [cue.id for cue in what_to_suppress(second).cues] == [FIRST]


def test_audits_of_other_classes_hand_nothing_on(audit):
    say(audit, (FIRST, "core", "ann"))
    found = judged_before(audit, findings=(), cues=(cue_record(1),), class_names=("cat", "dog"))
    assert not found.rejected
    assert "its classes differ" in found.notes[0]


def test_cues_are_the_same_only_in_one_place_and_for_no_further_class():
    whole = {"kind": "whole", "box": None}
    tint = cue_record(1, component={"family": "colour", "parameters": {}}, **whole)
    assert same_cue(tint, cue_record(2, component=tint.component, **whole))
    other = {"family": "detail", "parameters": {}}
    assert not same_cue(tint, cue_record(2, component=other, **whole))
    assert not same_cue(tint, cue_record(2))
    assert same_cue(tint, cue_record(1))
    ten = tuple("0123456789")
    assert same_cue(cue_record(1, classes=ten), cue_record(2, classes=ten[:1]))
    assert not same_cue(cue_record(1, classes=ten[:1]), cue_record(2, classes=ten))


def test_the_command_can_be_typed():
    assert debias_command("my images", "m", "run") == (
        "sundog debias 'my images' --model m --from-audit run"
    )
    assert debias_command("d", "m", "r", options=["--size", "64"], unreviewed=True).endswith(
        "--size 64 --from-audit r --unreviewed"
    )


def test_cues_that_were_never_put_before_a_person_are_told(audit):
    raw = json.loads((audit / "cues" / "cues.json").read_text(encoding="utf-8"))
    raw["claimed"].append({**raw["claimed"][0], "id": "f" * 16})
    (audit / "cues" / "cues.json").write_text(json.dumps(raw), encoding="utf-8")
    assert "1 of 4 cues were never put before a person" in read_verdicts(audit).notes[0]
