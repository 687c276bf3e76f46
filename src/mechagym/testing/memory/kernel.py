"""What a shell needs of its machine, and the few words that both use."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from mechagym.testing.memory.files import Tree
from mechagym.testing.memory.process import Channel, Null, Process, Zeros

Fds = dict[int, tuple[Channel, bool]]
Program = Callable[[Any, list[str]], Awaitable[int]]
"""Takes the `Shell` that runs it and its argv; gives the status."""

PROGRAM = b"#!the mini machine's own\n"
"""What stands in the file of a program of ours."""

DEVICES: dict[str, type[Null]] = {"/dev/null": Null, "/dev/zero": Zeros}


class Kernel(Protocol):
    """What a shell needs of its machine."""

    tree: Tree
    programs: dict[str, Program]
    builtins: dict[str, Program]

    def spawn(
        self, parent: Process, body: Callable[[Process], Awaitable[int]], fds: Fds
    ) -> Process:
        """Start a child. Raises OSError at the limit of processes."""
        ...

    def processes(self) -> dict[int, Process]:
        """All that live, by pid."""
        ...


async def ended(process: Process) -> int:
    """Wait for a process and give its status."""
    await process.done.wait()
    return process.status
