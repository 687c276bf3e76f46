"""The Engine API over its socket: requests, streams, and hijacked connections to a program's stdio.

One connection per request and none kept: a local socket costs 0.1 ms, and nothing is left open
when a loop ends. Errors are typed here: engine away, no rights, no space; the rest is an
`EngineError` with its status.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import anyio
import httpx
from anyio.abc import ByteStream, SocketStream

from mechagym.errors import NoSpace, SandboxError, SandboxUnusable
from mechagym.sandbox.docker.channel import DockerChannel

OLDEST = (1, 41)
CALL_S = 120.0
DEFAULT_SOCKET = Path("/var/run/docker.sock")
_HOME_SOCKETS = (".docker/run/docker.sock", ".colima/default/docker.sock", ".rd/docker.sock")
_NO_SPACE = "no space left on device"


class EngineError(SandboxError):
    """The engine said no; `status` is its HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(f"the Docker engine says: {message}", reason=f"engine_{status}")
        self.status = status
        self.said = message


def default_host() -> str:
    """The usual socket, else that of Docker Desktop, colima or Rancher Desktop."""
    homes = [Path.home() / name for name in _HOME_SOCKETS]
    found = next((p for p in (DEFAULT_SOCKET, *homes) if p.exists()), DEFAULT_SOCKET)
    return f"unix://{found}"


class Engine:
    """A Docker-compatible engine at `unix://PATH` or `tcp://HOST:PORT`."""

    def __init__(self, host: str | None = None) -> None:
        self.host = host or default_host()
        parts = urlsplit(self.host)
        if parts.scheme not in {"unix", "tcp", "http"}:
            raise SandboxUnusable(
                f"cannot speak to a Docker engine at {self.host}",
                remedy="set DOCKER_HOST to unix:///path/of/docker.sock or tcp://host:port",
                reason="docker_host",
            )
        self.socket = parts.path if parts.scheme == "unix" else None
        self._address = (parts.hostname or "localhost", parts.port or 2375)
        self._base = (
            "http://docker" if self.socket else f"http://{self._address[0]}:{self._address[1]}"
        )
        self._version = ""
        self._client: httpx.AsyncClient | None = None

    async def version(self) -> dict[str, Any]:
        """What the engine says of itself. Raises SandboxUnusable with reason and remedy."""
        try:
            with anyio.fail_after(5.0):
                stream = await self._connect()
                await stream.aclose()
            said: dict[str, Any] = (await self._request("GET", "/version")).json()
        except TimeoutError:
            raise SandboxUnusable(
                f"the Docker engine at {self.host} does not answer",
                remedy="restart the Docker engine",
                reason="engine_hangs",
            ) from None
        newest, oldest = _number(said["ApiVersion"]), _number(said.get("MinAPIVersion", "1.12"))
        if newest < OLDEST:
            raise SandboxUnusable(
                f"the Docker engine at {self.host} speaks API {said['ApiVersion']}, 1.41 is needed",
                remedy="update the engine to Docker 20.10 or later",
                reason="engine_old",
            )
        self._version = "/v{}.{}".format(*max(OLDEST, oldest))
        return said

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: object = None,
    ) -> Any:
        """Make a request and return its JSON (None where there is none).

        Raises EngineError, NoSpace, SandboxUnusable.
        """
        if not self._version:
            await self.version()
        response = await self._request(method, self._version + path, params=params, json=body)
        is_json = response.headers.get("content-type", "").startswith("application/json")
        return response.json() if is_json and response.content else None

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        content: AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """Make a request whose body, or whose answer, is a stream."""
        if not self._version:
            await self.version()
        with self._typed():
            async with self._http().stream(
                method,
                self._version + path,
                params=_plain(params),
                content=content,
                headers=headers,
                timeout=httpx.Timeout(CALL_S, read=None),
            ) as response:
                if response.status_code >= 400:
                    await response.aread()
                    raise refusal(response.status_code, response.content)
                yield response

    async def hijack(self, path: str, body: object = None, **params: object) -> DockerChannel:
        """Turn a request into the stdio of a program. Raises as `call`."""
        if not self._version:
            await self.version()
        content = b"" if body is None else json.dumps(body).encode()
        target = f"{self._version}{path}?{urlencode(_plain(params) or {})}"
        head = (
            f"POST {target} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        stream = await self._connect()
        try:
            await stream.send(head.encode() + content)
            answer = bytearray()
            while (end := answer.find(b"\r\n\r\n")) < 0:
                answer += await stream.receive()
            status, rest = int(answer.split(b" ", 2)[1]), bytes(answer[end + 4 :])
            if status >= 300:
                raise refusal(status, rest or await stream.receive())  # noqa: TRY301
        except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
            await stream.aclose()
            raise SandboxError(f"the Docker engine closed {path}") from error
        except BaseException:
            with anyio.CancelScope(shield=True):
                await stream.aclose()
            raise
        return DockerChannel(stream, rest)

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        options["params"] = _plain(options.get("params"))
        with self._typed():
            response = await self._http().request(method, path, timeout=CALL_S, **options)
        if response.status_code >= 400:
            raise refusal(response.status_code, response.content)
        return response

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                base_url=self._base,
                transport=httpx.AsyncHTTPTransport(
                    uds=self.socket,
                    verify=False,  # no TLS is spoken here: skip loading its roots
                    limits=httpx.Limits(max_keepalive_connections=0),
                ),
                trust_env=False,
            )
        return self._client

    async def _connect(self) -> ByteStream:
        try:
            if self.socket:
                return await anyio.connect_unix(self.socket)
            stream: SocketStream = await anyio.connect_tcp(*self._address)
        except OSError as error:
            raise self._away(error) from error
        return stream

    @contextlib.contextmanager
    def _typed(self) -> Any:
        try:
            yield
        except httpx.TransportError as error:
            raise SandboxError(
                f"the Docker engine at {self.host} broke off: {error or type(error).__name__}",
                reason="engine_away",
            ) from error

    def _away(self, error: OSError) -> SandboxUnusable:
        start = "start it: `systemctl start docker`, or open Docker Desktop"
        if isinstance(error, PermissionError):
            return SandboxUnusable(
                f"no rights on the Docker socket {self.socket}",
                remedy="join its group: `sudo usermod -aG docker $USER`, then log in again",
                reason="engine_rights",
            )
        if isinstance(error, FileNotFoundError):
            return SandboxUnusable(
                f"no Docker engine: there is no socket {self.socket}",
                remedy=f"install Docker (`apt-get install docker.io`) or {start}",
                reason="engine_absent",
            )
        return SandboxUnusable(
            f"no Docker engine answers at {self.host}", remedy=start, reason="engine_stopped"
        )


def name_in_path(name: str) -> str:
    """An image's or container's name as part of a path."""
    return quote(name, safe="/:@")


def refusal(status: int, content: bytes) -> SandboxError:
    """What the engine's refusal means."""
    try:
        said = str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        said = content.decode("utf-8", "replace").strip() or f"status {status}"
    return no_space(said) or EngineError(said, status)


def no_space(said: str) -> NoSpace | None:
    """The typed error where the engine's words are about a full disk."""
    if _NO_SPACE not in said.lower():
        return None
    folder = next((w.rstrip(":") for w in said.split() if w.startswith("/")), "/var/lib/docker")
    return NoSpace(
        f"the Docker engine has no space left in {folder}",
        remedy="make room: `mechagym clean --images`, `docker system df`",
    )


def _number(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor)


def _plain(params: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Query values as the engine reads them: JSON for what is not a word."""
    if params is None:
        return None
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in params.items()}
