"""The Engine API over its socket: requests, streams, and hijacked connections to a program's stdio.

One connection per request and none kept: a local socket costs 0.1 ms, and nothing is left open
when a loop ends. Errors are typed here: engine away, no rights, no space; the rest is an
`EngineError` with its status. What goes over the wire stands in `http`.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import anyio
from anyio.abc import ByteStream, SocketStream

from mechagym.errors import NoSpace, SandboxError, SandboxUnusable
from mechagym.sandbox.docker import unix
from mechagym.sandbox.docker.channel import DockerChannel
from mechagym.sandbox.docker.http import Answer, Broken, Request, ask

OLDEST = (1, 41)
CALL_S = 120.0
VERSION_S = 20.0
DEFAULT_SOCKET = Path("/var/run/docker.sock")
_HOME_SOCKETS = (".docker/run/docker.sock", ".colima/default/docker.sock", ".rd/docker.sock")
_NO_SPACE = "no space left on device"
_JSON = "application/json"


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
        self._version = ""

    async def version(self) -> dict[str, Any]:
        """What the engine says of itself. Raises SandboxUnusable with reason and remedy."""
        try:
            with anyio.fail_after(VERSION_S):
                said: dict[str, Any] = await self._said(Request(method="GET", target="/version"))
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
        target = await self._target(path, params)
        try:
            with anyio.fail_after(CALL_S):
                return await self._said(_with_json(method, target, body))
        except TimeoutError:
            raise self._broke_off(f"no answer to {method} {path} in {CALL_S:g} s") from None

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        archive: AsyncIterator[bytes] | None = None,
    ) -> AsyncIterator[Answer]:
        """Make a request whose body is an archive, or whose answer is a stream."""
        target = await self._target(path, params)
        if archive is None:
            request = Request(method=method, target=target)
        else:
            headers = {"Content-Type": "application/x-tar"}
            request = Request(method=method, target=target, headers=headers, body=archive)
        async with self._asked(request) as answer:
            yield answer

    async def hijack(self, path: str, body: object = None, **params: object) -> DockerChannel:
        """Turn a request into the stdio of a program. Raises as `call`."""
        target = await self._target(path, params)
        upgrade = {"Connection": "Upgrade", "Upgrade": "tcp"}
        stream, answer = await self._ask(_with_json("POST", target, body, upgrade))
        return DockerChannel(stream, answer.stream.buffer)

    async def _target(self, path: str, params: Mapping[str, Any] | None) -> str:
        if not self._version:
            await self.version()
        query = {k: v if isinstance(v, str) else json.dumps(v) for k, v in (params or {}).items()}
        return f"{self._version}{path}?{urlencode(query)}" if query else self._version + path

    async def _said(self, request: Request) -> Any:
        async with self._asked(request) as answer:
            said = await answer.read()
        is_json = answer.headers.get("content-type", "").startswith(_JSON)
        return json.loads(said) if is_json and said else None

    @contextlib.asynccontextmanager
    async def _asked(self, request: Request) -> AsyncIterator[Answer]:
        stream, answer = await self._ask(request)
        try:
            yield answer
        except Broken as error:
            raise self._broke_off(str(error)) from error
        finally:
            with anyio.CancelScope(shield=True):
                await stream.aclose()

    async def _ask(self, request: Request) -> tuple[ByteStream, Answer]:
        """Connect and ask; the connection is the caller's to close, unless this raises."""
        stream = await self._connect()
        try:
            answer = await ask(stream, request)
            if answer.status >= 400:
                raise refusal(answer.status, await answer.read())  # noqa: TRY301
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await stream.aclose()
            if isinstance(error, Broken):
                raise self._broke_off(str(error)) from error
            raise
        return stream, answer

    async def _connect(self) -> ByteStream:
        try:
            if self.socket:
                return await unix.connect(self.socket)
            stream: SocketStream = await anyio.connect_tcp(*self._address)
        except OSError as error:
            raise self._away(error) from error
        return stream

    def _broke_off(self, how: str) -> SandboxError:
        said = f"the Docker engine at {self.host} broke off: {how}"
        return SandboxError(said, reason="engine_away")

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


def _with_json(
    method: str, target: str, body: object, headers: Mapping[str, str] | None = None
) -> Request:
    """A request with a JSON body, where there is one."""
    if body is None:
        return Request(method=method, target=target, headers=headers or {})
    typed = {**(headers or {}), "Content-Type": _JSON}
    return Request(method=method, target=target, headers=typed, body=json.dumps(body).encode())
