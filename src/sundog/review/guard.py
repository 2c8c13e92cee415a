"""Who may talk to the review server: the right Host, the right Origin, and the cookie of the link.

A page of another site can make a browser send requests to a server on loopback (DNS rebinding,
cross-site posts), and every local user can connect to it. So each request must name this server as
its ``Host``, data is only given to a browser that showed the token of the printed link, and writes
must come from the page itself.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
SESSION_PATH = "/api/session"
PRIVATE = ("/api/", "/images/")
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach a server bound to ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Door:
    """Where the server listens, and what opens it.

    Attributes:
        host: address it is bound to.
        port: port it is bound to.
        token: in the fragment of the printed link; never sent to a log or another site.
        cookie_value: what the browser gets for it; another secret, so that the cookie says nothing
            about the link.
    """

    host: str
    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    cookie_value: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def cookie_name(self) -> str:
        """Cookies are shared by all ports of a host, so the port is in the name."""
        return f"sundog-review-{self.port}"

    @property
    def everywhere(self) -> bool:
        """Whether it is bound to every address of the machine."""
        return self.host in ("0.0.0.0", "::", "")  # noqa: S104

    @property
    def url(self) -> str:
        """The link that opens the page."""
        host = "127.0.0.1" if self.everywhere else self.host
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.port}/#token={self.token}"

    def admits_host(self, header: str) -> bool:
        """Say whether a Host header names this server.

        Bound to every address, any literal address is good: rebinding needs a name.
        """
        text = header.lower()
        name, colon, port = text.rpartition(":")
        if not colon or port.endswith("]"):
            name, port = text, "80"
        if port != str(self.port):
            return False
        bare = name.removeprefix("[").removesuffix("]")
        if self.everywhere:
            try:
                ipaddress.ip_address(bare)
            except ValueError:
                return name == "localhost"
            return True
        return bare == self.host.lower() or (is_loopback(self.host) and name in LOOPBACK)

    def opens(self, token: str) -> bool:
        """Compare a token in constant time."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())

    def knows(self, cookies: str) -> bool:
        """Say whether a Cookie header holds the right cookie."""
        found = cookie_parser(cookies).get(self.cookie_name, "")
        return hmac.compare_digest(found.encode("utf-8", "replace"), self.cookie_value.encode())


class Guard:
    """Middleware around the whole application: refuses, and adds the headers to every answer."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        """Guard ``app``."""
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send_guarded)
        else:
            status, reason = refusal
            answer = JSONResponse({"error": reason}, status_code=status)
            await answer(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._door.admits_host(hosts[0]):
            return 403, "This server does not go by that name."
        path, method = scope["path"], scope["method"]
        private = path.startswith(PRIVATE)
        site = headers.get("sec-fetch-site")
        if private and site not in (None, "same-origin", "none"):
            return 403, "Another site may not read this."
        if method not in ("GET", "HEAD"):
            if headers.get("origin") != f"http://{hosts[0]}" or site not in (None, "same-origin"):
                return 403, "Only the review page itself may write."
            kind = headers.get("content-type", "").split(";")[0].strip().lower()
            if kind != "application/json":
                return 415, "The content type must be application/json."
        known = self._door.knows(headers.get("cookie", ""))
        if private and path != SESSION_PATH and not known:
            return 401, "Open the link that 'sundog review' printed."
        return None
