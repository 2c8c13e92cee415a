"""Serve a review until Ctrl-C: bound first, so that the printed link is true."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
from pathlib import Path
from socket import AF_INET, AF_INET6, create_server, socket

import uvicorn

from sundog.core.errors import InputError
from sundog.core.files import write_text
from sundog.review.app import make_app
from sundog.review.guard import Door
from sundog.review.session import Session

PORT_FILE = "feedback/.port"
"""The last port, taken again if it is free, so that a page left open finds the server again and its
unsent verdicts, which a browser keeps by port."""


class ReviewServer:
    """A bound server.

    Attributes:
        door: address, port and token; ``door.url`` is the link to open.
    """

    def __init__(self, session: Session, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Bind.

        Args:
            session: the inspection under review.
            host: address to listen on; only this machine can reach 127.0.0.1.
            port: 0 takes the port of the last review of this run if it is free, else any.

        Raises:
            InputError: the address or port cannot be had.
        """
        self._socket = _bind(session.folder, host, port)
        self.door = Door(host=host, port=self._socket.getsockname()[1])
        self._server = uvicorn.Server(
            uvicorn.Config(
                make_app(session, self.door),
                lifespan="off",
                ws="none",
                log_level=logging.WARNING,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=2,
            )
        )

    def run(self) -> None:
        """Serve until Ctrl-C or :meth:`stop`."""
        try:
            with contextlib.suppress(KeyboardInterrupt):
                self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()

    def stop(self) -> None:
        """Let :meth:`run` return soon; may be called from another thread."""
        self._server.should_exit = True

    @property
    def started(self) -> bool:
        """Whether requests are answered."""
        return self._server.started


def _bind(folder: Path, host: str, port: int) -> socket:
    if port:
        return _listen(host, port)
    last = _last_port(folder)
    if last:
        with contextlib.suppress(InputError):
            return _listen(host, last)
    bound = _listen(host, 0)
    with contextlib.suppress(OSError):  # a comfort only; the log itself says if it cannot write
        write_text(folder / PORT_FILE, f"{bound.getsockname()[1]}\n")
    return bound


def _listen(host: str, port: int) -> socket:
    try:
        return create_server((host, port), family=AF_INET6 if ":" in host else AF_INET, backlog=128)
    except (OSError, OverflowError) as error:
        code = getattr(error, "errno", None)
        reason = "one in use" if code == errno.EADDRINUSE else str(error)
        raise InputError(
            f"Address {host} port {port}",
            expected="free and of this machine",
            got=reason,
            hint="Leave --port out to take any free port.",
        ) from error


def _last_port(folder: Path) -> int:
    try:
        text = (folder / PORT_FILE).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return 0
    number = int(text) if re.fullmatch(r"[0-9]{4,5}", text) else 0
    return number if 1024 <= number <= 65535 else 0


def can_show_browser() -> bool:
    """Say whether a browser window can be expected: not over SSH or without a display."""
    if os.name == "nt" or os.uname().sysname == "Darwin":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
