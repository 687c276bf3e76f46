"""Lanes against a real `sh` in namespaces of its own: fast, without an engine."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Sequence

import anyio
import pytest
from anyio.abc import Process, TaskGroup

from mechagym.errors import BoxDied
from mechagym.sandbox import shell as text
from mechagym.sandbox.base import ExecOptions, Stream
from mechagym.sandbox.capture import Taps
from mechagym.sandbox.lane import BROKEN
from mechagym.sandbox.lanes import LanePool, Machine
from mechagym.sandbox.processes import processes, stop_agent

TINI: str = shutil.which("tini-static") or shutil.which("docker-init") or ""
SHELLS = [s for s in ("dash", "bash", "busybox") if shutil.which(s)]
NAMESPACES = ["unshare", "--user", "--map-root-user", "--pid", "--mount", "--fork", "--kill-child"]

pytestmark = pytest.mark.skipif(not TINI, reason="install tini (apt-get install tini)")


class Pipes:
    """A local process as a Channel."""

    def __init__(self, process: Process, tasks: TaskGroup) -> None:
        assert process.stdin
        self.process = process
        self._stdin = process.stdin
        streams = anyio.create_memory_object_stream[tuple[Stream, bytes]](16)
        self._send, self._receive = streams
        self._open = 2
        for name in ("stdout", "stderr"):
            tasks.start_soon(self._pump, name)

    async def _pump(self, name: Stream):
        with contextlib.suppress(*BROKEN):
            while True:
                data = await getattr(self.process, name).receive()
                await self._send.send((name, data))
        self._open -= 1
        if not self._open:
            self._send.close()

    async def send(self, data):
        await self._stdin.send(data)

    async def send_eof(self):
        await self._stdin.aclose()

    async def receive(self):
        return await self._receive.receive()

    async def aclose(self) -> None:
        await self._stdin.aclose()
        self._send.close()
        self._receive.close()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.aclose()


class Box:
    """A pid namespace with lanes in it."""

    def __init__(self, shell: str, tasks: TaskGroup) -> None:
        self.sh = [shell] if shell != "busybox" else ["busybox", "sh"]
        self.tasks = tasks
        self.init = 0

    async def start(self) -> Pipes:
        argv = [*NAMESPACES, "--mount-proc", TINI, "--", *self.sh]
        process = await anyio.open_process(argv)
        main = Pipes(process, self.tasks)
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        while not self.init:
            with contextlib.suppress(IndexError):
                self.init = int((await anyio.Path(children).read_text()).split()[0])
            await anyio.sleep(0.01)
        return main

    async def spawn(self, argv: Sequence[str], user: str | None):
        enter = ["nsenter", "-t", str(self.init), "-U", "--preserve-credentials", "-p", "-m"]
        with anyio.CancelScope(shield=True):  # asyncio leaks a process that is cancelled in birth
            process = await anyio.open_process([*enter, *self.sh, *argv[1:]])
        return Pipes(process, self.tasks)

    async def alive(self):
        return await anyio.Path(f"/proc/{self.init}/root/proc").exists()


@contextlib.asynccontextmanager
async def open_pool(shell: str, *, guards: bool = False) -> AsyncIterator[LanePool]:
    async with anyio.create_task_group() as tasks:
        box = Box(shell, tasks)
        main = await box.start()
        machine = Machine(spawn=box.spawn, alive=box.alive, subreaper=TINI, guards=guards)
        try:
            async with LanePool(machine, main) as pool:
                yield pool
        finally:
            with anyio.CancelScope(shield=True):
                await main.aclose()
            tasks.cancel_scope.cancel()


@pytest.fixture(params=[(shell, guards) for shell in SHELLS for guards in (False, True)], ids=str)
async def pool(request):
    shell, guards = request.param
    async with open_pool(shell, guards=guards) as pool:
        assert not guards or pool.processes._shells.guarded
        yield pool


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


FALLBACK = ExecOptions(fallback=True)


@pytest.mark.parametrize("options", [ExecOptions(), FALLBACK], ids=["lane", "fallback"])
class TestAnyWay:
    async def test_streams_are_apart_and_exit_codes_are_data(self, pool, options):
        result = await pool.exec(sh("echo out; echo err >&2; exit 7"), options)
        assert (result.exit_code, result.stdout, result.stderr) == (7, b"out\n", b"err\n")

    async def test_binary_without_newline_and_closed_descriptors(self, pool, options):
        script = r"printf '\000\377\036x\n\036'; printf e >&2; exec 1>&- 2>&-; exit 3"
        result = await pool.exec(sh(script), options)
        assert (result.exit_code, result.stdout, result.stderr) == (3, b"\0\xff\x1ex\n\x1e", b"e")

    async def test_words_are_data(self, pool, options):
        words = ["$(id)", "`id`", "a b", "'\"\\", "é\n\n", "*", "", "-n", ";exit", "\udcff"]
        result = await pool.exec(["printf", "%s\\0", *words], options)
        expected = b"".join(w.encode("utf-8", "surrogateescape") + b"\0" for w in words)
        assert result.stdout == expected

    async def test_signals_missing_programs_and_folders(self, pool, options):
        result = await pool.exec(sh("kill -9 $$"), options)
        assert (result.exit_code, result.signal, result.stderr) == (137, 9, b"")
        assert (await pool.exec(["no-such-program"], options)).exit_code == 127
        gone = ExecOptions(cwd="/no/such", fallback=options.fallback)
        assert (await pool.exec(["pwd"], gone)).exit_code == 126

    async def test_a_word_too_many_for_any_argument_list_is_data(self, pool, options):
        result = await pool.exec(["true", "x" * 200_000], options)
        assert result.exit_code not in (0, None)
        assert (await pool.exec(["true"], options)).ok


async def test_env_and_cwd_are_the_commands_only(pool):
    options = ExecOptions(cwd="/usr", env={"A": "x'y\n$z", "odd.name": "1"})
    assert (await pool.exec(sh('pwd; printf %s "$A"'), options)).text == "/usr\nx'y\n$z"
    assert "\nodd.name=1\n" in (await pool.exec(["env"], options)).text
    assert (await pool.exec(sh('printf "%s" "$A"'))).stdout == b""


async def test_stdin_reaches_the_command_whole_and_alone(pool):
    data = bytes(range(256)) * 4096
    result = await pool.exec(["md5sum"], ExecOptions(stdin=data))
    assert (
        result.text.split()[0]
        == subprocess.run(["md5sum"], input=data, capture_output=True, check=True)
        .stdout.decode()
        .split()[0]
    )
    assert (await pool.exec(["true"], ExecOptions(stdin=data))).ok
    assert (await pool.exec(["cat"])).stdout == b""


async def test_concurrent_commands_do_not_wait_for_each_other(pool):
    results = {}

    async def run(n: int):
        results[n] = await pool.exec(sh(f"sleep 0.2; echo {n}"))

    async with anyio.create_task_group() as tasks:
        for n in range(4):
            tasks.start_soon(run, n)
    assert {n: r.text for n, r in results.items()} == {n: f"{n}\n" for n in range(4)}


async def test_output_is_capped_and_counted(pool):
    seen = 0

    def count(stream: Stream, data: bytes):
        nonlocal seen
        seen += len(data)

    options = ExecOptions(limit_bytes=1000, on_output=count)
    result = await pool.exec(sh("echo begin; head -c 3000000 /dev/zero; echo end"), options)
    assert result.stdout_total == seen == 3_000_010
    assert len(result.stdout) <= 1000
    assert result.stdout.startswith(b"begin\n")
    assert result.stdout.endswith(b"\0end\n")
    assert b"bytes left out" in result.stdout


async def test_a_stray_holds_no_command_open_and_mixes_with_none(pool):
    began = time.monotonic()
    result = await pool.exec(sh("(sleep 0.3; echo late; sleep 30) & echo now"))
    assert result.text == "now\n"
    assert time.monotonic() - began < 5
    assert (await pool.exec(sh("sleep 0.6; echo mine"))).text == "mine\n"
    assert "sleep" in {p.comm for p in await processes(pool.processes)}


ESCAPES = {
    "plain": "sleep 300",
    "setsid": "setsid sleep 300 & wait",
    "nohup": "nohup sleep 300 >/dev/null 2>&1 & sleep 300",
    "double fork": "( ( setsid sleep 300 & ) & ); sleep 300",
    "trap": "trap '' TERM INT HUP; while :; do sleep 300; done",
    "stopped": "setsid sh -c 'kill -STOP $$; sleep 300' & sleep 300",
}


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("fallback", [False, True], ids=["lane", "fallback"])
async def test_a_timeout_leaves_nothing(pool, name, fallback):
    options = ExecOptions(timeout_s=0.3, fallback=fallback)
    began = time.monotonic()
    result = await pool.exec(sh(f"echo part; {ESCAPES[name]}"), options)
    assert time.monotonic() - began < 2.3
    assert (result.timed_out, result.exit_code, result.stdout) == (True, None, b"part\n")
    assert not [p for p in await processes(pool.processes) if p.comm == "sleep" and not p.zombie]
    assert (await pool.exec(["echo", "next"])).text == "next\n"


async def test_a_cancel_leaves_nothing(pool):
    with anyio.move_on_after(0.3) as scope:
        await pool.exec(sh("setsid sleep 300 & sleep 300"))
    assert scope.cancelled_caught
    assert not [p for p in await processes(pool.processes) if p.comm == "sleep" and not p.zombie]
    assert (await pool.exec(["echo", "next"])).text == "next\n"


async def test_a_killed_lane_is_replaced(pool):
    result = await pool.exec(sh("sleep 0.1; kill -9 $(cut -d' ' -f4 /proc/$PPID/stat)"), FALLBACK)
    assert result.exit_code == 137
    assert (await pool.exec(["echo", "next"])).text == "next\n"


async def test_signals_to_every_shell_do_not_end_the_box(pool):
    await pool.exec(sh("kill -TERM $(cut -d' ' -f4 /proc/$PPID/stat); sleep 0.1"))
    assert (await pool.exec(["echo", "next"])).text == "next\n"


async def test_a_dead_box_says_so(pool):
    for script in ("kill -9 -1; sleep 5", "true"):
        with pytest.raises(BoxDied):
            await pool.exec(sh(script))


async def test_background_goes_on_and_is_found_by_its_pid(pool):
    result = await pool.exec(["sleep", "300"], ExecOptions(background=True))
    assert result.exit_code is None
    assert result.pid
    await pool.exec(["sleep", "300"], ExecOptions(timeout_s=0.1))
    assert result.pid in {p.pid for p in await processes(pool.processes) if not p.zombie}
    await pool.exec(["kill", str(result.pid)])


async def test_after_retire_no_shell_is_shared(pool):
    before = (await pool.exec(sh("cut -d' ' -f4 /proc/$PPID/stat"))).text
    await pool.retire()
    after = (await pool.exec(sh("cut -d' ' -f4 /proc/$PPID/stat"))).text
    assert before != after


LISTENER = """
import pathlib, socket, sys, time
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()
pathlib.Path(sys.argv[1]).touch(); time.sleep(300)
"""


async def test_stop_agent_keeps_who_listens(pool, tmp_path):
    python = shutil.which("python3")
    await pool.exec(sh("nohup sh -c 'while :; do sleep 0.05; done' >/dev/null 2>&1 &"))
    serve = 'nohup "$0" -c "$1" "$2" >/dev/null 2>&1 & while ! [ -e "$2" ]; do sleep 0.1; done'
    await pool.exec([*sh(serve), python, LISTENER, str(tmp_path / "up")])
    report = await stop_agent(pool)
    assert [line.split()[1] for line in report.kept] == ["python3:"]
    left = {p.comm for p in await processes(pool.processes) if not p.zombie}
    assert "python3" in left
    assert "sleep" not in left


async def test_a_question_is_answered_out_of_a_flood(pool):
    seen = bytearray()
    options = ExecOptions(on_output=lambda _, data: seen.extend(data))
    flood = "head -c 3000000 /dev/zero | tr '\\0' 'x'; sleep 0.2; head -c 3000000 /dev/zero"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pool.exec, sh(flood), options)
        while len(seen) < 6_000_000:
            with anyio.move_on_after(0.002):  # a question that nobody waits for any more
                await processes(pool.processes)
            assert len(await processes(pool.processes)) > 2
    assert bytes(seen) == b"x" * 3_000_000 + bytes(3_000_000)
    assert (await pool.exec(["echo", "next"])).stdout == b"next\n"


@contextlib.asynccontextmanager
async def guarded(shell: str) -> AsyncIterator[tuple[LanePool, int]]:
    async with open_pool(shell, guards=True) as pool:
        lane = pool.processes._shells.guarded
        assert lane is not None
        yield pool, lane.guard


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_shell_outlives_its_guard(shell: str):
    async with guarded(shell) as (pool, guard):
        await pool.exec(["kill", "-9", str(guard)])
        for number in range(3):
            assert (await pool.exec(["echo", str(number)])).text == f"{number}\n"
        result = await pool.exec(sh("setsid sleep 300 & sleep 300"), ExecOptions(timeout_s=0.3))
        assert result.timed_out
        assert "sleep" not in {p.comm for p in await processes(pool.processes) if not p.zombie}
        assert (await pool.exec(["echo", "next"])).text == "next\n"


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_command_sees_no_descriptor_of_ours(shell: str):
    async with guarded(shell) as (pool, _):
        for options in (ExecOptions(), FALLBACK):
            listed = await pool.exec(["ls", "/proc/self/fd"], options)
            assert listed.text.split() == ["0", "1", "2", "3"]  # 3: the folder itself


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_guard_of_the_agents_time_is_asked_no_more(shell: str):
    async with guarded(shell) as (pool, guard):
        await stop_agent(pool)
        await pool.exec(["true"])
        later = pool.processes._shells.guarded
        assert later is not None
        assert later.guard not in (0, guard)


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_question_that_comes_too_soon_is_lost_at_worst(shell: str):
    question = text.question(": kill -KILL $$\n")
    async with guarded(shell) as (pool, _):
        lane = pool.processes._shells.guarded
        assert lane is not None
        for cut in range(len(question) + 1):
            taps = lane._taps = Taps(f"{cut:032}", ExecOptions())
            program = text.guarded(text.foreground("exec true", taps.nonce, ()))
            await lane.channel.send((program + question[:cut]).encode())
            await lane.listen(taps)
            await lane.channel.send(question[cut:].encode())
            assert (await pool.exec(["echo", str(cut)])).text == f"{cut}\n"
        assert await pool.processes.script("__mg_tell here\n") == b"here\n"
        assert pool.processes._shells.guarded is lane


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_command_is_killed_at_any_moment(shell: str):
    async with guarded(shell) as (pool, _):
        for number in range(12):
            options = ExecOptions(timeout_s=number / 2000)
            assert (await pool.exec(sh("setsid sleep 300 & sleep 300"), options)).timed_out
            assert "sleep" not in {p.comm for p in await processes(pool.processes) if not p.zombie}
        assert (await pool.exec(["echo", "next"])).text == "next\n"
