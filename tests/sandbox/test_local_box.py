"""Boxes of the local backend on the host's own root, as whoever runs this: root or an ordinary
user.
"""

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from mechagym.errors import BoxDied, LimitRefused, SandboxError
from mechagym.sandbox.base import ExecOptions, Mount, NetworkPolicy, unenforced
from mechagym.sandbox.local import LocalSandbox, cgroups
from tests.sandbox.local_parts import folders, host_spec, limited, loops, text

pytestmark = pytest.mark.live
IS_ROOT = os.getuid() == 0
HAS_GROUPS = bool(cgroups.parents())
PROJECT = Path(__file__).parent.parent.parent


async def test_the_probe_says_what_was_tried(sandbox):
    probe = await sandbox.probe()
    assert probe.usable
    assert probe.isolation == "namespace"
    assert any("namespaces of its own" in line for line in probe.evidence)
    assert sandbox.capabilities.rootless is not IS_ROOT


async def test_root_in_a_box_is_nobody_on_the_host(sandbox):
    async with sandbox.open(host_spec()) as box:
        assert await text(box, "id -u; cat /proc/self/uid_map") != ""
        pid = box.instance.pid
        owner = Path(f"/proc/{pid}").stat().st_uid
        assert owner == sandbox._plant.keeper.owner
        assert owner != 0
        assert await text(box, "touch /f; chown 1234:4321 /f; stat -c %u:%g /f") == "1234:4321\n"


async def test_a_box_has_namespaces_of_its_own(sandbox):
    async with sandbox.open(host_spec()) as box:
        for name in ("user", "pid", "mnt", "ipc", "uts", "net"):
            inside = (await text(box, f"readlink /proc/self/ns/{name}")).strip()
            assert inside != str(Path(f"/proc/self/ns/{name}").readlink()), name


@pytest.mark.must("sandbox-6")
async def test_a_box_cannot_break_out(sandbox, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("planted")
    tries = {
        "mount": "mount -t tmpfs none /mnt",
        "mount in a namespace of its own": "unshare -Ur mount -t tmpfs none /mnt",
        "planted secret": f"cat {secret}",
        "host process": f"kill -0 {os.getpid()}",
        "host memory": "head -c1 /proc/kcore",
        "kernel setting": "echo 1 >/proc/sys/kernel/sysrq",
        "magic key": "echo h >/proc/sysrq-trigger",
        "device": "mknod /dev/sda b 8 0 && head -c1 /dev/sda",
        "host name": "hostname broken",
        "module": "insmod /nothing || modprobe loop && test -d /sys/module/loop/broken",
        "sys": "echo 1 >/sys/kernel/mm/ksm/run",
        "clock": "date -s '2001-01-01'",
        "init": "rm /dev/mechagym-init",
        "priority": "nice -n -5 true 2>&1 | grep -q . && exit 1",
    }
    async with sandbox.open(host_spec()) as box:
        for what, script in tries.items():
            result = await box.exec(["sh", "-c", script])
            assert result.exit_code != 0 or what == "priority", what
        status = await text(box, "cat /proc/self/status")
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
        assert "CapEff:\t00000000a80425fb" in status
        nobody = await box.exec(["cat", "/proc/self/status"], ExecOptions(user="nobody"))
        assert "CapEff:\t0000000000000000" in nobody.text
        await box.exec(["sh", "-c", "kill -9 1; kill -STOP 1"])
        assert await box.alive()


async def test_the_environment_of_the_host_stays_outside(sandbox, monkeypatch):
    monkeypatch.setenv("MECHAGYM_TEST_SECRET", "hidden")
    async with sandbox.open(host_spec(env={"SAID": "a b'c"})) as box:
        seen = await text(box, "env; cat /proc/1/environ")
        assert "hidden" not in seen
        assert "SAID=a b'c" in seen


@pytest.mark.parametrize("mode", ["no-network"])
async def test_without_a_network_there_is_a_loopback_only(sandbox, mode):
    async with sandbox.open(host_spec(network=NetworkPolicy(mode=mode))) as box:
        assert "lo:" in await text(box, "cat /proc/net/dev")
        assert (await text(box, "wc -l </proc/net/dev")).strip() == "3"
        assert await text(box, "tail -n +2 /proc/net/route") == ""


@pytest.mark.skipif(not HAS_GROUPS, reason="no control groups of its own: see the test of that")
@pytest.mark.must("sandbox-5")
async def test_limits_hold_and_the_next_box_opens(sandbox):
    async with sandbox.open(limited(memory_mb=64, pids=40, cpus=0.5)) as box:
        assert box.info.limits_enforced == {"memory_mb": 64, "pids": 40, "cpus": 0.5}
        hog = await box.exec(["sh", "-c", "head -c 300M /dev/zero | tail >/dev/null"])
        assert hog.exit_code != 0
        bomb = "(while :; do sleep 30 & done); echo full; while :; do :; done"
        result = await box.exec(["sh", "-c", bomb], ExecOptions(timeout_s=2))
        assert result.timed_out
        assert b"full" in result.stdout
        assert (await box.exec(["true"])).ok
        busy = ExecOptions(timeout_s=1.0)
        before = time.process_time()
        await box.exec(["sh", "-c", "while :; do :; done"], busy)
        assert time.process_time() - before < 1
    async with sandbox.open(limited(memory_mb=64)) as box:
        assert (await box.exec(["true"])).ok


@pytest.mark.must("sandbox-5")
async def test_a_full_disk_is_the_boxs_own_trouble(sandbox, cache, tmp_path):
    await _needs_disks(sandbox)
    spec = limited(storage_mb=48)
    async with sandbox.open(spec) as box:
        assert box.info.limits_enforced["storage_mb"] == 48
        await text(box, "head -c 48M /dev/zero >/usr/fits && rm /usr/fits && chown 7:8 /home")
        await box.put(b"#!/bin/sh", "/opt/tool")
        full = await box.exec(["sh", "-c", "cat /dev/zero >/tmp/big"])
        assert b"No space left" in full.stderr
        with pytest.raises(SandboxError) as said:
            await box.put(bytes(1_000_000), "/more")
        assert said.value.reason == "storage_full"
        assert (await box.exec(["rm", "/tmp/big"])).ok
        async with box.fork() as fork, sandbox.open(spec) as other:
            for each in (fork, other):
                await text(each, "head -c 40M /dev/zero >/usr/fits")
                assert not (await each.exec(["sh", "-c", "head -c 20M /dev/zero >/srv/no"])).ok
            assert await text(fork, "cat /opt/tool; stat -c %u:%g /home") == "#!/bin/sh7:8\n"
        await text(box, "head -c 40M /dev/zero >/usr/fits")
        await box.get("/opt/tool", tmp_path / "tool")
    assert await _without_loops(cache)


@pytest.mark.must("sandbox-5")
async def test_a_disk_goes_with_a_controller_that_is_killed(sandbox, tmp_path):
    await _needs_disks(sandbox)
    script = (
        "import anyio, pathlib, sys\n"
        "from mechagym.sandbox.local import LocalSandbox\n"
        "from tests.sandbox.local_parts import limited\n"
        "async def main():\n"
        "    sandbox = LocalSandbox(cache=pathlib.Path(sys.argv[1]))\n"
        "    async with sandbox.open(limited(storage_mb=99)):\n"
        "        print('open', flush=True)\n"
        "        await anyio.sleep_forever()\n"
        "anyio.run(main)\n"
    )
    argv = [sys.executable, "-c", script, str(tmp_path)]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(["", *sys.path])}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=env, cwd=PROJECT) as controller:
        assert controller.stdout is not None
        assert controller.stdout.readline() == b"open\n"
        assert len(loops(tmp_path)) == 1
        controller.kill()
    assert await _without_loops(tmp_path)


async def _needs_disks(sandbox: LocalSandbox) -> None:
    probe = await sandbox.probe()
    if "storage_mb" not in sandbox.capabilities.limits:
        pytest.skip(next(said for said in probe.evidence if said.startswith("storage limits")))


async def _without_loops(cache: Path) -> bool:
    """Whether all of a cache's loop devices go, which the kernel does in its own time."""
    with anyio.move_on_after(10):
        while loops(cache):
            await anyio.sleep(0.05)
    return not loops(cache)


@pytest.mark.skipif(HAS_GROUPS, reason="has control groups")
async def test_limits_that_cannot_hold_are_declared(sandbox):
    spec = limited(memory_mb=64, pids=40)
    async with sandbox.open(spec) as box:
        assert box.info.limits_enforced == {}
        assert box.info.limits_asked == {"memory_mb": 64, "pids": 40}
    assert unenforced(spec.limits, sandbox.capabilities) == ["memory_mb", "pids"]


async def test_files_go_in_and_out(sandbox, tmp_path):
    source = tmp_path / "in"
    (source / "sub" / "empty").mkdir(parents=True)
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o4775)
    (source / "link").symlink_to("/etc/hostname")
    (source / "big").write_bytes(os.urandom(3_000_001))
    async with sandbox.open(host_spec()) as box:
        await text(box, "mkdir -p /w && ln -s /etc /w/sub && echo old >/w/big")
        await box.put(source, "/w")
        assert await text(box, "cd /w; stat -c '%n %F %a %u' run.sh link sub sub/empty") == (
            "run.sh regular file 4775 0\nlink symbolic link 777 0\n"
            "sub directory 755 0\nsub/empty directory 755 0\n"
        )
        await box.put(b"text", "/made/for/it.txt")
        assert await text(box, "stat -c %a /made /made/for /made/for/it.txt") == "755\n755\n644\n"
        report = await box.get("/w", tmp_path / "out")
        assert (tmp_path / "out" / "big").read_bytes() == (source / "big").read_bytes()
        assert (tmp_path / "out" / "sub" / "empty").is_dir()
        assert report.files >= 2
        await box.get("/made/for/it.txt", tmp_path / "it.txt")
        assert (tmp_path / "it.txt").read_text() == "text"
        with pytest.raises(FileNotFoundError):
            await box.get("/nothing/here", tmp_path / "nothing")


async def test_a_put_replaces_a_link_and_never_follows_it(sandbox):
    async with sandbox.open(host_spec()) as box:
        await text(box, "mkdir /w; echo kept >/w/kept; ln -s kept /w/link; ln -s /w /way")
        await box.put(b"new", "/way/link")
        assert await text(box, "cat /w/kept; cat /w/link; test ! -L /w/link") == "kept\nnew"


async def test_tools_are_shown_read_only(sandbox, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "tool").write_text("here")
    spec = host_spec(mounts=(Mount(source=tools, target="/opt/tools"),))
    async with sandbox.open(spec) as box:
        assert await text(box, "cat /opt/tools/tool") == "here"
        assert not (await box.exec(["touch", "/opt/tools/new"])).ok


async def test_a_users_commands_run_as_that_user(sandbox):
    async with sandbox.open(host_spec(user="nobody", workdir="/tmp")) as box:
        assert await text(box, "id -un; pwd") == "nobody\n/tmp\n"
        root = await box.exec(["id", "-u"], ExecOptions(user="root"))
        assert root.text == "0\n"
        numbers = await box.exec(["id", "-u"], ExecOptions(user="4321:99"))
        assert numbers.text == "4321\n"
        with pytest.raises(SandboxError, match="no user 'nemo'"):
            await box.exec(["id"], ExecOptions(user="nemo"))


@pytest.mark.must("sandbox-15")
async def test_close_is_quick_with_processes_that_ignore_signals(sandbox):
    async with sandbox.open(host_spec()) as box:
        stubborn = ["sh", "-c", "trap '' TERM INT HUP; while :; do sleep 1; done"]
        await box.exec(stubborn, ExecOptions(background=True))
        began = time.monotonic()
    assert time.monotonic() - began < 1


async def test_a_close_that_takes_too_long_is_left_to_others(cache, monkeypatch):
    sandbox = LocalSandbox(cache=cache)
    async with sandbox.open(host_spec()) as box:
        monkeypatch.setattr("mechagym.sandbox.local.instance.CLOSE_S", 0.0)
    groups, left = box.instance.groups, cache / "boxes" / box.instance.box_id
    assert left.is_dir()
    with pytest.raises(BoxDied):
        await box.exec(["true"])
    await sandbox.aclose()
    if groups:
        await groups.remove()
        shutil.rmtree(left)


async def test_a_box_that_died_says_so(sandbox):
    async with sandbox.open(host_spec()) as box:
        os.kill(box.instance.pid, 9)
        with anyio.fail_after(5):
            while await box.alive():
                await anyio.sleep(0.01)
        with pytest.raises(BoxDied):
            await box.exec(["true"])
        with pytest.raises(BoxDied):
            await box.put(b"", "/f")


async def test_a_keeper_that_died_takes_its_boxes_along_and_is_replaced(sandbox):
    async with sandbox.open(host_spec()) as box:
        keeper = sandbox._plant.keeper
        os.kill(keeper.pid, 9)
        with anyio.fail_after(5):
            while keeper.alive:
                await anyio.sleep(0.01)
        with pytest.raises(BoxDied):
            await box.put(b"", "/f")
        async with sandbox.open(host_spec()) as other:
            assert await text(other, "echo on") == "on\n"
    dead = box.instance.folder.box_id
    await sandbox._plant.keeper.ask("remove", boxes=[dead])


async def test_what_it_lacks_is_refused_before_anything_starts(sandbox, cache):
    with pytest.raises(LimitRefused, match="GPU"):
        async with sandbox.open(limited(gpus=1)):
            pass
    assert folders(cache) == set()


async def test_an_error_in_the_body_comes_out_as_it_is(sandbox):
    with pytest.raises(ZeroDivisionError):
        async with sandbox.open(host_spec()):
            _ = 1 / 0


async def test_a_cancel_closes_the_box(sandbox, cache):
    with anyio.move_on_after(0.5) as scope:
        async with sandbox.open(host_spec()) as box:
            await box.exec(["sleep", "60"])
    assert scope.cancelled_caught
    assert folders(cache) == set()


async def test_a_cancel_at_any_moment_leaves_nothing(cache):
    for delay_ms in (0, 10, 25, 50, 75, 100, 125, 150, 200, 250, 300, 400):
        sandbox = LocalSandbox(cache=cache)
        with anyio.move_on_after(delay_ms / 1000) as scope:
            async with sandbox.open(host_spec()) as box:
                await box.exec(["sleep", "60"])
        assert scope.cancelled_caught, delay_ms
        assert folders(cache) == set(), delay_ms
        await sandbox.aclose()


async def test_whoever_is_cancelled_still_has_the_box_to_tidy_up(sandbox, tmp_path):
    with anyio.CancelScope() as scope:
        async with sandbox.open(host_spec()) as box:
            try:
                await box.put(b"kept", "/evidence")
                scope.cancel()
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await box.get("/evidence", tmp_path / "evidence")
    assert scope.cancelled_caught
    assert (tmp_path / "evidence").read_bytes() == b"kept"


async def test_many_boxes_at_once(sandbox):
    async def one(number: int) -> None:
        async with sandbox.open(host_spec()) as box:
            said.add(await text(box, f"echo {number}; hostname"))

    said: set[str] = set()
    async with anyio.create_task_group() as tasks:
        for number in range(16):
            tasks.start_soon(one, number)
    assert len(said) == 16


@pytest.mark.must("sandbox-16")
async def test_secrets_stand_in_no_argument_and_no_environment(sandbox):
    async with sandbox.open(host_spec()) as box:
        task_secret = ExecOptions(env={"TOKEN": "s3cr3t-value"}, background=True)
        await box.exec(["sleep", "30"], task_secret)
        mine = sandbox._plant.keeper.pid
        host = Path("/proc/self/ns/pid").stat().st_ino
        for pid in [mine, *_children(mine)]:
            with suppress(FileNotFoundError, ProcessLookupError):  # it may end meanwhile
                if Path(f"/proc/{pid}/ns/pid").stat().st_ino == host:
                    for name in ("cmdline", "environ"):
                        assert b"s3cr3t-value" not in Path(f"/proc/{pid}/{name}").read_bytes()


def _children(pid: int) -> list[int]:
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(line), *_children(int(line))]
    return found
