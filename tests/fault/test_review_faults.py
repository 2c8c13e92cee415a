"""Nothing a reviewer said is lost: torn logs, several writers, foreign files, damaged archives."""

import json
import os
import runpy
import subprocess
import sys
import threading
import uuid
import zipfile
from pathlib import Path

import pytest

from sundog.core.errors import InputError, RunFolderError
from sundog.core.inspection.archive import pack
from sundog.core.inspection.events import EVENTS_FILE, Event, append_event, read_events
from sundog.core.inspection.feedback import Feedback
from sundog.review.edited import exported, import_feedback
from sundog.review.open_run import open_run
from sundog.review.page_data import state_data
from sundog.review.progress import review_progress
from sundog.review.session import Session

make_run = runpy.run_path(str(Path(__file__).parents[1] / "review_run.py"))["make_run"]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("review") / "run"
    make_run(folder, findings=5, per_strip=2)
    return folder


@pytest.fixture
def run(template, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "query.json").write_bytes((template / "query.json").read_bytes())
    (folder / "images").symlink_to(template / "images")
    return folder


def _verdict(session, at=0, reviewer="Ada", verdict="core"):
    return Event(
        query=session.query_hash,
        reviewer=reviewer,
        action="verdict",
        finding=session.query.findings[at].id,
        verdict=verdict,
    )


def test_a_torn_last_line_is_counted_kept_and_closed(run):
    session = Session.open(run)
    append_event(run, _verdict(session, 0))
    log = run / EVENTS_FILE
    torn = _verdict(session, 1).model_dump_json()[:57]
    with log.open("a") as stream:
        stream.write(torn)
    again = Session.open(run)
    assert review_progress(again).judged == 1
    assert review_progress(again).damaged == 1
    done = again.add([_verdict(again, 2).model_dump(mode="json")])
    assert not done.refused
    state = state_data(again, reviewer="Ada", since=0)
    assert (state["revision"], state["damaged"]) == (2, 1)
    assert torn in log.read_text().splitlines()


def test_garbage_lines_do_not_stop_the_review(run):
    session = Session.open(run)
    append_event(run, _verdict(session))
    with (run / EVENTS_FILE).open("ab") as stream:
        stream.write(b"\xff\xfe\x00\n[1,2]\n" + b"[" * 5000 + b'\n{"id": 1}\nnull\n\n')
    append_event(run, _verdict(session, 1))
    log = read_events(run)
    assert len(log.events) == 2
    assert log.damaged == 5


def test_verdicts_of_another_query_are_refused_at_once(run):
    session = Session.open(run)
    foreign = _verdict(session).model_copy(update={"query": "0" * 32})
    append_event(run, foreign)
    with pytest.raises(RunFolderError, match="given on another inspection"):
        Session.open(run)


WRITER = """
import sys
from sundog.core.inspection.events import Event
from sundog.review.session import Session
session = Session.open(sys.argv[1])
for at in range(15):
    event = Event(query=session.query_hash, reviewer=sys.argv[2], action="verdict",
                  finding=session.query.findings[at % 5].id, verdict="core")
    session.add([event.model_dump(mode="json")])
"""


def test_writers_in_threads_and_processes_lose_nothing(run):
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(run), f"p{n}"]) for n in range(2)
    ]
    session = Session.open(run)
    shared = [
        threading.Thread(
            target=lambda name=f"t{n}": [
                session.add([_verdict(session, at % 5, name).model_dump(mode="json")])
                for at in range(15)
            ]
        )
        for n in range(2)
    ]
    for worker in shared:
        worker.start()
    for worker in shared:
        worker.join(timeout=60)
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    log = read_events(run)
    assert log.damaged == 0
    assert len(log.events) == 60
    assert len({event.id for event in log.events}) == 60
    found = review_progress(session)
    assert {name: said.total() for name, said in found.verdicts.items()} == dict.fromkeys(
        ("p0", "p1", "t0", "t1"), 5
    )


def test_the_same_batch_sent_by_two_tabs_at_once_is_there_once(run):
    session = Session.open(run)
    batch = [_verdict(session, at).model_dump(mode="json") for at in range(5)]
    results = []
    tabs = [threading.Thread(target=lambda: results.append(session.add(batch))) for _ in range(4)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    assert len(read_events(run).events) == 5
    assert all(len(done.saved) == 5 and not done.refused for done in results)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_a_clear_error(run):
    session = Session.open(run)
    run.chmod(0o500)
    try:
        with pytest.raises(RunFolderError, match="writable"):
            session.add([_verdict(session).model_dump(mode="json")])
    finally:
        run.chmod(0o700)


def test_a_file_where_the_feedback_folder_should_be_is_a_clear_error(run):
    session = Session.open(run)
    (run / "feedback").write_text("")
    with pytest.raises(RunFolderError, match="writable"):
        session.add([_verdict(session).model_dump(mode="json")])
    with pytest.raises(RunFolderError, match="writable"):
        session.require_writable()


def test_lone_surrogates_and_odd_values_are_refused_not_written(run):
    session = Session.open(run)
    base = _verdict(session).model_dump(mode="json")
    odd = [
        {**base, "id": uuid.uuid4().hex, "note": "\ud800"},
        {**base, "id": uuid.uuid4().hex, "reviewer": "\udfff"},
        {**base, "id": "short"},
        {**base, "id": uuid.uuid4().hex, "seconds": float("inf")},
        {**base, "id": uuid.uuid4().hex, "confidence": True},
    ]
    done = session.add(odd)
    assert len(done.refused) + len(done.saved) == 5
    assert len(done.saved) <= 1  # pydantic reads True as 1
    assert read_events(run).damaged == 0


# --- opening --------------------------------------------------------------------------------------


def test_an_archive_is_unpacked_once_and_its_verdicts_go_on(template, run, tmp_path):
    session = Session.open(run)
    append_event(run, _verdict(session))
    (run / "images").unlink()
    (run / "images").mkdir()
    (run / "images" / "f0-top-0.jpg").write_bytes(b"x")
    archive = pack(run, tmp_path / "audit.sundog")
    folder, query = open_run(archive)
    assert folder == tmp_path / "audit-review"
    assert query.content_hash() == session.query_hash
    opened = Session.open(archive)
    assert review_progress(opened).judged == 1
    opened.add([_verdict(opened, 1).model_dump(mode="json")])
    assert review_progress(Session.open(archive)).judged == 2
    assert review_progress(Session.open(folder)).judged == 2
    before = archive.read_bytes()
    Session.open(archive)
    assert archive.read_bytes() == before


def test_an_archive_of_another_inspection_does_not_take_over_the_folder(run, tmp_path):
    archive = pack(run, tmp_path / "audit.sundog")
    open_run(archive)
    make_run(tmp_path / "other", findings=1, per_strip=1)
    pack(tmp_path / "other", tmp_path / "audit.sundog")
    with pytest.raises(RunFolderError, match="another inspection"):
        open_run(archive)


@pytest.mark.parametrize("kind", ["none", "empty", "half", "text", "zip"])
def test_what_is_not_an_inspection_is_refused(kind, run, tmp_path):
    target = tmp_path / "x.sundog"
    if kind == "empty":
        target = tmp_path / "folder"
        target.mkdir()
    elif kind == "half":
        whole = pack(run, tmp_path / "good.sundog").read_bytes()
        target.write_bytes(whole[: len(whole) // 2])
    elif kind == "text":
        target.write_text("hello")
    elif kind == "zip":
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr("readme.txt", "hello")
    with pytest.raises(RunFolderError):
        open_run(target)
    assert not (tmp_path / "x-review").exists()


@pytest.mark.parametrize("name", ["../evil.json", "/etc/evil.json", "a/../../evil.json", ".lock"])
def test_archives_cannot_write_outside(name, run, tmp_path):
    target = tmp_path / "x.sundog"
    with zipfile.ZipFile(target, "w") as archive:
        archive.write(run / "query.json", "query.json")
        archive.writestr(name, "x")
    with pytest.raises(RunFolderError, match="written by Sundog"):
        open_run(target)
    assert not (tmp_path / "evil.json").exists()
    assert not (tmp_path / "x-review").exists()


def test_a_damaged_query_is_named(run):
    (run / "query.json").write_text((run / "query.json").read_text()[:500])
    with pytest.raises(RunFolderError, match="readable JSON"):
        Session.open(run)


# --- files edited by hand -------------------------------------------------------------------------


def _edit(path, change):
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


def test_an_edited_file_adds_what_it_says_and_no_more(run, tmp_path):
    session = Session.open(run)
    file = exported(session, reviewer="Ada").write(tmp_path / "feedback.json")
    finding = session.query.findings[0]
    present = [e.image for e in finding.evidence if e.strip == "present"]

    def fill(raw):
        raw["answers"][0] |= {
            "verdict": "background",
            "confidence": 4,
            "note": "sea",
            "wrong_images": present[:1],
            "tags_checked": True,
        }
        raw["names"] = {"water": "sea"}

    _edit(file, fill)
    done = import_feedback(session, file, reviewer="Ada")
    assert (done.events, done.kept, done.unused) == (4, 0, 0)
    (answer,) = session.feedback().answers
    assert answer.verdict == "background"
    assert answer.wrong_images == (present[0],)
    assert answer.tags_checked
    assert session.feedback().names == {"water": "sea"}
    assert import_feedback(session, file, reviewer="Ada").events == 0

    def change(raw):
        raw["answers"][0] |= {"verdict": "core", "wrong_images": present[1:]}

    _edit(file, change)
    assert import_feedback(session, file, reviewer="Ada").events == 3
    (answer,) = session.feedback().answers
    assert (answer.verdict, answer.note, answer.wrong_images) == ("core", "sea", (present[1],))
    said = exported(session, reviewer="Ada")
    assert [a.verdict for a in said.answers] == ["core", None, None, None, None]
    assert Feedback.read(file).query == session.query_hash


def test_a_file_cannot_take_back_and_a_note_needs_a_verdict(run, tmp_path):
    session = Session.open(run)
    file = exported(session, reviewer="Ada").write(tmp_path / "feedback.json")
    append_event(run, _verdict(session))
    _edit(file, lambda raw: raw["answers"][1].update(note="hm"))
    done = import_feedback(session, file, reviewer="Ada")
    assert (done.events, done.kept, done.unused) == (0, 1, 1)
    assert session.feedback().answers[0].verdict == "core"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw.update(query="0" * 32), "answer to query"),
        (lambda raw: raw["answers"][0].update(verdict="nice"), "verdict"),
        (lambda raw: raw["answers"][0].update(finding="f" * 16), "findings of the query"),
        (lambda raw: raw["answers"][0].update(wrong_images=["nope"]), "images shown"),
        (lambda raw: raw["answers"].append(raw["answers"][0]), "one answer per reviewer"),
        (lambda raw: raw["answers"][0].update(extra=1), "Extra inputs"),
        (lambda raw: raw.update(version=9), "version"),
        (lambda raw: raw.update(names={"nope": "x"}), "no such concept"),
        (lambda raw: raw.update(merged={"water": "nope"}), "merged into another concept"),
    ],
)
def test_a_wrong_file_is_refused_whole(run, tmp_path, change, said):
    session = Session.open(run)
    file = exported(session, reviewer="Ada").write(tmp_path / "feedback.json")
    _edit(file, lambda raw: raw["answers"][2].update(verdict="core"))
    _edit(file, change)
    with pytest.raises(RunFolderError, match=said):
        import_feedback(session, file, reviewer="Ada")
    assert read_events(run).events == ()


def test_images_of_the_ranking_cannot_be_called_wrong_in_a_file(run, tmp_path):
    session = Session.open(run)
    file = exported(session, reviewer="Ada").write(tmp_path / "feedback.json")
    top = next(e.image for e in session.query.findings[0].evidence if e.strip == "top")
    _edit(file, lambda raw: raw["answers"][0].update(wrong_images=[top]))
    with pytest.raises(RunFolderError, match="random samples"):
        import_feedback(session, file, reviewer="Ada")


def test_a_half_written_file_and_answers_of_nobody(run, tmp_path):
    session = Session.open(run)
    file = exported(session).write(tmp_path / "feedback.json")
    _edit(file, lambda raw: raw["answers"][0].update(verdict="core"))
    with pytest.raises(InputError, match="--reviewer"):
        import_feedback(session, file)
    assert import_feedback(session, file, reviewer="Bob").events == 1
    file.write_text(file.read_text()[:100])
    with pytest.raises(RunFolderError, match="half-written"):
        import_feedback(session, file, reviewer="Bob")
