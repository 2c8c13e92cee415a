"""Read a JSON body: bounded while it arrives, plain values only."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

MAX_BODY_BYTES = 64 * 1024
MAX_SECONDS = 20.0


async def read_json(request: Request, *, fields: frozenset[str]) -> dict[str, Any]:
    """Return the JSON object of a request's body.

    Args:
        request: its body is read until it is too long, and no further.
        fields: exactly what the object must have.

    Raises:
        HTTPException: 413 too large, 408 too slow, 400 not JSON, 422 other fields.
    """
    declared = request.headers.get("content-length", "0")
    if not declared.isascii() or not declared.isdigit() or int(declared) > MAX_BODY_BYTES:
        raise HTTPException(413, f"A body may have at most {MAX_BODY_BYTES:,} bytes.")
    body = bytearray()
    try:
        async with asyncio.timeout(MAX_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise HTTPException(413, f"A body may have at most {MAX_BODY_BYTES:,} bytes.")
    except TimeoutError as error:
        raise HTTPException(408, "The body took too long.") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "The body ended early.") from error
    try:
        value = json.loads(bytes(body).decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "The body must be JSON.") from error
    if not isinstance(value, dict) or set(value) != fields:
        raise HTTPException(422, f"The body must have the fields {', '.join(sorted(fields))}.")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
