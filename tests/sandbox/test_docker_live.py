"""The Docker backend on a real engine. Needs an engine and the image `debian:bookworm-slim`."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from mechagym.errors import ImageError, LimitRefused
from mechagym.sandbox.base import (
    BoxSpec,
    BuildImage,
    ExecOptions,
    Healthcheck,
    Labels,
    Limits,
    NetworkPolicy,
    ReapScope,
    RegistryImage,
)
from mechagym.sandbox.docker import DockerSandbox
from mechagym.sandbox.docker.box import DockerBox
from mechagym.sandbox.docker.engine import EngineError
from mechagym.sandbox.docker.images import reference_of
from mechagym.sandbox.owner import owner_labels
from mechagym.sandbox.processes import processes, stop_agent

BASE = "debian:bookworm-slim"
IMAGE = RegistryImage(reference=BASE)
NO_NETWORK = NetworkPolicy(mode="no-network")
SPEC = BoxSpec(image=IMAGE, network=NO_NETWORK, limits=Limits(memory_mb=512, pids=200))

pytestmark = pytest.mark.live


@pytest.fixture
async def docker(tmp_path: Path) -> DockerSandbox:
    sandbox = DockerSandbox(cache=tmp_path)
    probe = await sandbox.probe()
    if not probe.usable:
        pytest.skip(f"{probe.reason}: {probe.remedy}")
    if await sandbox._images.find(BASE) is None:
        pytest.skip(f"image {BASE} is missing: run scripts/install-parts")
    return sandbox


@pytest.fixture
async def box(docker):
    async with docker.open(SPEC) as box:
        yield box


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


async def left(box, name: str) -> list[int]:
    return [p.pid for p in await processes(box.processes) if p.comm == name and not p.zombie]


async def inspect(docker: DockerSandbox, box: DockerBox) -> dict[str, Any]:
    path = f"/containers/{box.info.container_id}/json"
    found: dict[str, Any] = await docker._engine.call("GET", path)
    return found


# --- commands

ESCAPES = {
    "double fork": "( ( setsid sleep 300 & ) & ); sleep 300",
    "nohup": "nohup setsid sleep 300 >/dev/null 2>&1 & sleep 300",
    "trap": "trap '' TERM INT HUP; while :; do sleep 300; done",
    "stopped": "setsid sh -c 'kill -STOP $$; sleep 300' & sleep 300",
}


@pytest.mark.must("sandbox-3")
@pytest.mark.alone
@pytest.mark.parametrize("fallback", [False, True], ids=["lane", "fallback"])
async def test_a_timeout_or_a_cancel_leaves_no_process(box, fallback):
    for script in ESCAPES.values():
        options = ExecOptions(timeout_s=0.5, fallback=fallback)
        began = time.monotonic()
        result = await box.exec(sh(f"echo part; {script}"), options)
        assert time.monotonic() - began < 2.5
        assert (result.timed_out, result.stdout) == (True, b"part\n")
        assert not await left(box, "sleep")
        with anyio.move_on_after(0.5):
            await box.exec(sh(script), ExecOptions(fallback=fallback))
        assert not await left(box, "sleep")
    assert (await box.exec(["echo", "next"])).text == "next\n"


@pytest.mark.must("sandbox-3")
@pytest.mark.alone
async def test_a_fork_bomb_is_killed(box):
    began = time.monotonic()
    result = await box.exec(["perl", "-e", "while(1){fork}"], ExecOptions(timeout_s=2))
    assert result.timed_out
    assert time.monotonic() - began < 7
    assert (await box.exec(["echo", "next"])).text == "next\n"
    assert len(await processes(box.processes)) < 10


@pytest.mark.must("sandbox-4")
async def test_stop_agent_keeps_a_service_and_ends_the_rest(box):
    loop = "while :; do mkdir -p /logs; echo 1 >/logs/reward.txt; sleep 0.05; done"
    await box.exec(sh(f"nohup sh -c '{loop}' >/dev/null 2>&1 &"))
    listener = "use Socket; socket(S,PF_UNIX,SOCK_STREAM,0); bind(S,sockaddr_un('/tmp/s'));"
    server = f'perl -e "{listener} listen(S,5); sleep 300"'
    await box.exec(sh(f"nohup {server} >/dev/null 2>&1 & sleep 0.3"))
    as_user = ExecOptions(user="65534")
    await box.exec(sh("nohup sh -c 'while :; do sleep 0.05; done' >/dev/null 2>&1 &"), as_user)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(box.exec, sh("setsid sleep 300 & sleep 300"))
        await anyio.sleep(0.3)
        report = await stop_agent(box)
    assert [line.split()[1] for line in report.kept] == ["perl:"]
    assert not await left(box, "sleep")
    assert await left(box, "perl")
    await box.exec(["rm", "-r", "/logs"])
    await anyio.sleep(0.2)
    assert not (await box.exec(["test", "-e", "/logs"])).ok


@pytest.mark.must("trials-10")
@pytest.mark.parametrize("fallback", [False, True], ids=["lane", "fallback"])
async def test_a_gigabyte_of_output_takes_no_memory(box, fallback):
    seen = 0

    def count(stream: str, data: bytes) -> None:
        nonlocal seen
        seen += len(data)

    before = psutil.Process().memory_info().rss
    options = ExecOptions(limit_bytes=10_000, on_output=count, fallback=fallback)
    result = await box.exec(sh("echo a; head -c 1000000000 /dev/zero; echo z"), options)
    assert result.stdout_total == seen == 1_000_000_004
    assert len(result.stdout) <= 10_000
    assert result.stdout.startswith(b"a\n")
    assert result.stdout.endswith(b"z\n")
    assert b"bytes left out" in result.stdout
    assert psutil.Process().memory_info().rss - before < 50 * 2**20


async def test_users_and_their_environment(box):
    result = await box.exec(["id", "-u"], ExecOptions(user="65534"))
    assert result.text == "65534\n"
    stray = sh("sleep 60 & echo $!")
    first = await box.exec(stray, ExecOptions(user="65534"))
    assert (await box.exec(["echo", "mine"], ExecOptions(user="65534"))).text == "mine\n"
    assert int(first.text) in await left(box, "sleep")


# --- limits


@pytest.mark.must("sandbox-5")
async def test_limits_hold_and_the_box_survives(docker):
    spec = BoxSpec(image=IMAGE, network=NO_NETWORK, limits=Limits(memory_mb=64, pids=50, cpus=0.2))
    async with docker.open(spec) as box:
        assert set(box.info.limits_enforced) == {"memory_mb", "pids", "cpus"}
        eater = await box.exec(["perl", "-e", "$x='x'x(400*1024*1024); print length $x"])
        assert not eater.ok
        fork = "for(1..99){my $p=fork; defined $p or last; $p or do{sleep 2; exit}; $n++} print $n"
        assert 10 < int((await box.exec(["perl", "-e", f"my $n=0; {fork}; sleep 3"])).text) < 50
        began = time.monotonic()
        assert (await box.exec(["perl", "-e", "do { @t = times } while $t[0] + $t[1] < 1"])).ok
        assert time.monotonic() - began > 4, "a second of a CPU takes five at a fifth of one"
        told = await box.exec(sh("cd /sys/fs/cgroup; cat cpu.stat cpu/cpu.stat 2>/dev/null"))
        assert re.search(r"^nr_throttled [1-9]", told.text, re.MULTILINE), told.text
        assert (await box.exec(["echo", "alive"])).text == "alive\n"


async def test_what_cannot_be_enforced_is_refused_before_anything_starts(docker):
    with pytest.raises(LimitRefused, match="GPU"):
        async with docker.open(BoxSpec(image=IMAGE, limits=Limits(gpus=1))):
            pass


# --- files


async def test_files_in_and_out(box, tmp_path):
    source = tmp_path / "in"
    (source / "empty").mkdir(parents=True)
    (source / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (source / "run.sh").chmod(0o755)
    (source / "link").symlink_to("run.sh")
    await box.put(source, "/work/deep")
    assert (await box.exec(["/work/deep/link"])).text == "ran\n"
    assert (await box.exec(["stat", "-c", "%u %a", "/work/deep/run.sh"])).text == "0 755\n"
    await box.put(b"text", "/work/deep/new/file")
    report = await box.get("/work/deep", tmp_path / "out")
    assert report.refused == ()
    assert (tmp_path / "out/new/file").read_bytes() == b"text"
    assert (tmp_path / "out/link").readlink() == Path("run.sh")
    assert (tmp_path / "out/empty").is_dir()
    with pytest.raises(FileNotFoundError):
        await box.get("/no/such", tmp_path / "none")


async def test_put_never_follows_a_link_that_stands_there(box):
    await box.exec(sh("mkdir /secret; ln -s /secret /tests; ln -s /etc/passwd /target"))
    await box.put(b"new", "/target")
    assert (await box.exec(["cat", "/target"])).stdout == b"new"
    assert (await box.exec(["grep", "-c", "^root", "/etc/passwd"])).text == "1\n"


# --- forks


async def gone(docker: DockerSandbox, image: str):
    with anyio.fail_after(10):
        while await docker._images.find(image) is not None:
            await anyio.sleep(0.05)


async def test_a_fork_is_equal_and_apart_and_can_be_adopted(docker, box):
    await box.exec(sh("echo one >/file"))
    async with box.fork() as fork:
        assert (await fork.exec(["cat", "/file"])).text == "one\n"
        await fork.exec(sh("echo two >/file"))
        assert (await box.exec(["cat", "/file"])).text == "one\n"
        image = fork.plan.image.id
        old = box.info.container_id
        await box.adopt(fork)
    assert (await box.exec(["cat", "/file"])).text == "two\n"
    assert box.info.container_id != old
    assert await docker._images.find(image) is not None
    await box.container.stop()
    await gone(docker, image)


# --- life


@pytest.mark.must("sandbox-15")
@pytest.mark.alone
async def test_close_is_quick_whatever_ignores_signals(docker):
    stack = contextlib.AsyncExitStack()
    box = await stack.enter_async_context(docker.open(SPEC))
    await box.exec(sh("trap '' TERM INT HUP; sleep 300 & sleep 300"), ExecOptions(background=True))
    name = box.container.name
    began = time.monotonic()
    await stack.aclose()
    took = time.monotonic() - began
    assert took < 1.0
    rows = await docker._engine.call("GET", "/containers/json", params={"all": "1"})
    assert not [row for row in rows if f"/{name}" in row["Names"]]


CONTROLLER = """
import anyio, sys
from mechagym.sandbox.base import *
from mechagym.sandbox.docker import DockerSandbox
async def main():
    image = RegistryImage(reference=sys.argv[1])
    spec = BoxSpec(image=image, network=NetworkPolicy(mode="no-network"))
    async with DockerSandbox().open(spec) as box:
        hold = ["sh", "-c", "trap '' TERM HUP; sleep 300 & sleep 300"]
        await box.exec(hold, ExecOptions(background=True))
        print(box.container.name, flush=True)
        await anyio.sleep(60)
anyio.run(main)
"""


async def test_a_box_dies_with_its_controller(docker):
    argv = [sys.executable, "-c", CONTROLLER, BASE]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as controller:
        assert controller.stdout
        name = (await anyio.to_thread.run_sync(controller.stdout.readline)).strip()
        assert name
        controller.kill()
    with anyio.fail_after(10):
        while any(
            f"/{name}" in row["Names"]
            for row in await docker._engine.call("GET", "/containers/json", params={"all": "1"})
        ):
            await anyio.sleep(0.1)


@pytest.mark.must("sandbox-16")
async def test_secrets_are_nowhere_to_be_seen(docker, box):
    secret = "s3cr3t-" + os.urandom(8).hex()
    env = {"KEY": secret}
    for fallback in (False, True):
        async with anyio.create_task_group() as tasks:
            options = ExecOptions(env=env, fallback=fallback)
            tasks.start_soon(box.exec, ["sleep", "1"], options)
            await anyio.sleep(0.6)
            said = json.dumps(await inspect(docker, box))
            execs = json.loads(said)["ExecIDs"] or []
            for exec_id in execs:
                said += json.dumps(await docker._engine.call("GET", f"/exec/{exec_id}/json"))
            assert secret not in said
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    assert secret.encode() not in path.read_bytes()


async def test_security_is_as_promised(docker, box):
    status = (await box.exec(["cat", "/proc/self/status"])).text
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"
    assert int(fields["CapEff"], 16) & (1 << 27 | 1 << 13 | 1 << 21) == 0  # mknod, raw, admin
    assert not (await box.exec(["mount", "-t", "tmpfs", "x", "/mnt"])).ok
    config = (await inspect(docker, box))["HostConfig"]
    assert config["Memory"] == config["MemorySwap"] == 512 * 1024 * 1024
    assert not config["Privileged"]


async def test_network_policies_and_their_switch(docker, box):
    routes = sh("cat /proc/net/route | wc -l")
    assert (await box.exec(routes)).text == "1\n"
    await box.use_network(NetworkPolicy(mode="public"))
    assert (await box.exec(routes)).text != "1\n"
    await box.use_network(NO_NETWORK)
    assert (await box.exec(routes)).text == "1\n"


async def test_an_unhealthy_box_is_an_error(docker):
    check = Healthcheck(command="echo why >&2; false", interval_s=0.05, retries=2)
    with pytest.raises(Exception, match="why"):
        async with docker.open(BoxSpec(image=IMAGE, network=NO_NETWORK, healthcheck=check)):
            pass


# --- images


def context(folder: Path, dockerfile: str) -> BuildImage:
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    return BuildImage(context=folder, digest=os.urandom(16).hex())


@pytest.mark.must("sandbox-13")
async def test_an_image_is_built_once_and_faults_are_typed(docker, tmp_path):
    stamp = f"FROM {BASE}\nCOPY . /c\nRUN cat /proc/sys/kernel/random/uuid >/made\nWORKDIR /c\n"
    image = context(tmp_path / "c", stamp)
    (tmp_path / "c/.dockerignore").write_text("*.log\n!keep.log\n")
    (tmp_path / "c/a.log").write_text("")
    (tmp_path / "c/keep.log").write_text("")
    other = DockerSandbox(cache=tmp_path)
    lines: list[str] = []
    digests: list[str] = []

    async def prepare(sandbox: DockerSandbox):
        digests.append(await sandbox.prepare(image, lines.append))

    async with anyio.create_task_group() as tasks:
        for sandbox in (docker, other, docker):
            tasks.start_soon(prepare, sandbox)
    assert len(set(digests)) == 1
    assert len([line for line in lines if line.startswith("Successfully built")]) == 1
    async with docker.open(BoxSpec(image=image, network=NO_NETWORK)) as box:
        listing = await box.exec(["ls", "-A"])
        assert listing.text.split() == [".dockerignore", "Dockerfile", "keep.log"]
        assert box.info.workdir == "/c"
    removed = await docker.reap(ReapScope(images=True, older_than_s=0.0, job_id="none"))
    assert [r.what for r in removed] == ["image"]

    failing = context(tmp_path / "f", f"FROM {BASE}\nRUN echo the reason; exit 3\n")
    with pytest.raises(ImageError, match="the reason"):
        await docker.prepare(failing, lines.append)
    absent = RegistryImage(reference="localhost:1/no/such:image")
    with pytest.raises(ImageError, match="no/such"):
        await docker.prepare(absent, lines.append)


# --- reaping


async def test_the_living_are_not_reaped(docker):
    spec = BoxSpec(image=IMAGE, network=NO_NETWORK, labels=Labels(job_id="live-job"))
    async with docker.open(spec) as box:
        assert await docker.reap(ReapScope(job_id="live-job")) == []
        assert await box.alive()


# --- probing


async def test_a_probe_says_reason_and_remedy(tmp_path):
    absent = await DockerSandbox(f"unix://{tmp_path}/no.sock").probe()
    assert not absent.usable
    assert "no socket" in (absent.reason or "")
    assert absent.remedy
    dead = tmp_path / "dead.sock"
    import socket

    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(dead))
    stopped = await DockerSandbox(f"unix://{dead}").probe()
    assert "answers" in (stopped.reason or "")


# --- compose

COMPOSE = """
services:
  main:
    build: .
    command: ["sleep", "infinity"]
    environment: {FROM_FILE: "yes"}
    volumes: ["shared:/shared"]
    depends_on: {teller: {condition: service_healthy}}
  teller:
    image: debian:bookworm-slim
    command: ["sh", "-c", "echo $$WORD >/shared/word; sleep 300"]
    environment: ["WORD=${UNSET:-told}"]
    volumes: ["shared:/shared", "./note.txt:/note.txt"]
    healthcheck: {test: "test -s /shared/word", interval: 200ms, retries: 50}
"""


async def test_sidecars_are_beside_the_box_and_gone_with_it(docker, tmp_path):
    (tmp_path / "docker-compose.yaml").write_text(COMPOSE)
    (tmp_path / "note.txt").write_text("x")
    spec = BoxSpec(image=IMAGE, network=NO_NETWORK, compose=tmp_path / "docker-compose.yaml")
    async with docker.open(spec) as box:
        found = await box.exec(sh("cat /shared/word; echo $FROM_FILE; getent hosts teller"))
        assert found.text.split()[:2] == ["told", "yes"]
        assert "teller" in found.text
        name = box.container.name
    for path, key in (("/containers/json", "Names"), ("/networks", "Name")):
        rows = await docker._engine.call("GET", path, params={"all": "1"})
        assert name not in str([row[key] for row in rows])
    volumes = await docker._engine.call("GET", "/volumes")
    assert name not in str(volumes)


async def test_an_image_without_a_shell_is_named(docker, tmp_path):
    image = context(tmp_path / "s", "FROM scratch\nCOPY Dockerfile /\n")
    with pytest.raises(ImageError, match="no `sh`"):
        async with docker.open(BoxSpec(image=image, network=NO_NETWORK)):
            pass
    reference = reference_of(image)
    await docker._engine.call("DELETE", f"/images/{reference}")


@pytest.mark.must("sandbox-12")
@pytest.mark.alone
async def test_only_the_dead_owners_things_are_reaped(docker):
    dead = owner_labels(Labels(job_id="h1-reaped")) | {"mechagym.pid_start": "1"}
    living = owner_labels(Labels(job_id="h1-reaped"))
    owners = {"dead": dead, "living": living, "strange": {"mechagym.job": "h1-reaped"}}
    engine = docker._engine
    made = {}
    try:
        for name, labels in owners.items():
            body = {"Image": BASE, "Cmd": ["sleep", "60"], "Labels": labels}
            made[name] = (await engine.call("POST", "/containers/create", body=body))["Id"]
        network = {"Name": "mechagym-h1-dead", "Labels": dead}
        await engine.call("POST", "/networks/create", body=network)
        scope = ReapScope(job_id="h1-reaped")
        would = await docker.reap(ReapScope(job_id="h1-reaped", dry_run=True))
        did = await docker.reap(scope)
        assert [r.what for r in would] == [r.what for r in did] == ["container", "network"]
        assert await docker.reap(scope) == []
        rows = await engine.call("GET", "/containers/json", params={"all": "1"})
        left = {row["Id"] for row in rows}
        assert made["dead"] not in left
        assert {made["living"], made["strange"]} <= left
    finally:
        for container in made.values():
            with contextlib.suppress(EngineError):
                await engine.call("DELETE", f"/containers/{container}", params={"force": "1"})


ASK = """
use IO::Socket::INET;
my ($host, $port, $text) = @ARGV;
my $s = IO::Socket::INET->new(PeerAddr=>$host, PeerPort=>$port, Timeout=>2) or exit 7;
print $s $text; local $/; print scalar <$s>;
"""


@pytest.mark.must("sandbox-8")
async def test_an_allowlist_lets_out_what_it_names_and_nothing_else(docker):
    async def answer(client):
        async with client:
            await client.receive()
            await client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    public = BoxSpec(image=IMAGE, network=NetworkPolicy(mode="public"))
    async with (
        await anyio.create_tcp_listener(local_host="0.0.0.0") as server,
        anyio.create_task_group() as tasks,
    ):
        port = server.extra(anyio.abc.SocketAttribute.local_port)
        tasks.start_soon(server.serve, answer)
        policy = NetworkPolicy(mode="allowlist", allowed_hosts=(f"127.0.0.1:{port}",))
        spec = BoxSpec(image=IMAGE, network=policy)
        async with docker.open(spec) as box, docker.open(public) as other:
            await box.put(ASK.encode(), "/ask")
            proxied = sh(
                "p=${http_proxy##*:}; perl /ask 127.0.0.1 $p"
                ' "$(printf "GET http://$0/ HTTP/1.1\\r\\nHost: $0\\r\\n\\r\\n ")"'
            )
            allowed = await box.exec([*proxied, f"127.0.0.1:{port}"])
            assert allowed.text.endswith("hi")
            refused = await box.exec([*proxied, "127.0.0.1:2375"])
            assert refused.text.startswith("HTTP/1.1 403")
            seen = (await inspect(docker, other))["NetworkSettings"]["Networks"]["bridge"]
            gateway = seen["Gateway"]
            forbidden = [
                ("127.0.0.1", port),  # the host's own server, directly
                (gateway, port),
                ("169.254.169.254", 80),
                (seen["IPAddress"], 80),
            ]
            for narrow in (policy, NO_NETWORK):
                await box.use_network(narrow)
                for host, at in forbidden:
                    asked = await box.exec(["perl", "/ask", host, str(at), "x"])
                    assert asked.exit_code == 7, (narrow, host)
                assert not (await box.exec(["getent", "hosts", "example.org"])).ok
            assert not (await box.exec(sh('test -n "$http_proxy"'))).ok
            await box.use_network(public.network)
            assert (await box.exec(["perl", "/ask", gateway, str(port), "x"])).text.endswith("hi")
        tasks.cancel_scope.cancel()


# --- what the engine is not asked for


async def test_a_root_box_has_a_control_lane_without_an_exec(docker, box):
    assert len(await processes(box.processes)) >= 3
    assert (await inspect(docker, box))["ExecIDs"] is None
    await box.retire()
    assert len(await processes(box.processes)) >= 3
    assert len((await inspect(docker, box))["ExecIDs"]) == 1


async def test_little_comes_out_by_tar_and_much_by_the_engine(box, tmp_path):
    asked: list[str] = []
    engine = box.plan.engine
    stream = engine.stream

    def told(method: str, path: str, **options: Any) -> Any:
        asked.append(method)
        return stream(method, path, **options)

    engine.stream = told
    await box.exec(sh("mkdir -p /d/e; echo 1 >/d/small; chmod 755 /d/small; ln -s small /d/link"))
    await box.get("/d", tmp_path / "little")
    assert asked == []
    assert (tmp_path / "little/small").read_bytes() == b"1\n"
    assert (tmp_path / "little/small").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "little/link").readlink() == Path("small")
    assert (tmp_path / "little/e").is_dir()
    await box.exec(sh("head -c 2000000 /dev/urandom >/d/big"))
    assert (await box.get("/d", tmp_path / "much")).size_bytes == 2_000_002
    assert asked == ["GET"]
    await box.exec(sh("printf '#!/bin/sh\\necho lies' >/usr/bin/tar"))
    assert (await box.get("/d/small", tmp_path / "honest")).files == 1
    assert (tmp_path / "honest").read_bytes() == b"1\n"


async def test_forks_that_are_asked_for_together_share_a_commit(docker, box):
    await box.exec(sh("echo one >/file"))
    images: list[str] = []
    gate = anyio.Event()

    async def attempt():
        async with box.fork() as fork:
            images.append(fork.plan.image.id)
            assert (await fork.exec(["cat", "/file"])).text == "one\n"
            if len(images) == 3:
                gate.set()
            await gate.wait()

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(attempt)
    assert len(set(images)) == 1
    await gone(docker, images[0])
    await box.exec(sh("echo two >/file"))
    async with box.fork() as fork:
        assert (await fork.exec(["cat", "/file"])).text == "two\n"


async def test_a_box_that_stays_offline_is_apart_and_knows_its_loopback(docker):
    spec = BoxSpec(image=IMAGE, network=NO_NETWORK, stays_offline=True)
    loopback = (
        "use Socket; socket(S,PF_INET,SOCK_STREAM,0);"
        " bind(S,pack_sockaddr_in(0,inet_aton('localhost')))"
        " or die; listen(S,1); socket(C,PF_INET,SOCK_STREAM,0); connect(C,getsockname(S)) or die"
    )
    async with docker.open(spec) as box:
        assert (await inspect(docker, box))["Config"]["NetworkDisabled"]
        devices = await box.exec(sh("tail -n +3 /proc/net/dev | cut -d: -f1"))
        assert devices.text.split() == ["lo"]
        assert (await box.exec(sh("cat /proc/net/route | wc -l"))).text == "1\n"
        assert (await box.exec(["perl", "-e", loopback])).ok
        assert (await box.exec(["getent", "hosts", "localhost"])).ok
        with pytest.raises(LimitRefused, match="offline"):
            await box.use_network(NetworkPolicy(mode="public"))
        async with box.fork() as fork:
            assert (await fork.exec(["getent", "hosts", "localhost"])).ok
        if "allowlist" in docker.capabilities.networks:
            await box.use_network(NetworkPolicy(mode="allowlist", allowed_hosts=("example.org",)))
            port = box.network.env["http_proxy"].rpartition(":")[2]
            reach = ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"]
            assert (await box.exec(reach)).ok
    as_user = BoxSpec(image=IMAGE, network=NO_NETWORK, stays_offline=True, user="65534")
    async with docker.open(as_user) as box:
        assert (await box.exec(["getent", "hosts", "localhost"])).ok
