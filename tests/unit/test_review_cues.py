"""Cues beside concepts: old files keep their hash, cues come first, verdicts on them are kept."""

import json
import runpy
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from sundog.audit.cues_for_review import merge_cues_into_query
from sundog.audit.kept_cues import with_kept_cues
from sundog.audit.results_run import write_results
from sundog.core.audit.cue_findings import with_cues, without_cues
from sundog.core.errors import RunFolderError
from sundog.core.inspection.events import Event
from sundog.core.inspection.finding import Effect, Finding
from sundog.core.inspection.query import ImageCard, Query
from sundog.core.inspection.wording import claim as plain_claim
from sundog.review.app import make_app
from sundog.review.facts import facts
from sundog.review.guard import Door
from sundog.review.page_data import query_data
from sundog.review.sentences import claim, meaning, question
from sundog.review.session import Session
from sundog.review.wording import plain_text

HERE = Path(__file__).parents[1]
CUES = runpy.run_path(str(HERE / "cue_records.py"))
RUN = runpy.run_path(str(HERE / "review_run.py"))
cue_record, write_cues = CUES["cue_record"], CUES["write_cues"]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cues")
    RUN["make_run"](folder / "audit" / "inspect", findings=1, per_strip=1)
    write_cues(
        folder / "audit" / "cues",
        cue_record(1, examples=1, name=RUN["SCRIPT"]),
        cue_record(2, classes=("tench", "church", "gas pump", "parachute"), name="water"),
    )
    return folder / "audit"


@pytest.fixture
def audit(template, tmp_path):
    return Path(shutil.copytree(template, tmp_path / "audit"))


def test_a_query_from_before_there_were_cues_keeps_its_hash():
    """Verdicts hold the hash: this one was computed by the version without cues."""
    effect = Effect(
        metric="accuracy", present=0.5, absent=0.75, n_present=4, n_absent=8, gap=-0.25, low=-0.5,
        high=0.0,
    )  # fmt: skip
    finding = Finding(
        id="0123456789abcdef", kind="hidden", class_name="tench", concepts=("water",),
        direction="hurts", effect=effect,
    )  # fmt: skip
    card = ImageCard(
        source="a.jpg", class_name="tench", predicted="tench", correct=True, confidence=0.5,
        thumbnail="images/a.jpg",
    )  # fmt: skip
    query = Query(
        title="t", classifier="c", image_set="i", metric="accuracy", findings=(finding,),
        images={"a": card},
    )  # fmt: skip
    assert query.content_hash() == "65e0f292fde348e99ee3cffe43bc2f8e"
    assert "cue" not in query.to_json()["findings"][0]
    assert Query.parse(json.loads(json.dumps(query.to_json())), subject="x") == query


def test_cues_come_first_and_bring_their_pictures(audit):
    before = Query.read(audit / "inspect" / "query.json")
    merged = merge_cues_into_query(audit / "inspect", audit / "cues")
    assert [f.kind for f in merged.findings[:3]] == ["cue", "cue", "hidden"]
    assert [f.id for f in merged.findings[:2]] == [f"{1:016x}", f"{2:016x}"]
    assert merged.findings[0].class_name == "three"
    assert merged.findings[1].class_name == ""
    assert merged.findings[1].concepts[0].startswith("water (tench, church")  # 'water' is taken
    for name in merged.cue_pictures():
        assert (audit / "inspect" / name).is_file()
    assert len(merged.cue_pictures()) == 4
    assert without_cues(merged) == before
    assert merge_cues_into_query(audit / "inspect", audit / "cues") == merged


def test_an_inspection_written_again_keeps_the_cues_and_their_verdicts(audit):
    plain = Query.read(audit / "inspect" / "query.json")
    merged = merge_cues_into_query(audit / "inspect", audit / "cues")
    assert with_kept_cues(audit / "inspect", plain) == merged
    other = plain.model_copy(update={"title": "another search"})
    assert with_kept_cues(audit / "inspect", other) == other
    (audit / "inspect" / "query.json").write_text("{", encoding="utf-8")
    assert with_kept_cues(audit / "inspect", plain) == plain


def test_other_cues_do_not_take_the_place_of_judged_ones(audit):
    merge_cues_into_query(audit / "inspect", audit / "cues")
    session = Session.open(audit)
    give(session, f"{1:016x}", "background")
    write_cues(audit / "cues", cue_record(3))
    with pytest.raises(RunFolderError, match="without verdicts on other findings"):
        merge_cues_into_query(audit / "inspect", audit / "cues")
    assert Session.open(audit).feedback().answers[0].verdict == "background"


def give(session, finding, verdict, reviewer="ann"):
    event = Event(
        query=session.query_hash,
        reviewer=reviewer,
        action="verdict",
        finding=finding,
        verdict=verdict,
    )
    done = session.add([event.model_dump(mode="json")])
    assert not done.refused, done.refused


def test_an_audit_opens_at_its_findings_and_the_page_gets_the_cues(audit):
    merge_cues_into_query(audit / "inspect", audit / "cues")
    session = Session.open(audit)
    assert session.folder == audit / "inspect"
    words = query_data(session)["words"][f"{1:016x}"]
    assert "68 %" in plain_text(words["claim"]).replace("\u00a0", " ")
    door = Door(host="127.0.0.1", port=1)
    client = TestClient(make_app(session, door), base_url="http://127.0.0.1:1")
    client.post(
        "/api/session",
        json={"token": door.token},
        headers={"origin": "http://127.0.0.1:1"},
    )
    name = session.findings[f"{1:016x}"].cue.transplants[0].moved
    assert client.get(f"/images/{name}").status_code == 200
    assert client.get("/images/images/none.png").status_code == 404


def test_a_search_for_cues_alone_can_be_judged(audit):
    opened = Session.open(audit / "cues")
    assert len(opened.findings) == 2
    give(opened, f"{2:016x}", "core")
    again = Session.open(audit / "cues")
    assert again.query_hash == opened.query_hash
    assert again.feedback().answers[0].verdict == "core"
    done = write_results(audit / "cues", archive=audit / "cues.sundog")
    assert [j.decision for j in done.results.findings] == ["unreviewed", "core"]
    assert len(write_results(audit / "cues", keep_core=False).results.findings) == 1
    assert len(write_results(audit / "cues", acc_thresh=0.7).results.findings) == 0


def test_the_sentences_say_what_was_measured():
    record = cue_record(1)
    finding = without_and_with(record)
    said = plain_text(claim(finding)).replace("\u00a0", " ")
    assert said == (
        "Moved from images of “three” into 200 images of other classes, it turns 68 % [63 %, 73 %] "
        "of the predictions into “three”; moved from an image of their own class, 2 % [1 %, 3 %]. "
        "With another class's in place of their own, images are right 41 % of the time instead of "
        "93 %: 52 points lower [47, 57]."
    )
    asked = plain_text(question(finding))
    assert "%" not in asked
    assert "“three”" in asked
    assert "5 %" in plain_text(meaning(finding, 0.05)).replace("\u00a0", " ")
    rows = {fact.label: fact.value for fact in facts(finding, alpha=0.05)}
    assert rows["Accuracy that hangs on it"].replace("\u00a0", " ") == (
        "+52 points [47, 57], n = 200"
    )
    assert "68%" in plain_claim(finding)


def without_and_with(record):
    empty = Query(title="t", classifier="c", image_set="i", metric="accuracy")
    cues = CUES["Cues"](smallest=0.1, alpha=0.05, images=9, tests=40, claimed=(record,))
    return with_cues(empty, cues).findings[0]


@pytest.mark.parametrize("path", ["../secret.png", "/etc/x.png", "C:x.png"])
def test_a_cue_cannot_bring_a_file_from_elsewhere(audit, path):
    write_cues(audit / "cues", cue_record(1))
    raw = json.loads((audit / "cues" / "cues.json").read_text(encoding="utf-8"))
    raw["claimed"][0]["pictures"] = [path, path, path]
    (audit / "cues" / "cues.json").write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(RunFolderError, match="leaves the run folder"):
        merge_cues_into_query(audit / "inspect", audit / "cues")
    with pytest.raises(RunFolderError, match="leaves the run folder"):
        Session.open(audit / "cues")


def test_a_finding_of_kind_cue_says_what_the_cue_is():
    finding = without_and_with(cue_record(1))
    with pytest.raises(ValueError, match="says what the cue is"):
        Finding(**{**finding.model_dump(), "cue": None})
