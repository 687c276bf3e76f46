"""The door: an ASGI layer around everything, which lets in who may come and dresses what goes out.

In order: is this host meant, is it a page of ours that asks, who is it, may they write, is the
body small enough. What is refused never reaches a route. What a route throws ends here too.
"""

import logging
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mechagym.web.access import Attempts, Hosts, Rights, Tokens, same_origin
from mechagym.web.problems import failure_response, problem_response

MAX_BODY_BYTES = 1_000_000
OPEN = ("/healthz", "/static/")
READING = ("GET", "HEAD", "OPTIONS")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    # with `no-referrer` a browser posts our own forms with `Origin: null`, and they are refused
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""On every answer, unless its route says otherwise."""

_log = logging.getLogger(__name__)


class TooLarge(Exception):
    """A body went over the limit while it came in."""


class _Counted:
    """A body without a stated length is counted as it comes; `over` says that it was too much,
    whatever the route makes of the exception.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive, self._seen = receive, 0

    @property
    def over(self) -> bool:
        return self._seen > MAX_BODY_BYTES

    async def __call__(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if self.over:
            raise TooLarge
        return message


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What the door knows. `read_only`: no route writes, whoever asks."""

    app: ASGIApp
    tokens: Tokens
    hosts: Hosts
    attempts: Attempts = field(default_factory=Attempts)
    read_only: bool = False

    @property
    def cookie(self) -> str:
        """Its name has the port, because cookies ignore ports."""
        return f"mechagym_{self.hosts.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        dressed = _dressing(send)
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, dressed)
        else:
            await self._pass(scope, receive, dressed)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the routes answer; a fault that none of them told becomes a problem here."""
        body, begun, whole = _Counted(receive), False, False

        async def noting(message: Message) -> None:
            nonlocal begun, whole
            if not body.over or begun:
                begun = True
                whole = message["type"] == "http.response.body" and not message.get("more_body")
                await send(message)

        try:
            await self.app(scope, body, noting)
        except Exception as error:
            if begun and not whole:
                raise  # half an answer must not look like a whole one
            if not begun and not body.over:
                await failure_response(error, scope["path"])(scope, receive, send)
        if body.over and not begun:
            await self._too_large(scope)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers, path = Headers(scope=scope), scope["path"]
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.hosts.knows(hosts[0]):
            told = "this server does not answer to that name; see --allow-host"
            return problem_response(421, told, path=path)
        if _is_foreign(scope, headers):
            told = "requests from pages of other sites are refused"
            return problem_response(403, told, path=path, code="cross_site")
        if path == OPEN[0] or path.startswith(OPEN[1]):
            return None
        return self._unknown(scope, headers) or self._may_not_write(scope, headers)

    def _unknown(self, scope: Scope, headers: Headers) -> Response | None:
        """Find out who it is; a token in the URL becomes a cookie and leaves the URL."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in query if name == "token"]
        if given and scope["method"] == "GET" and self.tokens.rights(given[0]):
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            return self._admitted(given[0], scope["path"] + (f"?{rest}" if rest else ""))
        rights, tried = self._rights(headers)
        if rights is None:
            return self._stranger(scope, wrong=tried or bool(given))
        scope.setdefault("state", {})["may_write"] = rights == "write" and not self.read_only
        return None

    def _rights(self, headers: Headers) -> tuple[Rights | None, bool]:
        """What the request's token allows, and whether it had one at all."""
        if (bearer := _bearer(headers)) is not None:
            return self.tokens.rights(bearer), True
        cookie = _cookies(headers).get(self.cookie)
        return (self.tokens.rights(cookie), True) if cookie is not None else (None, False)

    def _admitted(self, token: str, where: str) -> Response:
        # one slash: `//host` would be another site
        answer = RedirectResponse("/" + where.lstrip("/\\"), status_code=303)
        answer.set_cookie(self.cookie, token, httponly=True, samesite="strict", path="/")
        return answer

    def _stranger(self, scope: Scope, *, wrong: bool) -> Response:
        client = scope.get("client")
        if wrong and self.attempts.note(client[0] if client else "?"):
            answer = problem_response(429, "too many wrong tokens", path=scope["path"])
            answer.headers["retry-after"] = "60"
            return answer
        told = "open the URL that `mechagym view` printed: its token is as old as that process"
        answer = problem_response(401, told, path=scope["path"])
        answer.headers["www-authenticate"] = "Bearer"
        return answer

    def _may_not_write(self, scope: Scope, headers: Headers) -> Response | None:
        if scope["method"] in READING:
            return None
        path = scope["path"]
        if not scope["state"]["may_write"]:
            return problem_response(403, "this is for reading only", path=path, code="read_only")
        origin = headers.get("origin")
        if _bearer(headers) is None and not same_origin(origin or "", headers["host"]):
            told = "a form must come from a page of this host, or bring a bearer token"
            return problem_response(403, told, path=path, code="foreign_origin")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            return self._too_large(scope)
        return None

    @staticmethod
    def _too_large(scope: Scope) -> Response:
        return problem_response(413, "a body may have 1 MB at most", path=scope["path"])


def _is_foreign(scope: Scope, headers: Headers) -> bool:
    """Another site's page asks; following a link of it to a page of ours is no such asking."""
    if headers.get("sec-fetch-site") != "cross-site":
        return False
    navigates = headers.get("sec-fetch-mode") == "navigate"
    return scope["method"] != "GET" or not navigates


def _bearer(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _cookies(headers: Headers) -> dict[str, str]:
    try:
        return {name: found.value for name, found in SimpleCookie(headers.get("cookie")).items()}
    except CookieError:
        return {}


def _dressing(send: Send) -> Send:
    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return dressed
