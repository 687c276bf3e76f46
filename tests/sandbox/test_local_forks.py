"""Forks of local boxes: equal at the moment, apart afterwards, cheap, deep, and nothing left."""

import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anyio
import pytest

from mechagym.errors import SandboxError
from mechagym.sandbox.base import ExecOptions, Limits
from mechagym.sandbox.local.box import MAX_LAYERS
from tests.sandbox.local_parts import folders, host_spec, text

if TYPE_CHECKING:
    from mechagym.sandbox.local.box import LocalBox

pytestmark = pytest.mark.live


async def test_a_fork_is_equal_and_apart(sandbox):
    async with sandbox.open(host_spec(workdir="/w", env={"A": "1"})) as box:
        await text(box, "echo before >file; mkdir gone; echo x >gone/x; chmod 640 file")
        async with box.fork() as fork:
            assert await text(fork, "pwd; echo $A; cat file; stat -c %a file; hostname") == (
                f"/w\n1\nbefore\n640\n{box.info.hostname}\n"
            )
            await text(fork, "echo after >file; rm -r gone; touch new")
        assert await text(box, "cat file gone/x; ls") == "before\nx\nfile\ngone\n"


@pytest.mark.must("sandbox-9")
async def test_a_fork_under_writing_load_stands_still_and_leaks_nothing(sandbox):
    count = "i=0; while :; do i=$((i+1)); echo $i >>/log; done"
    async with sandbox.open(host_spec()) as box:
        await box.exec(["sh", "-c", count], ExecOptions(background=True))
        await anyio.sleep(0.2)
        seen = set()
        async with AsyncExitStack() as stack:
            forks = [await stack.enter_async_context(box.fork()) for _ in range(3)]
            for _ in range(3):
                for fork in forks:
                    seen.add(await text(fork, "md5sum </log; wc -l </log"))
                    await anyio.sleep(0.05)
            await text(forks[0], "echo leak >>/log; touch /leak")
            assert len(seen) == 1
            assert not (await forks[1].exec(["test", "-e", "/leak"])).ok
            with pytest.raises(SandboxError, match="stands still"):
                await box.exec(["true"])
        before = int(await text(box, "wc -l </log"))
        await anyio.sleep(0.2)
        assert int(await text(box, "wc -l </log")) > before, "its processes go on"
        assert not (await box.exec(["grep", "leak", "/log"])).ok
        assert not (await box.exec(["test", "-e", "/leak"])).ok


@pytest.mark.must("sandbox-9")
async def test_a_hundred_and_thirty_forks_deep(sandbox):
    async with AsyncExitStack() as stack:
        box: LocalBox = await stack.enter_async_context(sandbox.open(host_spec()))
        await text(box, "mkdir /kept /emptied; touch /emptied/old /gone; ln /kept /no || :")
        for depth in range(130):
            await box.put(str(depth).encode(), f"/d{depth}")
            await box.put(str(depth).encode(), "/depth")
            box = await stack.enter_async_context(box.fork())
        assert len(box.instance.below) < MAX_LAYERS
        assert await text(box, "cat /depth /d0 /d30; ls -d /d[0-9]* | wc -l") == "129030130\n"


@pytest.mark.parametrize("storage_mb", [None, 200])
async def test_flattened_layers_are_equal(sandbox, monkeypatch, storage_mb):
    monkeypatch.setattr("mechagym.sandbox.local.box.MAX_LAYERS", 3)
    steps = [
        """cd /w; mkdir a b c d; echo 1 >a/1; echo 1 >b/1; echo 1 >c/1; ln a/1 a/2; ln -s a/1 link
        mkfifo pipe; chmod 2750 d; chown 12:34 d; echo t >d/f; touch -d @1000 d/f d""",
        "cd /w; rm -r a; mkdir a; echo 2 >a/3; rm b/1; truncate -s 5M hole; rm /etc/issue",
        """cd /w; rm -r b; echo file >b; rm -r c; mkdir c; echo 3 >c/3; echo x >>d/f
        rm -r /etc/skel; ln hole c/other""",
    ]
    look = """cd /w; find . | sort | xargs stat -c '%n %F %a %u %g %s %Y'; cat a/* b c/3 d/*
        readlink link; ls -d /etc/issue /etc/skel 2>&1; ls /etc | md5sum"""
    spec = host_spec(limits=Limits(storage_mb=storage_mb))
    async with AsyncExitStack() as stack:
        box: LocalBox = await stack.enter_async_context(sandbox.open(spec))
        await text(box, "mkdir /w")
        for script in steps:
            await text(box, script)
            before = await box.exec(["sh", "-c", look])
            box = await stack.enter_async_context(box.fork())
        assert box.instance.folder.flat, "it was flattened"
        assert (await box.exec(["sh", "-c", look])).text == before.text
        await text(box, "echo on >/w/b; rm -r /w/d")
        async with box.fork() as last:
            assert await text(last, "cat /w/b; ls /w | wc -l") == "on\n6\n"


async def test_forks_in_parallel(sandbox):
    async def branch(number: int) -> None:
        async with box.fork() as fork:
            await text(fork, f"echo {number} >/mine")
            said.append((number, int(await text(fork, "cat /mine /shared"))))

    said: list[tuple[int, int]] = []
    async with sandbox.open(host_spec()) as box:
        await text(box, "printf '' >/shared")
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(branch, number)
        assert sorted(said) == [(0, 0), (1, 1), (2, 2)]
        assert not (await box.exec(["test", "-e", "/mine"])).ok


async def test_an_adopted_fork_is_the_box(sandbox):
    async with sandbox.open(host_spec()) as box:
        await text(box, "echo old >/f")
        old = box.instance
        async with box.fork() as fork:
            await text(fork, "echo new >/f")
            other_id = fork.info.box_id
            await box.adopt(fork)
        assert not old.alive()
        assert box.info.box_id == other_id
        assert await text(box, "cat /f") == "new\n"
        async with box.fork() as again:
            assert await text(again, "cat /f") == "new\n"
        await text(box, "echo newer >/f")


async def test_best_of_three_keeps_the_chosen_one(sandbox):
    async with sandbox.open(host_spec()) as box:
        async with AsyncExitStack() as stack:
            forks = [await stack.enter_async_context(box.fork()) for _ in range(3)]
            for number, fork in enumerate(forks):
                await text(fork, f"echo {number} >/answer")
            await box.adopt(forks[1])
        assert await text(box, "cat /answer") == "1\n"


async def test_only_a_fork_of_it_can_be_adopted(sandbox):
    async with sandbox.open(host_spec()) as box, sandbox.open(host_spec()) as stranger:
        with pytest.raises(SandboxError, match="only a fork"):
            await box.adopt(stranger)


async def test_a_big_workspace_forks_as_quickly_as_a_small_one(sandbox):
    async with sandbox.open(host_spec()) as box:
        await text(box, "head -c 300M /dev/zero >/big")
        began = time.monotonic()
        async with box.fork() as fork:
            assert time.monotonic() - began < 3
            assert int(await text(fork, "stat -c %s /big")) == 300 * 1024 * 1024


async def test_a_forks_files_are_gone_when_the_last_one_needing_them_is(sandbox, cache):
    async with sandbox.open(host_spec()) as box:
        first = box.info.box_id
        async with box.fork() as fork:
            await box.adopt(fork)
        assert first in folders(cache), "it is a layer of the adopted fork"
    assert folders(cache) == set()
