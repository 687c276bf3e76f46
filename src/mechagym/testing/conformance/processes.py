"""Checks of processes: what must die dies within two seconds, what must live lives."""

from collections.abc import Awaitable, Callable

import anyio

from mechagym.sandbox.base import ExecResult
from mechagym.testing.conformance.subject import Collection, Subject, same, that

PROCESSES = Collection(section=1)
check = PROCESSES.check

KILL_S = 2.0
# each leaves its pid in /tmp/pids and wants to outlive its parent
STUBBORN = {
    "plain": "echo $$ >>/tmp/pids; sleep 300",
    "child": "sleep 300 & echo $! >>/tmp/pids; wait",
    "double fork": "( ( sleep 300 & echo $! >>/tmp/pids ) & ) ; sleep 300",
    "setsid": "setsid sh -c 'echo $$ >>/tmp/pids; sleep 300; :' & sleep 300",
    "nohup": "nohup sh -c 'echo $$ >>/tmp/pids; sleep 300; :' >/dev/null 2>&1 & sleep 300",
    "trap": "trap '' TERM INT HUP QUIT; echo $$ >>/tmp/pids; sleep 300; sleep 300; sleep 300",
    "trap in a session of its own": (
        "setsid sh -c \"trap '' TERM INT HUP; echo \\$\\$ >>/tmp/pids; "
        'while :; do sleep 1; done" & sleep 300'
    ),
    "stopped": "sh -c 'echo $$ >>/tmp/pids; kill -STOP $$; :' & sleep 300",
    "stopped, itself": "echo $$ >>/tmp/pids; kill -STOP $$; sleep 300",
    "closed output": "exec >/dev/null 2>&1; echo $$ >>/tmp/pids; sleep 300; :",
}


_LIVING = r"""
for p in $(cat /tmp/pids 2>/dev/null); do
  kill -0 "$p" 2>/dev/null || continue
  if [ -e "/proc/$p/stat" ]; then  # a zombie is dead, and only waits to be counted
    read -r line <"/proc/$p/stat"
    case "${line##*) }" in Z*) continue ;; esac
  fi
  echo "$p"
done
"""


async def _living(subject: Subject) -> list[str]:
    """Which of the noted processes still live."""
    return (await subject.box.exec(["sh", "-c", _LIVING])).text.split()


async def _noted(subject: Subject, count: int = 1) -> None:
    with anyio.fail_after(10):
        while len((await subject.box.exec(["cat", "/tmp/pids"])).text.split()) < count:
            await anyio.sleep(0.05)


def _timeout_kills(name: str) -> Callable[[Subject], Awaitable[None]]:
    async def run(subject: Subject) -> None:
        with anyio.fail_after(1.0 + KILL_S + 3.0):
            result = await subject.sh(f"rm -f /tmp/pids; {STUBBORN[name]}", timeout_s=1.0)
        same((result.timed_out, result.exit_code), (True, None))
        that(result.duration_s < 1.0 + KILL_S, result.duration_s)
        same((await subject.sh("cat /tmp/pids | wc -l")).text.strip(), "1")
        same(await _living(subject), [])

    run.__name__ = f"a_timeout_kills_{name.replace(', ', '_').replace(' ', '_')}"
    return run


for _name in STUBBORN:
    check()(_timeout_kills(_name))


@check()
async def a_cancel_kills_everything_too(subject: Subject) -> None:
    await subject.sh("rm -f /tmp/pids")
    with anyio.fail_after(10 + KILL_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(subject.sh, STUBBORN["trap in a session of its own"])
            await _noted(subject)
            tasks.cancel_scope.cancel()
    same(await _living(subject), [])


@check()
async def what_was_said_before_a_timeout_is_returned(subject: Subject) -> None:
    result = await subject.sh("echo early; echo err >&2; sleep 60", timeout_s=1.0)
    same((result.stdout, result.stderr, result.timed_out), (b"early\n", b"err\n", True))


@check()
async def a_timeout_in_the_midst_of_much_output(subject: Subject) -> None:
    with anyio.fail_after(10):
        result = await subject.run(["yes"], timeout_s=1.0, limit_bytes=1000)
    that(result.timed_out and result.stdout_total > 1000, result)
    same((await subject.sh("echo next")).stdout, b"next\n")


@check()
async def a_timeout_hurts_no_other_command(subject: Subject) -> None:
    results: list[ExecResult] = []

    async def other() -> None:
        results.append(await subject.sh("sleep 2; echo done"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        await anyio.sleep(0.2)
        await subject.sh("sleep 60", timeout_s=0.5)
    same((results[0].stdout, results[0].exit_code), (b"done\n", 0))


@check()
async def a_quick_command_is_not_timed_out(subject: Subject) -> None:
    result = await subject.sh("echo quick", timeout_s=30.0)
    same((result.timed_out, result.exit_code), (False, 0))


@check()
async def what_a_command_leaves_in_the_background_lives_on(subject: Subject) -> None:
    with anyio.fail_after(10):
        result = await subject.sh(
            "rm -f /tmp/pids; setsid sleep 30 >/dev/null 2>&1 & echo $! >/tmp/pids"
        )
    same(result.exit_code, 0)
    that(await _living(subject))


@check()
async def a_daemon_that_holds_the_output_holds_up_nobody(subject: Subject) -> None:
    with anyio.fail_after(10):
        result = await subject.sh("( sleep 1; echo stray; echo stray >&2; sleep 20 ) & echo mine")
    same((result.stdout, result.exit_code), (b"mine\n", 0))
    for _ in range(3):
        result = await subject.sh("sleep 0.6; echo next")
        same((result.stdout, result.stderr), (b"next\n", b""))


@check()
async def a_background_command_lives_until_it_is_stopped(subject: Subject) -> None:
    with anyio.fail_after(10):
        result = await subject.sh("echo $$ >/tmp/pids; sleep 60; :", background=True)
        await _noted(subject)
    that(result.exit_code is None and result.pid, result)
    that(await _living(subject))
    await subject.sh(f"kill -9 {result.pid}")
    with anyio.fail_after(5):
        while await _living(subject):
            await anyio.sleep(0.05)


@check()
async def a_background_command_survives_the_timeout_of_another(subject: Subject) -> None:
    await subject.sh("rm -f /tmp/pids")
    result = await subject.sh("echo $$ >/tmp/pids; sleep 60; :", background=True)
    await _noted(subject)
    await subject.sh("sleep 60", timeout_s=0.5)
    that(await _living(subject), result)


@check("pids")
async def too_many_processes_are_refused_and_the_box_lives(subject: Subject) -> None:
    count = subject.spec.limits.pids * 2
    text = f"i=0; while [ $i -lt {count} ]; do sleep 3 & i=$((i+1)); done; wait; echo all"
    with anyio.fail_after(60):
        result = await subject.sh(text, timeout_s=20)
        that(not result.ok or b"all" not in result.stdout or result.stderr, result)
        await anyio.sleep(3.5)
        same((await subject.sh("echo alive")).stdout, b"alive\n")
