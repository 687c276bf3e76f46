"""What the Docker backend reads: ignore files, compose files, references, the engine's words."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream

from mechagym.errors import ImageError, NoSpace, SandboxError, SandboxUnusable
from mechagym.sandbox.base import BoxSpec, BuildImage, Limits, ReapScope, RegistryImage
from mechagym.sandbox.docker import DockerSandbox, compose
from mechagym.sandbox.docker.context import Ignore
from mechagym.sandbox.docker.creation import Placing, box_body
from mechagym.sandbox.docker.engine import Engine, EngineError, refusal
from mechagym.sandbox.docker.http import Answer, Broken, Request, ask
from mechagym.sandbox.docker.images import _split


@pytest.mark.parametrize(
    ("rules", "out", "kept"),
    [
        ("*.log", ["a.log"], ["sub/a.log", "a.txt"]),
        ("**/*.log", ["a.log", "sub/deep/a.log"], ["a.txt"]),
        ("node_modules", ["node_modules", "node_modules/x/y"], ["sub/node_modules"]),
        ("/sub/./x\n", ["sub/x", "sub/x/y"], ["x"]),
        ("*\n!keep.txt", ["a", "b/c"], ["keep.txt"]),
        ("docs/*\n!docs/*.md", ["docs/a.txt"], ["docs/a.md", "docs"]),
        ("# comment\n\na?c[0-9]", ["abc1"], ["abcd", "# comment"]),
    ],
)
def test_ignore_rules(rules: str, out: list[str], kept: list[str]):
    ignore = Ignore(rules)
    assert [p for p in out + kept if ignore.leaves_out(p)] == out


def test_references_split():
    assert _split("debian") == ("debian", "latest")
    assert _split("localhost:5000/a/b") == ("localhost:5000/a/b", "latest")
    assert _split("localhost:5000/a/b:1") == ("localhost:5000/a/b", "1")
    assert _split("a@sha256:00") == ("a@sha256:00", "")


def test_refusals_are_typed():
    full = b'{"message": "write /var/lib/docker/tmp/x: no space left on device"}'
    error = refusal(500, full)
    assert isinstance(error, NoSpace)
    assert "/var/lib/docker/tmp/x" in error.message
    plain = refusal(404, b"not json")
    assert isinstance(plain, EngineError)
    assert (plain.status, plain.said) == (404, "not json")


def test_a_host_that_cannot_be_spoken_to_is_refused():
    with pytest.raises(SandboxUnusable, match="ssh"):
        Engine("ssh://there")


def test_no_rights_is_told_from_no_engine():
    engine = Engine("unix:///x/docker.sock")
    rights, absent, stopped = (
        engine._away(kind())
        for kind in (PermissionError, FileNotFoundError, ConnectionRefusedError)
    )
    reasons = [error.reason for error in (rights, absent, stopped)]
    assert reasons == ["engine_rights", "engine_absent", "engine_stopped"]
    assert all(error.remedy for error in (rights, absent, stopped))


def answering(answer: bytes):
    """An engine that has one answer to everything."""

    async def handle(client: ByteStream) -> None:
        async with client:
            with contextlib.suppress(anyio.EndOfStream):
                await client.receive()
                await client.send(answer)

    return handle


@contextlib.asynccontextmanager
async def engine_that_says(folder: Path, answer: bytes) -> AsyncIterator[DockerSandbox]:
    path = folder / "docker.sock"
    async with await anyio.create_unix_listener(path) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, answering(answer))
        yield DockerSandbox(f"unix://{path}", cache=folder)
        tasks.cancel_scope.cancel()


def http(body: str, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


async def test_an_old_engine_is_refused_with_a_remedy(tmp_path: Path):
    old = http('{"Version": "19.03", "ApiVersion": "1.40", "MinAPIVersion": "1.12"}')
    async with engine_that_says(tmp_path, old) as docker:
        probe = await docker.probe()
    assert not probe.usable
    assert "1.40" in (probe.reason or "")
    assert "20.10" in (probe.remedy or "")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nxy"])
async def test_an_engine_that_breaks_off_is_an_error_of_the_sandbox(tmp_path: Path, answer: bytes):
    async with engine_that_says(tmp_path, answer) as docker:
        assert not (await docker.probe()).usable
        with pytest.raises(SandboxError, match="broke off"):
            await docker.reap(ReapScope())


async def test_a_full_disk_while_building_is_named(tmp_path: Path):
    (tmp_path / "Dockerfile").write_text("FROM x")
    full = http('{"message": "write /var/lib/docker/x: no space left on device"}', "500 Oh")
    image = BuildImage(context=tmp_path, digest="0")
    async with engine_that_says(tmp_path, full) as docker:
        docker._engine._version = "/v1.41"
        with pytest.raises(NoSpace, match="/var/lib/docker/x"):
            await docker.prepare(image, print)


def test_limits_in_the_engines_words():
    spec = BoxSpec(
        image=RegistryImage(reference="x"), limits=Limits(cpus=8, memory_mb=100, pids=77)
    )
    host = box_body(spec, Placing(image="x", hostname="h", host_cpus=2))["HostConfig"]
    assert host["NanoCpus"] == 2_000_000_000
    assert host["Memory"] == host["MemorySwap"] == 100 * 2**20
    assert host["PidsLimit"] == 77
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["AutoRemove"]


def written(folder: Path, text: str) -> Path:
    path = folder / "docker-compose.yaml"
    path.write_text(text)
    return path


SERVICES = """
version: "3"
services:
  main: {build: ., environment: {A: 1, B: true}, depends_on: [web], ports: ["80:80"]}
  web:
    build: {context: web}
    command: python3 -m http.server
    depends_on: {db: {condition: service_healthy}}
  db:
    image: ${DB:-postgres:16}
    environment: ["A=${NO:-x}$$"]
    healthcheck: {test: [CMD, true], interval: 1m30s, retries: 3}
    volumes: ["data:/data", "./init.sql:/init.sql:ro"]
"""


def test_a_compose_file_is_read(tmp_path: Path):
    (tmp_path / "web").mkdir()
    found = compose.read(written(tmp_path, SERVICES))
    db, web = found.sidecars
    assert (db.name, web.name) == ("db", "web")
    assert found.env == {"A": "1", "B": "true"}
    assert found.volume_names == {"data"}
    assert db.image == RegistryImage(reference="postgres:16")
    assert db.env == {"A": "x$"}
    assert db.healthcheck == {"Test": ["CMD", "true"], "Interval": 90 * 10**9, "Retries": 3}
    assert db.volumes[1].source == tmp_path / "init.sql"
    assert isinstance(web.image, BuildImage)
    assert web.needs == {"db": "service_healthy"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("services: {web: {image: x}}", "no service `main`"),
        ("services: {main: {privileged: true}}", "services.main.privileged"),
        ("services: {main: {}, a: {image: x, network_mode: host}}", "services.a.network_mode"),
        ("services: {main: {}}\nnetworks: {n: {}}", "networks"),
        ("services: {main: {volumes: ['/etc:/x']}}", "outside"),
        ("services: {main: {volumes: ['../../x:/x']}}", "outside"),
        ("services: {main: {}, a: {}}", "neither image nor build"),
        ("services: {main: {}, a: {image: '${X}'}}", "no value"),
        ("services: {main: {depends_on: [b]}}", "no service `b`"),
        (
            "services: {main: {}, a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}",
            "circle",
        ),
        ("services: [1", "docker-compose.yaml"),
        ("3", "no mapping"),
    ],
)
def test_what_a_compose_file_cannot_have_is_named(tmp_path: Path, text: str, says: str):
    with pytest.raises(ImageError, match=r"docker-compose\.yaml") as error:
        compose.read(written(tmp_path, text))
    assert says in error.value.message


# --- the wire

BODIES = {
    "sized": b"Content-Length: 11\r\n\r\none\ntwo\nend",
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n"
    b"2\r\non\r\n6\r\ne\ntwo\n\r\n3\r\nend\r\n0\r\n\r\n",
    "until the end": b"\r\none\ntwo\nend",
}


class Wire(ByteStream):
    """An engine's end of a connection: what it says comes in pieces of so many bytes."""

    def __init__(self, said: bytes, step: int) -> None:
        self._pieces = [said[at : at + step] for at in range(0, len(said), step)]

    async def send(self, item: bytes) -> None:
        assert item.startswith(b"GET / HTTP/1.1\r\n")

    async def send_eof(self) -> None: ...

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if not self._pieces:
            raise anyio.EndOfStream
        piece = self._pieces.pop(0)
        if piece[max_bytes:]:
            self._pieces.insert(0, piece[max_bytes:])
        return piece[:max_bytes]

    async def aclose(self) -> None: ...


async def answered(said: bytes, step: int) -> Answer:
    return await ask(Wire(said, step), Request(method="GET", target="/"))


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_body_is_read_however_it_is_framed(body: bytes, step: int):
    answer = await answered(b"HTTP/1.1 200 OK\r\n" + body, step)
    assert [line async for line in answer.lines()] == [b"one", b"two", b"end"]


@pytest.mark.parametrize("kind", ["sized", "chunked"])
async def test_a_body_that_is_cut_short_is_broken(kind: str):
    answer = await answered(b"HTTP/1.1 200 OK\r\n" + BODIES[kind][:-6], 5)
    with pytest.raises(Broken):
        await answer.read()


@pytest.mark.parametrize("wire", [b"", b"HTTP/1.1 200", b"SSH-2.0-x\r\n\r\n", b"x" * 70_000])
async def test_what_is_no_answer_is_broken(wire: bytes):
    with pytest.raises(Broken):
        await answered(wire, 1000)
