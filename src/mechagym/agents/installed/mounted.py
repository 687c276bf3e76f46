"""A command-line agent whose program comes from npm and is mounted read-only into the box."""

from collections.abc import Mapping
from typing import ClassVar

from mechagym.agents.installed.commandline import CommandLineAgent
from mechagym.agents.installed.tools import Libc, Tool, Toolbox
from mechagym.errors import AgentSetupError
from mechagym.sandbox.base import Box, ExecOptions, Mount
from mechagym.tasks.model import Task

PLACE = "/opt/mechagym"
_STARTS_S = 60.0
_LIBC = "ls /lib/ld-musl-* >/dev/null 2>&1 && echo musl || echo glibc"


class MountedAgent(CommandLineAgent):
    """See `CommandLineAgent`. `program`: its path in the box, known once it is prepared."""

    tool: ClassVar[Tool]

    def __init__(
        self, *, task: Task | None, options: Mapping[str, str], toolbox: Toolbox, version: str
    ) -> None:
        """`version` is that of the program, and so the agent's."""
        super().__init__(task=task, options=options)
        self.version = version
        self.mounts = (Mount(source=toolbox.folder(self.tool, version), target=self._place),)
        self._toolbox = toolbox
        self.program = ""

    @property
    def _place(self) -> str:
        return f"{PLACE}/{self.tool.name}"

    async def prepare(self, box: Box) -> None:
        """See that the program runs in this box. Raises AgentSetupError with the reason."""
        libc = await self._libc(box)
        await self._toolbox.have(self.tool, self.version, libc)
        self.program = f"{self._place}/{self.tool.path(libc)}"
        started = await box.exec([self.program, "--version"], ExecOptions(timeout_s=_STARTS_S))
        if not started.ok:
            said = (started.stderr or started.stdout).decode("utf-8", "replace").strip()
            raise AgentSetupError(
                f"{self.name} {self.version} ({libc}) does not run in {box.info.image}:"
                f" {said[-500:] or f'exit code {started.exit_code}'}",
                remedy="its image must be able to run the program: see the message; an image of"
                " Debian or Ubuntu of the last years can",
                reason="tool_does_not_run",
            )

    async def _libc(self, box: Box) -> Libc:
        if self.tool.any_libc:
            return "glibc"
        told = await box.exec(["sh", "-c", _LIBC], ExecOptions(timeout_s=_STARTS_S))
        return "musl" if told.text.strip() == "musl" else "glibc"
