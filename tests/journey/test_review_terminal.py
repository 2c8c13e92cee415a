"""``sundog feedback`` and ``sundog review`` as a person types them; input may be piped."""

import json
import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import typer
from typer.testing import CliRunner

from sundog.cli.feedback import feedback
from sundog.cli.review import review
from sundog.core.errors import InputError
from sundog.core.inspection.events import read_events
from sundog.review.session import Session

make_run = runpy.run_path(str(Path(__file__).parents[1] / "review_run.py"))["make_run"]
app = typer.Typer()
app.command("feedback")(feedback)
app.command("review")(review)


@pytest.fixture
def run(tmp_path):
    make_run(tmp_path / "run", findings=4, per_strip=8)
    return tmp_path / "run"


def _type(run, *lines, options=()):
    done = CliRunner().invoke(
        app, ["feedback", str(run), *options], input="".join(f"{line}\n" for line in lines)
    )
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0
    return done.output


def test_a_review_in_the_terminal(run):
    out = _type(run, "Ada", "3", "4", "the sea", "9", "2", "", "", "s", "1", "5", "")
    events = read_events(run).events
    assert [(e.verdict, e.confidence, e.note) for e in events] == [
        ("background", 4, "the sea"),
        ("separate object", None, ""),
        ("core", 5, ""),
    ]
    assert "Not understood: '9'" in out
    assert "46 points lower" in out
    assert "3 verdicts by 1 reviewer saved" in out
    assert "images/f0-present-0.jpg" in out
    assert "<script>window.hacked" in out
    again = _type(run, "s", options=("--reviewer", "Ada"))
    assert "[1 of 1]" in again


def test_wrong_tags_undo_back_and_quit(run):
    out = _type(run, "Ada", "t", "99", "1 3", "y", "3", "", "", "b", "u", "q")
    events = read_events(run).events
    assert [e.action for e in events] == ["tag wrong"] * 2 + ["tags checked", "verdict", "undo"]
    finding = Session.open(run).query.findings[0]
    present = [e.image for e in finding.evidence if e.strip == "present"]
    assert {events[0].image, events[1].image} == {present[0], present[2]}
    assert "Numbers from 1 to 16, please." in out
    assert "Of 8 checked images with the tag, 2 are wrong." in out
    assert "With the tagger's errors taken out, the gap is −62 points" in out  # -46.25 / (3/4)
    assert "Undone: verdict background." in out
    assert Session.open(run).feedback().answers[0].verdict is None


def test_blind_in_the_terminal(run):
    out = _type(run, "3", "", "", options=("--reviewer", "Ada", "--blind"))
    before, after = out.split("Verdict [", 1)
    for telling in ("points", "Adjusted p", "WRONG", " right", "lower"):
        assert telling not in before
    assert "Does “water” belong to “tench”" in before
    assert "46 points lower" in after
    assert read_events(run).events[0].blind


def test_no_name_no_review(run):
    result = CliRunner().invoke(app, ["feedback", str(run)], input="\n")
    assert "name" in str(result.exception)
    assert read_events(run).events == ()


def test_export_edit_import_and_status(run, tmp_path):
    file = tmp_path / "feedback.json"
    out = _type(run, options=("--export", str(file), "--reviewer", "Ada"))
    assert "4 answers written" in out
    with pytest.raises(InputError, match="one that exists"):
        _type(run, options=("--export", str(file)))
    raw = json.loads(file.read_text())
    raw["answers"][0]["verdict"] = "background"
    raw["answers"][1]["verdict"] = "core"
    file.write_text(json.dumps(raw))
    assert "2 changes read" in _type(run, options=("--import", str(file)))
    assert "0 changes read" in _type(run, options=("--import", str(file)))
    _type(run, "3", "", "", "2", "", "", options=("--reviewer", "Bob"))
    out = _type(run, options=("--status",))
    assert "2 of 4 findings judged." in out
    assert "Fleiss' kappa -0.33" in out  # background/background, core/object: P = 1/2, p = 3/4, 1/4
    assert "1 shortcut, 1 split" in out
    with pytest.raises(InputError, match="one of"):
        _type(run, options=("--status", "--import", str(file)))


def test_names_cannot_steer_the_terminal(run):
    raw = json.loads((run / "query.json").read_text())
    raw["findings"][0]["concepts"] = ["\u001b[2J\u001b]0;owned\u0007evil\r\nname"]
    raw["findings"][0]["class_name"] = "\u202eclass"
    (run / "query.json").write_text(json.dumps(raw))
    out = _type(run, "q", options=("--reviewer", "Ada"))
    assert "\u001b" not in out
    assert "\u0007" not in out
    assert "\u202e" not in out
    assert "evil" in out


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_server_prints_its_link_serves_and_stops_with_a_summary(run):
    code = (
        "import typer, sundog.cli.review as r; app = typer.Typer(); app.command()(r.review); app()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(run), "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )
    try:
        lines = [process.stdout.readline() for _ in range(4)]
        link = re.search(r"Open: (http://127\.0\.0\.1:\d+)/#token=([\w-]{43})", "".join(lines))
        base, token = link.groups()
        assert "4 findings, 0 judged." in lines[1]
        with httpx.Client(base_url=base, timeout=20, headers={"origin": base}) as client:
            assert client.get("/api/query").status_code == 401
            assert client.post("/api/session", json={"token": token}).status_code == 204
            query = client.get("/api/query").json()
            event = {
                "id": "0" * 32,
                "query": query["hash"],
                "time": "2026-01-01T00:00:00Z",
                "reviewer": "Ada",
                "action": "verdict",
                "finding": query["query"]["findings"][0]["id"],
                "verdict": "core",
            }
            body = {"reviewer": "Ada", "since": 0, "events": [event]}
            assert client.post("/api/events", json=body).json()["saved"] == ["0" * 32]
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
    assert process.returncode == 0
    assert errors == ""
    assert "1 verdict by 1 reviewer saved in" in out
    assert "sundog results" in out
    assert read_events(run).events[0].verdict == "core"


def test_an_open_address_is_warned_about(run, monkeypatch):
    from sundog.review.serve import ReviewServer

    monkeypatch.setattr(ReviewServer, "run", lambda self: self._socket.close())
    done = CliRunner().invoke(app, ["review", str(run), "--no-browser", "--host", "0.0.0.0"])  # noqa: S104
    assert done.exit_code == 0
    assert "Warning: whoever has the link" in done.output
    quiet = CliRunner().invoke(app, ["review", str(run), "--no-browser"])
    assert "Warning" not in quiet.output
