"""Telling the living from the dead."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from mechagym.errors import JobLocked
from mechagym.records import now
from mechagym.store import OwnerRow, Store, this_process
from mechagym.store.owner import is_alive
from tests.store.makers import a_store_with


def test_we_live_and_who_had_our_pid_before_does_not():
    me = this_process()
    assert is_alive(me, None)
    assert not is_alive(replace(me, started="1"), now())


def test_a_process_that_ended_is_dead_also_as_a_zombie():
    child = subprocess.Popen(["sleep", "60"])
    owner = _owner(child.pid)
    assert is_alive(owner, None)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(owner, now())
    child.wait()
    assert not is_alive(owner, now())


def test_elsewhere_only_the_heartbeat_tells():
    far = replace(this_process(), place="another", pid=os.getpid())
    assert is_alive(far, now())
    assert not is_alive(far, now() - timedelta(minutes=2))
    assert not is_alive(far, None)


def _owner(pid: int) -> OwnerRow:
    from mechagym.store.owner import _started

    return replace(this_process(), pid=pid, started=_started(pid) or "")


OWNER = """
import sys, anyio
from mechagym.store import Store, this_process

async def main():
    async with Store.open(sys.argv[1]) as store:
        await store.claim_job("job-id", this_process())
        print("claimed", flush=True)
        await anyio.sleep(60)

anyio.run(main)
"""


@pytest.mark.must("trials-12")
async def test_the_second_process_on_a_job_is_refused_with_the_pid_of_the_first(url: str):
    async with Store.open(url) as store:
        await a_store_with(store)
        first = subprocess.Popen([sys.executable, "-c", OWNER, url], stdout=subprocess.PIPE)
        assert first.stdout is not None
        assert first.stdout.readline() == b"claimed\n"
        with pytest.raises(JobLocked, match=str(first.pid)):
            await store.claim_job("job-id", this_process())
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        first.stdout.close()
        await store.claim_job("job-id", this_process())
