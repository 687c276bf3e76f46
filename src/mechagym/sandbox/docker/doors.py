"""The way `socket` into a box: a listening socket inside its network namespace, whose connections
our process accepts. Needs root on the engine's own host.
"""

import ctypes
import os
import socket
import threading
from pathlib import Path

import anyio.to_thread

from mechagym.errors import LimitRefused, SandboxError

BACKLOG = 128
_CLONE_NEWNET = 0x40000000


def can_open() -> bool:
    """Whether this process may enter other network namespaces."""
    return os.geteuid() == 0 and Path("/proc/self/ns/net").exists()


async def listen_inside(pid: int, container_id: str) -> socket.socket:
    """Listen on a free port of the container's loopback. `pid`: its main process on the host.

    Raises LimitRefused where the process is not on this host, SandboxError.
    """
    return await anyio.to_thread.run_sync(_listen, pid, container_id)


def _listen(pid: int, container_id: str) -> socket.socket:
    made: list[socket.socket | OSError] = []

    def enter() -> None:
        # a thread of its own, which ends after this: it does not come back from the namespace
        try:
            made.append(_bound_in(pid))
        except OSError as error:
            made.append(error)

    cgroup = Path(f"/proc/{pid}/cgroup")
    if not cgroup.exists() or container_id not in cgroup.read_text("utf-8"):
        raise LimitRefused("the engine is not on this very host, but in a machine of its own")
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise SandboxError(f"cannot listen inside of the box: {made[0]}") from made[0]
    return made[0]


def _bound_in(pid: int) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(namespace, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(namespace)
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        door.bind(("127.0.0.1", 0))
        door.listen(BACKLOG)
        door.setblocking(False)
    except BaseException:
        door.close()
        raise
    return door
