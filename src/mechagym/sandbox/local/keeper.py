"""The keeper: the one process of a controller that is root in a user namespace of its own.

It has no rights over the host beyond its owner's, sees the cache folder at `ROOM`, and does one
forked child per request, so that requests run side by side without threads and a failed one leaves
nothing. It ends when its controller does (end of file on the socket), after killing the boxes and
removing their folders.

A request is one message, `{"step": NAME, …}` with open files; the first file is where the answer
goes.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from typing import Any

from mechagym.sandbox.local import steps, syscalls

ROOM = "/mnt"
"""Where the cache folder stands in the keeper's mount namespace: short, and reachable for shifted
ids.
"""

MAX_MESSAGE = 200_000
MAX_FILES = 64

_PAUSE_S, _TRIES = 0.01, 300

Request = dict[str, Any]


class Keeper:
    """The loop: receive, fork, forget. Knows the boxes it started, to end them last."""

    def __init__(self, line: socket.socket) -> None:
        self.line = line
        self.boxes: dict[str, int | None] = {}
        self.folders: set[str] = set()

    def serve(self) -> None:
        """Until the controller is gone."""
        signal.signal(signal.SIGCHLD, self._reap)
        while True:
            message, files, _, _ = socket.recv_fds(
                self.line, MAX_MESSAGE, MAX_FILES, socket.MSG_CMSG_CLOEXEC
            )
            if not message:
                return self._end()
            request = json.loads(message)
            self._note(request, files)
            self._fork(request, files)

    def _note(self, request: Request, files: list[int]) -> None:
        """Remember what has to be ended or removed if the controller ends now.

        With a box's start may come its freezer: what is frozen cannot be killed.
        """
        match request["step"]:
            case "start":
                self.boxes[request["box"]] = files.pop() if request["freezer"] else None
            case "attempt":
                self.boxes[request["box"]] = None
            case "remove":
                for box in request["boxes"]:
                    freezer = self.boxes.pop(box, None)
                    if freezer is not None:
                        os.close(freezer)
                self.folders -= set(request.get("folders", ()))
            case "unpack" | "show_host":
                self.folders.add(request["target"])

    def _fork(self, request: Request, files: list[int]) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        if os.fork() == 0:
            syscalls.die_with_parent()
            self.line.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            _answer(request, files)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        for descriptor in files:
            os.close(descriptor)

    def _reap(self, *_: object) -> None:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass

    def _end(self) -> None:
        for freezer in self.boxes.values():
            if freezer is not None:
                steps.thaw(freezer)
        for _ in range(_TRIES):
            if not steps.kill_others():
                break
            time.sleep(_PAUSE_S)
        for box, freezer in self.boxes.items():
            steps.clear_box(box, keep_owner=freezer is not None)
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)


def _answer(request: Request, files: list[int]) -> None:
    """In a child: do the step, send its answer, end. An error is an answer too."""
    reply = socket.socket(fileno=fcntl.fcntl(files[0], fcntl.F_DUPFD_CLOEXEC, steps.LOW_FILES))
    os.close(files[0])
    step = steps.STEPS[request["step"]]
    try:
        value, out = step(request, files[1:])
        socket.send_fds(reply, [json.dumps({"value": value}).encode()], out)
    except BaseException as error:  # noqa: BLE001 – whatever it was, the controller must hear of it
        fault = {"error": str(error), "errno": getattr(error, "errno", None)}
        if not isinstance(error, OSError | steps.StepFailed):
            fault["error"] = traceback.format_exc()
        os.write(reply.fileno(), json.dumps(fault).encode())
    finally:
        os._exit(0)


def _settle(line: socket.socket) -> None:
    """Become root of a new user namespace, nobody's child, and see the current folder at `ROOM`."""
    if os.fork():
        os._exit(0)
    os.setsid()
    syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
    line.send(b"unshared %d" % os.getpid())
    if line.recv(16) != b"mapped":
        raise SystemExit(1)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.setgroups([])
    os.umask(0o022)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount(".", ROOM, flags=syscalls.MS_BIND)
    os.chdir(ROOM)
    syscalls.mount("tmpfs", steps.SIZED, kind="tmpfs", data="size=1m,mode=711")
    syscalls.adopt_orphans()
    line.send(b"ready")


def main() -> None:
    """Run on the socket whose number is the first argument."""
    line = socket.socket(fileno=int(sys.argv[1]))
    try:
        _settle(line)
    except OSError as error:
        line.send(str(error).encode())
        return
    Keeper(line).serve()


if __name__ == "__main__":
    main()
