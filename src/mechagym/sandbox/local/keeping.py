"""The controller's side of the keeper: start it, map its ids, send steps, wait for answers.

One keeper serves one cache folder. Ids 0…65,535 of a box are a shifted range of the host: as root
one of our own, as an ordinary user oneself and the range of `/etc/subuid`.
"""

import array
import json
import os
import pwd
import select
import socket
import subprocess
import sys
import weakref
from collections.abc import Sequence
from contextlib import suppress
from errno import ENOSPC
from pathlib import Path
from typing import Any

import anyio

from mechagym.errors import BoxDied, NoSpace, SandboxError, SandboxUnusable
from mechagym.sandbox.local.steps import SIZED

IDS = 65_536
ROOT_SHIFT = 1_500_000_000
"""Where root's boxes have their ids on the host: far from users and from what others shift to."""

MAX_ANSWER = 1_000_000
_START_S = 10.0
_END_S = 8.0


class StepError(SandboxError):
    """A step of the keeper failed; `errno` is the kernel's, if it was the kernel that refused."""

    def __init__(self, message: str, *, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


def failed(what: str, error: "StepError | OSError", folder: Path) -> SandboxError:
    """The error for a person: a full disk names its folder."""
    if error.errno == ENOSPC:
        return NoSpace(f"{what}: no space left in {folder}", remedy="mechagym clean --images")
    said = error.message if isinstance(error, StepError) else str(error)
    return SandboxError(f"{what}: {said}")


class Keeper:
    """A running keeper. `folder` is what it sees as its room, `owner` who owns files there.

    It ends with this object, with this process, or by `close`; and all its boxes with it.
    """

    def __init__(self, folder: Path, pid: int, line: socket.socket) -> None:
        self.folder = folder
        self.pid = pid
        self.owner = room_owner()
        self._line = line
        self._ended = os.pidfd_open(pid)
        self._finalizers = (
            weakref.finalize(self, line.close),
            weakref.finalize(self, os.close, self._ended),
        )

    async def ask(
        self, step: str, files: Sequence[int] = (), **request: Any
    ) -> tuple[Any, list[int]]:
        """Have a step done; returns its value and the files that came back, now ours to close.

        `files` stay ours. Raises StepError with the step's reason; BoxDied where the keeper is
        gone.
        """
        answer, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        message = json.dumps({"step": step, **request}).encode()
        with answer:
            with theirs:
                try:
                    socket.send_fds(self._line, [message], [theirs.fileno(), *files])
                except OSError as error:
                    raise BoxDied(f"the keeper of local boxes is gone: {error.strerror}") from error
            await anyio.wait_readable(answer)
            return _read_answer(step, answer)

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        poll = select.poll()
        poll.register(self._ended, select.POLLIN)
        return self._finalizers[0].alive and not poll.poll(0)

    async def close(self) -> None:
        """End it, wait until it has cleaned up; again is no error."""
        line, ended = self._finalizers
        if line.alive:
            line()
            with anyio.move_on_after(_END_S, shield=True):
                await anyio.wait_readable(self._ended)
            ended()


def room_owner() -> int:
    """The id that is root in a box."""
    return ROOT_SHIFT if os.getuid() == 0 else os.getuid()


def start(folder: Path) -> Keeper:
    """Start a keeper on a folder (made if absent). Blocks for some 60 ms: call it in a thread.

    Raises SandboxUnusable where this host gives no user namespace or no ids for one.
    """
    _make_room(folder, room_owner())
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(_START_S)
    try:
        with theirs:
            argv = [sys.executable, "-P", "-m", __package__ + ".keeper", str(theirs.fileno())]
            argv.append(str(folder))  # for whoever reads the list of processes
            env = {"PATH": os.defpath + ":/usr/sbin:/sbin", "PYTHONPATH": ":".join(sys.path)}
            subprocess.run(
                argv,
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                check=True,
            )
        pid = int(_expect(ours, b"unshared"))
        _map_ids(pid)
        ours.send(b"mapped")
        _expect(ours, b"ready")
    except BaseException:
        ours.close()
        raise
    ours.settimeout(None)
    return Keeper(folder, pid, ours)


def _make_room(folder: Path, owner: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0:  # the keeper is somebody else: it may pass, not look
        folder.chmod(folder.stat().st_mode & 0o7777 | 0o111)
    for name in ("boxes", "layers", SIZED):
        (folder / name).mkdir(exist_ok=True, mode=0o711)
        if os.getuid() == 0:
            with suppress(OSError):  # root of a user namespace only: the map will say so
                os.chown(folder / name, owner, owner)


def _map_ids(pid: int) -> None:
    if os.getuid() == 0:
        try:
            for kind in ("uid_map", "gid_map"):
                Path(f"/proc/{pid}/{kind}").write_text(f"0 {ROOT_SHIFT} {IDS}\n", encoding="utf-8")
        except OSError as error:
            raise SandboxUnusable(
                f"this root may not use the ids from {ROOT_SHIFT}: it is root of a namespace only",
                reason="no_subordinate_ids",
            ) from error
        return
    for tool, name, mine in (
        ("newuidmap", "/etc/subuid", os.getuid()),
        ("newgidmap", "/etc/subgid", os.getgid()),
    ):
        base = subordinate(Path(name))
        argv = [tool, str(pid), "0", str(mine), "1", "1", str(base), str(IDS - 1)]
        _run_tool(argv)


def _run_tool(argv: list[str]) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise SandboxUnusable(f"{argv[0]} is missing", remedy="apt-get install uidmap") from error
    if done.returncode:
        raise SandboxUnusable(f"{argv[0]} failed: {done.stderr.strip()}")


def subordinate(table: Path) -> int:
    """The first id of this user's range in `/etc/subuid` or `/etc/subgid`.

    Raises SandboxUnusable where there is none of at least 65,536 ids.
    """
    user = pwd.getpwuid(os.getuid()).pw_name
    lines = table.read_text(encoding="utf-8").splitlines() if table.exists() else []
    for name, base, count in (line.split(":") for line in lines if line.count(":") == 2):
        if name in {user, str(os.getuid())} and int(count) >= IDS - 1:
            return int(base)
    raise SandboxUnusable(
        f"{table} has no range of {IDS:,} ids for {user}",
        remedy=f"as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}",
        reason="no_subordinate_ids",
    )


def _expect(line: socket.socket, word: bytes) -> bytes:
    """Wait for a word and return what is said with it."""
    said = line.recv(4096)
    if said.startswith(word):
        return said.removeprefix(word)
    reason = said.decode("utf-8", "replace") or "it ended before it was ready"
    raise SandboxUnusable(
        f"no user namespace with mounts of its own: {reason}", reason="no_user_namespaces"
    )


def _read_answer(step: str, answer: socket.socket) -> tuple[Any, list[int]]:
    data, ancillary, _, _ = answer.recvmsg(
        MAX_ANSWER, socket.CMSG_SPACE(8 * array.array("i").itemsize), socket.MSG_CMSG_CLOEXEC
    )
    files = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            files.frombytes(content[: len(content) - len(content) % files.itemsize])
    if not data:
        raise StepError(f"{step}: the keeper's child ended without an answer")
    said = json.loads(data)
    if "error" in said:
        raise StepError(f"{step}: {said['error']}", errno=said["errno"])
    return said["value"], list(files)
