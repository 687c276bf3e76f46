"""What the Docker backend reads: ignore files, compose files, references, the engine's words."""

from pathlib import Path

import pytest

from mechagym.errors import ImageError, NoSpace, SandboxUnusable
from mechagym.sandbox.base import BoxSpec, BuildImage, Limits, RegistryImage
from mechagym.sandbox.docker import compose
from mechagym.sandbox.docker.context import Ignore
from mechagym.sandbox.docker.creation import Placing, box_body
from mechagym.sandbox.docker.engine import Engine, EngineError, refusal
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
