"""The review server's application: the page, the query, the state, and events to add to it."""

from __future__ import annotations

import asyncio
import json
import re
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sundog.core.errors import SundogError
from sundog.review.body import read_json
from sundog.review.guard import Door, Guard
from sundog.review.page_data import estimate_data, query_data, state_data
from sundog.review.pictures import Pictures
from sundog.review.session import Session

ASSETS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
MAX_EVENTS = 100
"""Events in one request; the page sends longer queues in parts."""
MAX_REVIEWER = 80


def make_app(session: Session, door: Door) -> ASGIApp:
    """Return the application, guarded by ``door``."""
    app = Starlette(
        routes=[*_page_routes(), *_api_routes(session, door)],
        exception_handlers={
            HTTPException: _http_error,
            SundogError: _told_error,
            OSError: _told_error,  # a folder that went away under the page
        },
    )
    return Guard(app, door)


def _page_routes() -> list[Route]:
    folder = files("sundog.review").joinpath("page")
    routes = []
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        suffix = "." + file.name.rpartition(".")[2]
        if suffix not in ASSETS:
            continue
        path = "/" if file.name == "index.html" else f"/{file.name}"
        routes.append(Route(path, _constant(file.read_bytes(), ASSETS[suffix]), methods=["GET"]))
    return routes


def _constant(body: bytes, media_type: str) -> Any:
    async def answer(request: Request) -> Response:
        del request
        return Response(body, media_type=media_type)

    return answer


def _api_routes(session: Session, door: Door) -> list[Route]:
    pictures = Pictures(session.folder, session.query)
    query_bytes: list[bytes] = []
    once = asyncio.Lock()

    async def open_session(request: Request) -> Response:
        body = await read_json(request, fields=frozenset({"token"}))
        if not isinstance(body["token"], str) or not door.opens(body["token"]):
            raise HTTPException(401, "The link is of another session; open the newest one.")
        answer = Response(status_code=204)
        answer.set_cookie(door.cookie_name, door.cookie_value, httponly=True, samesite="strict")
        return answer

    async def query(request: Request) -> Response:
        del request
        async with once:
            if not query_bytes:
                data = await run_in_threadpool(query_data, session)
                query_bytes.append(json.dumps(data, separators=(",", ":")).encode("utf-8"))
        return Response(query_bytes[0], media_type="application/json")

    async def state(request: Request) -> Response:
        reviewer = _reviewer(request.query_params.get("reviewer", ""))
        since = _revision(request.query_params.get("since", "0"))
        if since > 0 and since == len((await run_in_threadpool(session.log)).events):
            return JSONResponse({"revision": since, "unchanged": True})
        return JSONResponse(
            await run_in_threadpool(state_data, session, reviewer=reviewer, since=since)
        )

    async def estimate(request: Request) -> Response:
        key = request.query_params.get("finding", "")
        if key not in session.findings:
            raise HTTPException(404, "No such finding.")
        return JSONResponse(await run_in_threadpool(estimate_data, session, key))

    async def events(request: Request) -> Response:
        body = await read_json(request, fields=frozenset({"reviewer", "since", "events"}))
        reviewer, since = _reviewer(body["reviewer"]), _revision(body["since"])
        sent = body["events"]
        if not isinstance(sent, list) or not 1 <= len(sent) <= MAX_EVENTS:
            raise HTTPException(422, f"events must be a list of 1 to {MAX_EVENTS}.")
        done = await run_in_threadpool(session.add, sent)
        now = await run_in_threadpool(state_data, session, reviewer=reviewer, since=since)
        return JSONResponse({"saved": done.saved, "refused": done.refused, "state": now})

    async def feedback(request: Request) -> Response:
        del request
        said = (await run_in_threadpool(session.feedback)).to_json()
        text = json.dumps(said, indent=2, sort_keys=True, ensure_ascii=False)
        return Response(
            text + "\n",
            media_type="application/json",
            headers={"content-disposition": 'attachment; filename="feedback.json"'},
        )

    async def picture(request: Request) -> Response:
        found = await run_in_threadpool(pictures.read, request.path_params["name"])
        if found is None:
            raise HTTPException(404, "No such picture.")
        return Response(found[0], media_type=found[1])

    return [
        Route("/api/session", open_session, methods=["POST"]),
        Route("/api/query", query, methods=["GET"]),
        Route("/api/state", state, methods=["GET"]),
        Route("/api/estimate", estimate, methods=["GET"]),
        Route("/api/events", events, methods=["POST"]),
        Route("/api/feedback", feedback, methods=["GET"]),
        Route("/images/{name:path}", picture, methods=["GET"]),
    ]


def _reviewer(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_REVIEWER:
        raise HTTPException(422, f"reviewer must be a text of at most {MAX_REVIEWER} characters.")
    return value


def _revision(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}", str(value)):
        raise HTTPException(422, "since must be a whole number from 0.")
    return int(value)


async def _http_error(request: Request, error: Exception) -> Response:
    del request
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail}, status_code=error.status_code)


async def _told_error(request: Request, error: Exception) -> Response:
    del request
    return JSONResponse({"error": str(error)}, status_code=500)
