"""Whose is it, and is the owner dead: the reaper's only questions."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.sandbox.base import Labels, ReapScope
from mechagym.sandbox.owner import (
    current_owner,
    describe,
    is_dead,
    is_mine,
    owner_labels,
    read_owner,
    reapable,
    standing,
)

EVERYTHING = ReapScope()
LABELS_OF_A_CHILD = """
import json, sys
from mechagym.sandbox.base import Labels
from mechagym.sandbox.owner import owner_labels
print(json.dumps(owner_labels(Labels(job_id="job-1", trial_id="t-1"))), flush=True)
sys.stdin.read()
"""


def child() -> tuple[subprocess.Popen[str], dict[str, str]]:
    import json

    process = subprocess.Popen(
        [sys.executable, "-c", LABELS_OF_A_CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_labels_tell_the_owner():
    labels = owner_labels(Labels(job_id="j", trial_id="t", expires_s=60))
    assert labels["mechagym"] == "1"
    assert labels["mechagym.job"] == "j"
    assert labels["mechagym.trial"] == "t"
    assert read_owner(labels) == current_owner()
    assert 50 < int(labels["mechagym.expires"]) - time.time() <= 60
    assert "j" in describe(labels)
    assert str(os.getpid()) in describe(labels)


def test_a_live_controller_is_never_reaped_not_even_when_its_labels_expired():
    process, labels = child()
    try:
        assert not reapable(labels, EVERYTHING)
        assert not reapable(labels | {"mechagym.expires": "1"}, EVERYTHING)
        assert not is_mine(labels)
    finally:
        end(process)


def test_a_killed_controller_is_reaped_even_while_it_is_a_zombie():
    process, labels = child()
    try:
        os.kill(process.pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while not reapable(labels, EVERYTHING) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert reapable(labels, EVERYTHING)  # nobody has waited for it yet
    finally:
        end(process)
    assert reapable(labels, EVERYTHING)


def test_only_the_asked_job():
    process, labels = child()
    end(process)
    assert reapable(labels, ReapScope(job_id="job-1"))
    assert not reapable(labels, ReapScope(job_id="job-2"))


def test_a_reused_pid_is_another_owner():
    assert is_dead(replace(current_owner(), pid_start="12345"))


def test_a_restart_of_this_machine_killed_all():
    assert is_dead(replace(current_owner(), boot="another"))


@pytest.mark.parametrize(
    "elsewhere", [{"boot": "another", "hostname": "another"}, {"pid_space": "pid:[1]"}]
)
def test_what_cannot_be_known_is_left_alone_until_it_expires(elsewhere):
    owner = replace(current_owner(), **elsewhere)
    assert standing(owner) == "unknown"
    names = {"boot": "boot", "hostname": "host", "pid_space": "pid_space"}
    labels = owner_labels(Labels()) | {f"mechagym.{names[k]}": v for k, v in elsewhere.items()}
    assert not reapable(labels, EVERYTHING)
    assert reapable(labels | {"mechagym.expires": "1"}, EVERYTHING)


def test_a_fork_of_this_process_owns_its_own():
    ours = owner_labels(Labels())
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, b"1" if is_mine(ours) else b"0")
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 1) == b"0"
    assert is_mine(ours)
    os.close(read)
    os.close(write)


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20)))
def test_the_labels_of_others_are_never_ours(labels):
    if labels.get("mechagym") != "1":
        assert not reapable(labels, EVERYTHING)


@given(
    st.dictionaries(
        st.sampled_from(["job", "boot", "host", "pid", "pid_start", "pid_space"]),
        st.text(max_size=30),
    )
)
def test_damaged_labels_of_ours_never_crash(damage):
    labels = owner_labels(Labels()) | {f"mechagym.{k}": v for k, v in damage.items()}
    assert reapable(labels, EVERYTHING) in (True, False)
