"""Who owns what we start: the labels on everything of ours, and whether their owner still lives.

A pid alone proves nothing: it is reused, it means another process after a reboot, and inside a
container it is counted from 1 again. An owner is therefore a pid with its start time, on one boot
of one machine, in one pid namespace. What cannot be known (another machine on the same engine)
counts as alive until its label expires, so two live controllers never reap each other.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from mechagym.sandbox.base import Labels, ReapScope

MARK = "mechagym"
"""The label whose value `1` makes a thing ours; all others are `mechagym.NAME`."""

_PROC = Path("/proc")
_DEAD_STATES = frozenset("ZXx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """One run of one process. `boot` changes with each start of the machine."""

    boot: str
    pid: int
    pid_start: str
    hostname: str
    pid_space: str = ""


Standing = Literal["alive", "dead", "unknown"]


def current_owner() -> Owner:
    """This process. Not cached: a forked child is another owner."""
    pid = os.getpid()
    return Owner(
        boot=_boot_id(),
        pid=pid,
        pid_start=_pid_start(pid) or "",
        hostname=socket.gethostname(),
        pid_space=_pid_space(),
    )


def owner_labels(labels: Labels) -> dict[str, str]:
    """The labels to put on a thing that this process starts now; the expiry is in unix seconds."""
    owner = current_owner()
    return {
        MARK: "1",
        f"{MARK}.job": labels.job_id,
        f"{MARK}.trial": labels.trial_id,
        f"{MARK}.boot": owner.boot,
        f"{MARK}.host": owner.hostname,
        f"{MARK}.pid": str(owner.pid),
        f"{MARK}.pid_start": owner.pid_start,
        f"{MARK}.pid_space": owner.pid_space,
        f"{MARK}.expires": str(int(time.time() + labels.expires_s)),
    }


def is_ours(labels: Mapping[str, str]) -> bool:
    """Whether a thing carries our mark at all."""
    return labels.get(MARK) == "1"


def is_mine(labels: Mapping[str, str]) -> bool:
    """Whether this very process started it: what a sweep at exit may remove."""
    return is_ours(labels) and read_owner(labels) == current_owner()


def read_owner(labels: Mapping[str, str]) -> Owner | None:
    """The owner named by the labels; None where they are not ours or are damaged."""
    pid = labels.get(f"{MARK}.pid", "")
    if not is_ours(labels) or not pid.isdecimal():
        return None
    return Owner(
        boot=labels.get(f"{MARK}.boot", ""),
        pid=int(pid),
        pid_start=labels.get(f"{MARK}.pid_start", ""),
        hostname=labels.get(f"{MARK}.host", ""),
        pid_space=labels.get(f"{MARK}.pid_space", ""),
    )


def standing(owner: Owner) -> Standing:
    """Whether the owner lives, as far as this process can know."""
    here = current_owner()
    if owner.boot != here.boot:
        return "dead" if owner.hostname == here.hostname else "unknown"
    if owner.pid_space != here.pid_space:
        return "unknown"
    return "alive" if _pid_start(owner.pid) == owner.pid_start else "dead"


def is_dead(owner: Owner) -> bool:
    """Surely dead: the machine was restarted, the pid is gone, or it is another process by now."""
    return standing(owner) == "dead"


def reapable(labels: Mapping[str, str], scope: ReapScope) -> bool:
    """Whether a sweep may remove a thing (container, network, mount, folder) with these labels.

    Only ours; of those only a dead owner's, or an expired one's whose owner cannot be known; with
    `scope.job_id`, only that job's. Caches (images, root file systems) go by last use instead.
    """
    if not is_ours(labels):
        return False
    if scope.job_id is not None and labels.get(f"{MARK}.job") != scope.job_id:
        return False
    owner = read_owner(labels)
    state: Standing = standing(owner) if owner else "unknown"
    return state == "dead" or (state == "unknown" and _expired(labels))


def describe(labels: Mapping[str, str]) -> str:
    """The owner in a few words, for `Removed.owner` and messages."""
    owner = read_owner(labels)
    job = labels.get(f"{MARK}.job") or "no job"
    return f"{job}, pid {owner.pid} on {owner.hostname}" if owner else f"{job}, owner unknown"


def _expired(labels: Mapping[str, str]) -> bool:
    expires = labels.get(f"{MARK}.expires", "")
    return expires.isdecimal() and int(expires) < time.time()


@cache
def _boot_id() -> str:
    path = _PROC / "sys/kernel/random/boot_id"
    if path.exists():
        return path.read_text(encoding="ascii").strip()
    return _output("sysctl", "-n", "kern.bootsessionuuid") or "unknown-boot"


def _pid_start(pid: int) -> str | None:
    """When the process began, in the platform's own words; None where it is gone or a zombie."""
    if sys.platform != "linux":
        return _output("ps", "-o", "lstart=", "-p", str(pid)) or None
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the command's name may hold spaces and brackets
    return None if fields[0] in _DEAD_STATES else fields[19]


def _pid_space() -> str:
    try:
        return os.readlink(_PROC / "self/ns/pid")  # noqa: PTH115 (the text, not a path)
    except OSError:
        return ""


def _output(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=5)
    return done.stdout.strip()
