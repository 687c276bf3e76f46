"""Whether the process that claimed a job still lives.

On its own machine (same boot, same pid namespace) that is known exactly, by pid and start time;
seen from elsewhere only the heartbeat tells. A later process of the same pid is not taken for it.
"""

import os
import socket
import subprocess
from datetime import datetime
from functools import cache
from pathlib import Path

from mechagym.records import now
from mechagym.store.rows import OwnerRow

STALE_S = 60.0
"""A heartbeat older than this is a dead process's; one comes every 10 s."""


def this_process() -> OwnerRow:
    """Describe ourselves."""
    pid = os.getpid()
    return OwnerRow(pid=pid, started=_started(pid) or "", place=_place(), host=socket.gethostname())


def is_alive(owner: OwnerRow, heartbeat_at: datetime | None) -> bool:
    """Say whether the process that `owner` describes still runs."""
    if owner.place == _place():
        return _started(owner.pid) == owner.started
    return heartbeat_at is not None and (now() - heartbeat_at).total_seconds() < STALE_S


@cache
def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no /proc: a host is one place
        return socket.gethostname()


def _started(pid: int) -> str | None:
    """When a process started, as an opaque word; None where it is gone or a zombie."""
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
        return None if fields[0] in "ZX" else fields[19]
    line = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return line.stdout.strip() or None
