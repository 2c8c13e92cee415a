"""The review server: who may read and write, which files are served, what events are taken."""

import asyncio
import json
import os
import runpy
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from sundog.core.errors import InputError
from sundog.core.inspection.events import EVENTS_FILE, Event, read_events
from sundog.core.inspection.feedback import fold_events, read_feedback
from sundog.core.inspection.results import judge
from sundog.review.app import Starlette, make_app
from sundog.review.body import MAX_BODY_BYTES
from sundog.review.guard import Door, Guard, is_loopback
from sundog.review.pictures import Pictures
from sundog.review.serve import PORT_FILE, ReviewServer
from sundog.review.session import Session

make_run = runpy.run_path(str(Path(__file__).parents[1] / "review_run.py"))["make_run"]
PORT = 8765
BASE = f"http://127.0.0.1:{PORT}"
WRITE = {"origin": BASE, "content-type": "application/json"}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("review") / "run"
    make_run(folder, findings=4, per_strip=8)
    return folder


@pytest.fixture
def run(template, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "query.json").write_bytes((template / "query.json").read_bytes())
    (folder / "images").mkdir()
    for file in (template / "images").iterdir():
        os.link(file, folder / "images" / file.name)
    return folder


@pytest.fixture
def session(run):
    return Session.open(run)


@pytest.fixture
def door():
    return Door(host="127.0.0.1", port=PORT)


@pytest.fixture
def stranger(session, door):
    """A client without the cookie."""
    return TestClient(make_app(session, door), base_url=BASE)


@pytest.fixture
def client(stranger, door):
    answer = stranger.post("/api/session", json={"token": door.token}, headers=WRITE)
    assert answer.status_code == 204
    return stranger


def _event(session, **fields):
    base = {
        "id": uuid.uuid4().hex,
        "query": session.query_hash,
        "time": "2026-01-02T03:04:05.678Z",
        "reviewer": "Ada",
    }
    return {**base, **fields}


def _verdict(session, at=0, verdict="background", **fields):
    finding = session.query.findings[at].id
    return _event(session, action="verdict", finding=finding, verdict=verdict, **fields)


def _send(client, *events, reviewer="Ada", since=0):
    body = {"reviewer": reviewer, "since": since, "events": list(events)}
    return client.post("/api/events", content=json.dumps(body), headers=WRITE)


def _image(session, at=0, strip="present"):
    return next(e.image for e in session.query.findings[at].evidence if e.strip == strip)


# --- who may talk to it ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1.evil:{PORT}"],
)
def test_another_host_name_is_refused_everywhere(client, host):
    for path in ("/", "/app.js", "/api/query", "/images/images/f0-present-0.jpg", "/nothing"):
        answer = client.get(path, headers={"host": host})
        assert answer.status_code == 403
        assert "name" in answer.json()["error"]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_names_of_this_machine_are_good(client, name):
    assert client.get("/", headers={"host": f"{name}:{PORT}"}).status_code == 200


def test_bound_to_all_addresses_only_literal_ones_are_good():
    door = Door(host="0.0.0.0", port=80)  # noqa: S104
    assert door.everywhere
    assert door.admits_host("192.168.1.7")
    assert door.admits_host("192.168.1.7:80")
    assert door.admits_host("[fe80::1]")
    assert door.admits_host("localhost:80")
    for name in ("evil.example", "evil.example:80", "192.168.1.7:81", "", ":80", "[", "1.2.3"):
        assert not door.admits_host(name), name
    assert door.url.startswith("http://127.0.0.1:80/#token=")


def test_bound_to_one_address_only_that_one_is_good():
    door = Door(host="192.168.1.7", port=9)
    assert door.admits_host("192.168.1.7:9")
    for name in ("localhost:9", "127.0.0.1:9", "192.168.1.8:9", "evil.example:9"):
        assert not door.admits_host(name), name
    assert Door(host="::1", port=9).url.startswith("http://[::1]:9/#")
    assert Door(host="::1", port=9).admits_host("[::1]:9")


def test_loopback_is_told_from_networks():
    assert all(is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "127.1.2.3"))
    assert not any(is_loopback(h) for h in ("0.0.0.0", "::", "10.0.0.1", "example.org", ""))  # noqa: S104


def test_without_the_cookie_there_is_the_empty_page_and_no_data(stranger):
    assert stranger.get("/").status_code == 200
    for path in ("/api/query", "/api/state", "/api/feedback", "/images/images/f0-present-0.jpg"):
        answer = stranger.get(path)
        assert answer.status_code == 401
        assert "tench" not in answer.text
    assert _send(stranger, {}).status_code == 401


def test_the_token_is_exchanged_for_a_strict_cookie(stranger, door):
    wrong = stranger.post("/api/session", json={"token": "x" * 43}, headers=WRITE)
    assert wrong.status_code == 401
    assert "set-cookie" not in wrong.headers
    for odd in (None, 1, ["x"], "", "\udcff"):
        text = json.dumps({"token": odd})
        assert stranger.post("/api/session", content=text, headers=WRITE).status_code == 401
    right = stranger.post("/api/session", json={"token": door.token}, headers=WRITE)
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert str(PORT) in cookie.split("=")[0]
    assert door.token not in cookie
    assert stranger.get("/api/query").status_code == 200


def test_tokens_are_long_new_each_time_and_not_in_the_repr():
    doors = [Door(host="127.0.0.1", port=1) for _ in range(3)]
    secrets = {s for door in doors for s in (door.token, door.cookie_value)}
    assert len(secrets) == 6
    assert min(map(len, secrets)) >= 43
    assert doors[0].token not in repr(doors[0])


def test_a_cookie_of_another_port_or_value_is_not_enough(stranger, door):
    for cookie in (
        f"{door.cookie_name}={door.token}",
        f"{door.cookie_name}=",
        f"sundog-review-1={door.cookie_value}",
        f"{door.cookie_name}=\udcff",
    ):
        headers = {"cookie": cookie.encode("utf-8", "surrogateescape")}
        assert stranger.get("/api/query", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json"},
        {**WRITE, "origin": "http://evil.example"},
        {**WRITE, "origin": "null"},
        {**WRITE, "origin": f"https://127.0.0.1:{PORT}"},
        {**WRITE, "origin": f"http://localhost:{PORT}"},
        {**WRITE, "sec-fetch-site": "cross-site"},
        {**WRITE, "sec-fetch-site": "same-site"},
        {**WRITE, "sec-fetch-site": "none"},
    ],
)
def test_writes_from_elsewhere_are_refused(client, session, headers):
    body = json.dumps({"reviewer": "Ada", "since": 0, "events": [_verdict(session)]})
    assert client.post("/api/events", content=body, headers=headers).status_code == 403
    assert read_events(session.folder).events == ()


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_and_ports_cannot_read(client, site):
    for path in ("/api/query", "/images/images/f0-present-0.jpg"):
        assert client.get(path, headers={"sec-fetch-site": site}).status_code == 403
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200  # a link in a mail still opens it


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "json"])
def test_only_json_is_taken(client, kind):
    headers = {**WRITE, "content-type": kind}
    assert client.post("/api/events", content="{}", headers=headers).status_code == 415


def test_other_methods_are_refused(client):
    for method in ("PUT", "DELETE", "PATCH"):
        assert client.request(method, "/api/events", headers=WRITE).status_code == 405
    assert client.post("/api/query", content="{}", headers=WRITE).status_code == 405
    assert client.get("/api/events").status_code == 405


def test_every_answer_carries_the_headers(client, stranger):
    for path in ("/", "/app.js", "/style.css", "/api/query", "/nothing", "/images/none.jpg"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        for part in ("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"):
            assert part in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_an_unforeseen_error_carries_the_headers_and_no_details(door):
    async def broken(scope, receive, send):
        raise ValueError("secret path /home/ada")

    async def ask():
        app = Guard(Starlette(routes=[]), door)
        app._app = Starlette(routes=[])
        app._app.router.default = broken
        sent = []

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/x",
            "query_string": b"",
            "headers": [(b"host", f"127.0.0.1:{PORT}".encode())],
        }

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        with pytest.raises(ValueError):
            await app(scope, receive, send)
        return sent

    sent = asyncio.run(ask())
    assert sent[0]["status"] == 500
    assert b"content-security-policy" in dict(sent[0]["headers"])
    assert b"secret" not in sent[1]["body"]


def test_a_log_that_cannot_be_read_any_more_is_told_as_it_is(client, run):
    (run / EVENTS_FILE).unlink(missing_ok=True)
    (run / EVENTS_FILE).mkdir(parents=True)
    answer = client.get("/api/state", params={"reviewer": "ann", "since": "0"})
    assert answer.status_code == 500
    assert "directory" in answer.json()["error"].lower()


def test_websockets_are_not_answered(session, door):
    async def ask():
        async def never(*_):
            raise AssertionError("nothing may be received or sent")

        await make_app(session, door)({"type": "websocket", "path": "/"}, never, never)

    asyncio.run(ask())


# --- bodies ---------------------------------------------------------------------------------------


def _post_raw(session, door, chunks, headers=()):
    """Drive the application with a body that arrives in chunks; return status and chunks taken."""
    taken = []
    sent = []

    async def receive():
        if len(taken) >= len(chunks):
            return {"type": "http.disconnect"}
        taken.append(1)
        last = len(taken) == len(chunks)
        return {"type": "http.request", "body": chunks[len(taken) - 1], "more_body": not last}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/events",
        "query_string": b"",
        "headers": [
            (b"host", f"127.0.0.1:{PORT}".encode()),
            (b"origin", BASE.encode()),
            (b"content-type", b"application/json"),
            (b"cookie", f"{door.cookie_name}={door.cookie_value}".encode()),
            *headers,
        ],
    }
    asyncio.run(make_app(session, door)(scope, receive, send))
    return sent[0]["status"], len(taken)


def test_a_body_that_grows_too_long_is_not_read_to_its_end(session, door):
    status, taken = _post_raw(session, door, [b" " * 16_384] * 1000)
    assert status == 413
    assert taken == MAX_BODY_BYTES // 16_384 + 1


def test_a_declared_length_that_is_too_long_is_not_read_at_all(session, door):
    for length in (str(MAX_BODY_BYTES + 1), "99999999999999999999", "-1", "x"):
        status, taken = _post_raw(session, door, [b"{}"], [(b"content-length", length.encode())])
        assert status == 413
        assert taken == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[" * 60_000, b"\xff\xfe", b'{"reviewer": NaN}', b"nul", b'{"a": Infinity}'],
)
def test_what_is_not_json_is_refused(session, door, body):
    assert _post_raw(session, door, [body])[0] == 400


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"reviewer": None},
        {"reviewer": "x" * 81},
        {"since": -1},
        {"since": "x"},
        {"since": True},
        {"since": 1.5},
        {"events": []},
        {"events": {}},
        {"events": [{}] * 101},
    ],
)
def test_wrong_fields_are_refused(client, session, change):
    body = {"reviewer": "Ada", "since": 0, "events": [_verdict(session)], **change}
    answer = client.post("/api/events", content=json.dumps(body), headers=WRITE)
    assert answer.status_code == 422
    assert read_events(session.folder).events == ()


# --- pictures -------------------------------------------------------------------------------------


def test_pictures_of_the_query_are_served_with_their_type(client, run):
    answer = client.get("/images/images/f0-present-0.jpg")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content == (run / "images" / "f0-present-0.jpg").read_bytes()


def test_no_other_path_is_served(client, run):
    (run / "images" / "private.jpg").write_bytes(b"x")
    (run.parent / "outside.jpg").write_bytes(b"x")
    for path in (
        "images/private.jpg",
        "query.json",
        "../outside.jpg",
        "%2e%2e/outside.jpg",
        "..%2foutside.jpg",
        "images/../../outside.jpg",
        "images/%2e%2e/images/f0-present-0.jpg",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "images/f0-present-0.jpg%00.png",
        "images//f0-present-0.jpg",
        "images/F0-present-0.jpg",
        "feedback/events.jsonl",
    ):
        assert client.get(f"/images/{path}").status_code == 404, path


def test_links_fifos_and_missing_pictures_are_not_followed(client, run, tmp_path):
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"secret")
    file = run / "images" / "f0-present-0.jpg"
    file.unlink()
    assert client.get("/images/images/f0-present-0.jpg").status_code == 404
    file.symlink_to(secret)
    assert client.get("/images/images/f0-present-0.jpg").status_code == 404
    file.unlink()
    os.mkfifo(file)
    assert client.get("/images/images/f0-present-0.jpg").status_code == 404
    real = run / "elsewhere"
    (run / "images").rename(real)
    (run / "images").symlink_to(real)
    assert client.get("/images/images/f0-present-1.jpg").status_code == 404


def test_svg_and_documents_are_never_pictures(session, run):
    card = next(iter(session.query.images.values()))
    for name in ("images/a.svg", "images/a.html", "images/a.json"):
        (run / name).write_bytes(b"<svg onload=alert(1)>")
        images = {**session.query.images, "odd": card.model_copy(update={"thumbnail": name})}
        query = session.query.model_copy(update={"images": images})
        assert Pictures(run, query).read(name) is None


# --- events and state -----------------------------------------------------------------------------


def test_a_verdict_is_on_disk_before_the_answer_and_comes_back(client, session):
    event = _verdict(session, confidence=4, note="sea <b>", seconds=12.5, blind=True)
    answer = _send(client, event).json()
    assert answer["saved"] == [event["id"]]
    assert answer["refused"] == {}
    (line,) = (session.folder / EVENTS_FILE).read_text().splitlines()
    assert Event.model_validate_json(line) == Event.model_validate(event)
    state = client.get("/api/state", params={"reviewer": "Ada"}).json()
    assert state["revision"] == 1
    assert state["mine"][0]["note"] == "sea <b>"
    assert state["findings"][event["finding"]]["decision"] == "shortcut"
    said = client.get("/api/feedback")
    assert "attachment" in said.headers["content-disposition"]
    assert said.json()["answers"][0]["verdict"] == "background"


def test_sending_again_adds_nothing_and_another_event_of_that_id_is_refused(client, session):
    event = _verdict(session)
    for _ in range(3):
        assert _send(client, event, event).json()["saved"] == [event["id"]] * 2
    assert len(read_events(session.folder).events) == 1
    other = {**event, "verdict": "core"}
    assert "this id" in _send(client, other).json()["refused"][event["id"]]
    assert read_events(session.folder).events[0].verdict == "background"


def test_bad_events_are_named_and_good_ones_beside_them_are_kept(client, session):
    finding = session.query.findings[0]
    top = _image(session, strip="top")
    good = _verdict(session)
    bad = {
        "another inspection": _verdict(session) | {"query": "0" * 32},
        "no such finding": _verdict(session) | {"finding": "feedfeed"},
        "random samples": _event(session, action="tag wrong", finding=finding.id, image=top),
        "no such concept": _event(session, action="rename", concept="nope", name="x"),
        "only be merged": _event(session, action="merge", concept="water", name="nope"),
        "can be seen": _event(session, action="rename", concept="water", name="  "),
        "undo": _event(session, action="undo", undoes="nothing1"),
        "spaces": _verdict(session) | {"reviewer": " Ada"},
        "ISO 8601": _verdict(session) | {"time": "yesterday"},
        "Extra inputs": _verdict(session) | {"admin": True},
        "needs": _event(session, action="verdict", finding=finding.id),
        "less than or equal to 5": _verdict(session, confidence=9),
        "Input should be": _verdict(session, verdict="great"),
        "at most 4000": _verdict(session, note="x" * 4001),
    }
    answer = _send(client, *bad.values(), good).json()
    assert answer["saved"] == [good["id"]]
    for reason, event in bad.items():
        assert reason in answer["refused"][event["id"]], reason
    assert [event.id for event in read_events(session.folder).events] == [good["id"]]
    assert "event 1" in _send(client, 7).json()["refused"]


def test_undo_is_for_ones_own_acts_and_can_be_undone(client, session):
    event = _verdict(session)
    _send(client, event)
    foreign = _event(session, action="undo", undoes=event["id"]) | {"reviewer": "Bob"}
    assert foreign["id"] in _send(client, foreign, reviewer="Bob").json()["refused"]
    undo = _event(session, action="undo", undoes=event["id"])
    state = _send(client, undo).json()["state"]
    assert state["findings"][event["finding"]]["decision"] == "unreviewed"
    redo = _event(session, action="undo", undoes=undo["id"])
    state = _send(client, redo, since=2).json()["state"]
    assert state["findings"][event["finding"]]["decision"] == "shortcut"
    assert [e["id"] for e in state["mine"]] == [redo["id"]]


def test_the_state_is_what_the_records_say(client, session):
    """The page's numbers equal judge() over the folded log: one truth."""
    sample = [e.image for e in session.query.findings[0].evidence if e.strip == "present"]
    key = session.query.findings[0].id
    _send(
        client, _verdict(session), _event(session, action="tag wrong", finding=key, image=sample[0])
    )
    _send(
        client,
        _verdict(session, verdict="core") | {"reviewer": "Bob"},
        _event(session, action="tags checked", finding=key) | {"reviewer": "Bob"},
        _event(session, action="rename", concept="water", name="sea <i>"),
        reviewer="Bob",
    )
    state = client.get("/api/state", params={"reviewer": "Ada", "since": "1"}).json()
    feedback = fold_events(session.query, read_events(session.folder).events)
    wanted = judge(session.query, feedback)[0]
    assert wanted.decision == "split" == state["findings"][key]["decision"]
    assert state["findings"][key]["tags"] == wanted.tags.model_dump(mode="json")
    assert wanted.tags.checked_present == 8
    assert wanted.tags.wrong_present == 0  # one of two says so: no majority
    assert state["findings"][key]["others"] == [
        {"reviewer": "Bob", "verdict": "core", "confidence": None, "note": ""}
    ]
    assert state["names"] == {"water": "sea <i>"}
    assert ["name", "sea <i>"] in state["words"][key]["claim"]
    assert state["agreement"]["reviewers"] == 2
    whole = client.get("/api/state", params={"reviewer": "Ada"}).json()
    assert whole["fresh"]
    assert whole["findings"][key]["tags_later"]
    later = client.get("/api/estimate", params={"finding": key}).json()
    assert later["tags"] == state["findings"][key]["tags"]
    assert client.get("/api/estimate", params={"finding": "x"}).status_code == 404


def test_toggling_an_image_changes_the_corrected_gap(client, session):
    finding = session.query.findings[0]
    event = _event(session, action="tag wrong", finding=finding.id, image=_image(session))
    first = _send(client, _event(session, action="tags checked", finding=finding.id), since=0)
    second = _send(client, event, since=1).json()["state"]["findings"][finding.id]
    assert first.status_code == 200
    assert second["tags"]["wrong_present"] == 1
    # 1 of 8 tags wrong, 0 of 8 missed: gap / (7/8 + 1 - 1)
    assert second["tags"]["corrected"]["gap"] == pytest.approx(finding.effect.gap * 8 / 7)
    assert any("−53" in text for _, text in second["tag_words"])
    assert not any("−53" in text for _, text in second["blind_tag_words"])
    undone = _event(session, action="tag right", finding=finding.id, image=_image(session))
    third = _send(client, undone, since=2).json()["state"]["findings"][finding.id]
    assert third["tags"]["corrected"]["gap"] == pytest.approx(finding.effect.gap)


def test_nothing_new_is_a_short_answer_and_a_cut_log_starts_anew(client, session):
    _send(client, _verdict(session), _verdict(session, 1))
    state = client.get("/api/state", params={"reviewer": "Ada", "since": "2"}).json()
    assert state == {"revision": 2, "unchanged": True}
    (session.folder / EVENTS_FILE).write_text("")
    state = client.get("/api/state", params={"reviewer": "Ada", "since": "2"}).json()
    assert state["fresh"]
    assert state["mine"] == []


def test_two_sessions_on_one_folder_see_each_other(client, session, run):
    _send(client, _verdict(session))
    other = Session.open(run)
    other.add([_verdict(other, 1) | {"reviewer": "Bob"}])
    state = client.get("/api/state", params={"reviewer": "Ada", "since": "1"}).json()
    assert state["revision"] == 2
    assert state["reviewers"] == ["Ada", "Bob"]


def test_the_downloaded_feedback_is_a_valid_file(client, session, tmp_path):
    _send(client, _verdict(session))
    file = tmp_path / "feedback.json"
    file.write_bytes(client.get("/api/feedback").content)
    assert read_feedback(file, session.query) == session.feedback()


# --- serving --------------------------------------------------------------------------------------


def test_the_port_is_free_remembered_and_replaced_if_taken(session, run):
    first = ReviewServer(session)
    second = ReviewServer(session)
    try:
        port = first.door.port
        assert second.door.port not in (0, port)
        with pytest.raises(InputError, match="in use"):
            ReviewServer(session, port=port)
    finally:
        first._socket.close()
        second._socket.close()
    assert int((run / PORT_FILE).read_text()) == second.door.port
    third = ReviewServer(session)
    third._socket.close()
    assert third.door.port == second.door.port
    (run / PORT_FILE).write_text("22\n; rm -rf")
    fourth = ReviewServer(session)
    fourth._socket.close()
    assert fourth.door.port > 1023


def test_an_address_of_another_machine_is_a_clear_error(session):
    with pytest.raises(InputError, match="of this machine"):
        ReviewServer(session, host="203.0.113.7")


def test_review_loads_no_torch():
    code = (
        "import sys, importlib, pkgutil, sundog.review as r\n"
        "for m in pkgutil.walk_packages(r.__path__, 'sundog.review.'):\n"
        "    importlib.import_module(m.name)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_page_asks_nobody_else_and_has_no_inline_code():
    page = Path(sys.modules["sundog.review.app"].__file__).parent / "page"
    for file in page.iterdir():
        text = file.read_text(encoding="utf-8")
        bare = text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in bare, file
        assert "https://" not in bare, file
        if file.suffix == ".js":
            for bad in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
                assert bad not in text, (file, bad)
        if file.suffix == ".html":
            assert "style=" not in text
            assert "onclick" not in text
            assert text.count("<script") == 1
