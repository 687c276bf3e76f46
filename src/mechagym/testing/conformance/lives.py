"""Checks of forks, and of how boxes open, die and close."""

from contextlib import AsyncExitStack
from dataclasses import replace

import anyio
from anyio.abc import ByteStream

from mechagym.errors import BoxDied, LimitRefused, SandboxError
from mechagym.sandbox.base import Box, ExecOptions, Healthcheck, NetworkPolicy, ReapScope
from mechagym.testing.conformance.subject import Collection, Subject, same, that

FORKS = Collection(section=3)
LIVES = Collection(section=1)
fork_check, check = FORKS.check, LIVES.check

CLOSE_S = 10.0


@fork_check("fork", ways=("lane",))
async def a_fork_equals_its_parent(subject: Subject) -> None:
    await subject.sh(
        "mkdir -p /tmp/f/empty; echo a >/tmp/f/a; ln -s a /tmp/f/l; chmod 700 /tmp/f/a"
    )
    look = "cd /tmp/f; cat a l; stat -c %a a; ls -A; pwd; echo $SPEC_ENV; id -un"
    parent = (await subject.sh(look)).stdout
    async with subject.box.fork() as fork:
        same((await fork.exec(["sh", "-c", look])).stdout, parent)
        same((await fork.exec(["pwd"])).text, f"{subject.spec.workdir}\n")
        that(fork.info.box_id != subject.box.info.box_id, fork.info)


@fork_check("fork", ways=("lane",))
async def a_fork_and_its_parent_do_not_see_each_other(subject: Subject) -> None:
    await subject.sh("echo old >/tmp/shared; echo old >/tmp/removed")
    async with subject.box.fork() as fork:
        await fork.exec(["sh", "-c", "echo fork >/tmp/shared; rm /tmp/removed; echo x >/tmp/new"])
        same((await fork.exec(["cat", "/tmp/shared"])).stdout, b"fork\n")
    look = "cat /tmp/shared /tmp/removed; [ -e /tmp/new ] || echo none"
    same((await subject.sh(look)).stdout, b"old\nold\nnone\n")


@fork_check("fork", ways=("lane",))
async def three_forks_side_by_side_differ(subject: Subject) -> None:
    await subject.sh("echo base >/tmp/base")
    async with AsyncExitStack() as stack:
        forks = [await stack.enter_async_context(subject.box.fork()) for _ in range(3)]
        for number, fork in enumerate(forks):
            await fork.exec(["sh", "-c", f"echo {number} >>/tmp/base"])
        for number, fork in enumerate(forks):
            text = (await fork.exec(["cat", "/tmp/base"])).text
            same(text, f"base\n{number}\n")
    same((await subject.sh("cat /tmp/base")).stdout, b"base\n")


@fork_check("fork", ways=("lane",))
async def a_fork_of_a_fork(subject: Subject) -> None:
    async with subject.box.fork() as child:
        await child.exec(["sh", "-c", "echo child >/tmp/depth"])
        async with child.fork() as grandchild:
            same((await grandchild.exec(["cat", "/tmp/depth"])).stdout, b"child\n")
            await grandchild.exec(["sh", "-c", "echo more >>/tmp/depth"])
        same((await child.exec(["cat", "/tmp/depth"])).stdout, b"child\n")


@fork_check("fork", ways=("lane",))
async def a_fork_under_writing_load_stands_still(subject: Subject) -> None:
    writer = "i=0; while :; do i=$((i+1)); echo $i >>/tmp/load; sleep 0.01; done"
    await subject.sh(writer, background=True)
    await anyio.sleep(0.3)
    async with subject.box.fork() as fork:
        first = (await fork.exec(["cat", "/tmp/load"])).stdout
        await anyio.sleep(0.3)
        same((await fork.exec(["cat", "/tmp/load"])).stdout, first)
        lines = first.split()
        same(lines, [str(n).encode() for n in range(1, len(lines) + 1)])
        that(lines)


@fork_check("fork", ways=("lane",))
async def the_parent_goes_on_after_its_forks(subject: Subject) -> None:
    result = await subject.sh("sleep 60; :", background=True)
    async with subject.box.fork():
        pass
    same((await subject.sh(f"kill -0 {result.pid} && echo on")).stdout, b"on\n")


@fork_check("fork", ways=("lane",))
async def a_fork_has_none_of_the_processes(subject: Subject) -> None:
    result = await subject.sh("sleep 6543; :", background=True)
    async with subject.box.fork() as fork:
        look = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'sleep 6543'; :"
        seen = (await fork.exec(["sh", "-c", look])).text.strip()
        that(seen in ("0", "1"), (seen, result.pid))  # 1: the one that looks


@fork_check("fork", ways=("lane",))
async def an_adopted_fork_is_the_box(subject: Subject) -> None:
    async with subject.sandbox.open(subject.spec) as box:
        await box.exec(["sh", "-c", "echo before >/tmp/who"])
        async with box.fork() as fork:
            await fork.exec(["sh", "-c", "echo fork >/tmp/who"])
            await box.adopt(fork)
        that(await box.alive())
        same((await box.exec(["cat", "/tmp/who"])).stdout, b"fork\n")
        await box.put(b"after", "/tmp/after")
        same((await box.exec(["cat", "/tmp/after"])).stdout, b"after")


@check(ways=("lane",))
async def a_closed_box_is_dead_and_says_so(subject: Subject) -> None:
    async with subject.sandbox.open(subject.spec) as box:
        that(await box.alive())
    that(not await box.alive())
    with anyio.fail_after(CLOSE_S):
        try:
            await box.exec(["true"])
        except BoxDied:
            return
    raise AssertionError("a command ran in a closed box")


@check("destroy", ways=("lane",))
async def a_killed_box_is_told_at_once(subject: Subject) -> None:
    assert subject.destroy is not None
    async with subject.sandbox.open(subject.spec) as box:
        await subject.destroy(box)
        with anyio.fail_after(CLOSE_S):
            that(not await box.alive())
            try:
                await box.exec(["true"])
            except BoxDied:
                return
        raise AssertionError("a command ran in a killed box")


@check("destroy", ways=("lane",))
async def a_box_that_dies_under_a_command_ends_it(subject: Subject) -> None:
    assert subject.destroy is not None
    async with subject.sandbox.open(subject.spec) as box:

        async def end() -> None:
            assert subject.destroy is not None
            await anyio.sleep(0.5)
            await subject.destroy(box)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end)
            with anyio.fail_after(CLOSE_S):
                try:
                    result = await box.exec(["sleep", "60"])
                except BoxDied:
                    return
            that(result.signal is not None, result)


@check(ways=("lane",))
async def close_is_quick_whatever_still_runs(subject: Subject) -> None:
    async with subject.sandbox.open(subject.spec) as box:
        stubborn = "trap '' TERM INT HUP; while :; do sleep 1; done"
        for _ in range(3):
            await box.exec(["sh", "-c", stubborn], subject.options(background=True))
        began = anyio.current_time()
    that(anyio.current_time() - began < CLOSE_S, anyio.current_time() - began)


@check(ways=("lane",))
async def a_cancelled_box_is_closed(subject: Subject) -> None:
    boxes = []
    with anyio.move_on_after(20) as scope:
        async with subject.sandbox.open(subject.spec) as box:
            boxes.append(box)
            scope.cancel()
            await anyio.sleep_forever()
    that(boxes and not await boxes[0].alive())


@check(ways=("lane",))
async def an_error_inside_is_passed_on(subject: Subject) -> None:
    class Own(Exception):
        pass

    try:
        async with subject.sandbox.open(subject.spec) as box:
            raise Own  # noqa: TRY301 (to see it come out of the box)
    except Own:
        that(not await box.alive())
        return
    raise AssertionError("the error did not come out")


@check(ways=("lane",))
async def boxes_do_not_see_each_other(subject: Subject) -> None:
    await subject.box.put(b"mine", "/tmp/mine")
    async with subject.sandbox.open(subject.spec) as other:
        same((await other.exec(["sh", "-c", "[ -e /tmp/mine ] || echo none"])).stdout, b"none\n")


@check(ways=("lane",))
async def many_boxes_open_at_once(subject: Subject) -> None:
    async def one(number: int) -> None:
        async with subject.sandbox.open(subject.spec) as box:
            same((await box.exec(["echo", str(number)])).stdout, f"{number}\n".encode())

    with anyio.fail_after(90):
        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(one, number)


@check()
async def environment_and_directory_of_the_spec_are_there(subject: Subject) -> None:
    result = await subject.sh('pwd; printf "%s" "$SPEC_ENV"')
    same(result.stdout, f"{subject.spec.workdir}\nof the spec".encode())


@check(ways=("lane",))
async def the_user_of_the_spec_is_the_one_who_works(subject: Subject) -> None:
    async with subject.sandbox.open(replace(subject.spec, user="nobody")) as box:
        same((await box.exec(["id", "-un"])).text.strip(), "nobody")
        same((await box.exec(["id", "-un"], subject.options(user="root"))).text.strip(), "root")
        same(box.info.user, "nobody")


@check(ways=("lane",))
async def a_healthy_box_opens_and_another_does_not(subject: Subject) -> None:
    health = Healthcheck(command="[ $((1+1)) = 2 ]", interval_s=0.1, timeout_s=5)
    async with subject.sandbox.open(replace(subject.spec, healthcheck=health)) as box:
        that(await box.alive())
    ill = replace(health, command="exit 1", retries=2)
    try:
        async with subject.sandbox.open(replace(subject.spec, healthcheck=ill)):
            pass
    except SandboxError:
        return
    raise AssertionError("a box opened that is not healthy")


@check(ways=("lane",))
async def what_cannot_be_enforced_is_refused(subject: Subject) -> None:
    limits = replace(subject.spec.limits, gpus=subject.sandbox.capabilities.gpus + 1)
    try:
        async with subject.sandbox.open(replace(subject.spec, limits=limits)):
            pass
    except LimitRefused:
        return
    raise AssertionError("a box opened without the GPU it asked for")


@check("no-network", ways=("lane",))
async def a_box_without_network_opens(subject: Subject) -> None:
    spec = replace(subject.spec, network=NetworkPolicy(mode="no-network"))
    async with subject.sandbox.open(spec) as box:
        same(box.info.network, "no-network")
        same((await box.exec(["echo", "in"])).stdout, b"in\n")


@check("door", "no-network", "fork", ways=("lane",))
async def a_door_answers_inside_of_a_closed_box(subject: Subject) -> None:
    heard: list[bytes] = []

    async def door(stream: ByteStream) -> None:
        heard.append(await stream.receive(5))  # in two parts: nothing of what came first is lost
        heard[-1] += await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nfrom\x00\xff")

    spec = replace(subject.spec, network=NetworkPolicy(mode="no-network"), door=door)
    async with subject.sandbox.open(spec) as box:
        same(subject.box.info.door, None)
        that((await _asked(box, "/v1/x", b"body")).endswith(b"from\x00\xff"))
        async with box.fork() as fork:
            that((await _asked(fork, "/v1/x", b"body")).endswith(b"from\x00\xff"))
        same(heard, [b"POST /v1/x HTTP/1.1\r\n\r\nbody"] * 2)
        that(b"403" in await _asked(box, "http://example.org/"))


async def _asked(box: Box, target: str, body: bytes = b"") -> bytes:
    """What is answered at the box's door, as seen by a program in it."""
    host, _, port = (box.info.door or "").removeprefix("http://").partition(":")
    request = f"POST {target} HTTP/1.1\r\n\r\n".encode() + body
    line = f"exec 3<>/dev/tcp/{host}/{port}; cat >&3; cat <&3"
    return (await box.exec(["bash", "-c", line], ExecOptions(stdin=request, timeout_s=10))).stdout


@check(ways=("lane",))
async def a_sweep_leaves_live_boxes_alone(subject: Subject) -> None:
    await subject.sandbox.reap(ReapScope())
    that(await subject.box.alive())
    same((await subject.sh("echo on")).stdout, b"on\n")
