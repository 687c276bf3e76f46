"""Any command line as an agent: a person's own program needs no code of ours.

    mechagym run TASKS -a command -m openai:gpt-4o --set 'agent.run=my-agent "$INSTRUCTION_FILE"'

The command is run by `sh -c` in the box's working directory. It finds the instruction in the file
`$INSTRUCTION_FILE` and on its standard input, and its model in the variables that the SDKs of the
providers read (`OPENAI_BASE_URL`, `OPENAI_API_KEY`, `ANTHROPIC_BASE_URL`, …) and in `$MODEL`. The
keys in them are this try's token.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from mechagym import __version__
from mechagym.agents.base import Context, Endpoint
from mechagym.agents.installed.commandline import (
    LOGS,
    SHOWN_CHARS,
    Command,
    CommandLineAgent,
    Report,
)
from mechagym.errors import AgentSetupError, ConfigError
from mechagym.events import EventBody, MessageSaid
from mechagym.llm.providers import Dialect
from mechagym.sandbox.base import Box, ExecOptions, Mount
from mechagym.tasks.model import Task

INSTRUCTION = f"{LOGS}/instruction.md"
TOOLS = "/opt/mechagym/command"
KEPT_CHARS = 4_000
_SETUP_S = 300.0


class CommandAgent(CommandLineAgent):
    """Options: `run`, the command line; `setup`, one that is run before, as root; `mount`, a folder
    of this host that the box sees read-only at `/opt/mechagym/command`.
    """

    name = "command"
    version = __version__
    dialects: ClassVar[tuple[Dialect, ...]] = ("openai-chat", "anthropic", "openai-responses")
    more_options = ("run", "setup", "mount")
    needs_model = False

    def __init__(self, *, task: Task | None, options: Mapping[str, str]) -> None:
        super().__init__(task=task, options=options)
        if not options.get("run"):
            raise ConfigError(
                "agent command: it needs a command line",
                remedy="give it with --set 'agent.run=my-agent \"$INSTRUCTION_FILE\"'",
            )
        if folder := options.get("mount"):
            source = Path(folder).expanduser().absolute()
            if not source.is_dir():
                raise ConfigError(f"agent command: mount={folder} is no folder of this host")
            self.mounts = (Mount(source=source, target=TOOLS),)

    async def prepare(self, box: Box) -> None:
        """Run its set-up. Raises AgentSetupError with what it said."""
        setup = self.options.get("setup")
        if not setup:
            return
        done = await box.exec(["sh", "-c", setup], ExecOptions(user="root", timeout_s=_SETUP_S))
        if not done.ok:
            said = (done.stdout + done.stderr).decode("utf-8", "replace")[-2000:]
            raise AgentSetupError(
                f"agent command: its setup ended with {done.exit_code}\n{said}",
                reason="setup_failed",
            )

    def command(self, context: Context, endpoint: Endpoint | None) -> Command:
        """What is run for this step."""
        return Command(
            argv=("sh", "-c", self.options["run"]),
            env={"INSTRUCTION_FILE": INSTRUCTION, **(environment(endpoint) if endpoint else {})},
            stdin=context.instruction.encode("utf-8"),
            files={INSTRUCTION: context.instruction.encode("utf-8")},
        )

    def reader(self, context: Context) -> "Plain":  # noqa: ARG002
        """Who reads its output."""
        return Plain()


class Plain:
    """See `Reader`: each line of output is a message; the last of them are the claim."""

    def __init__(self) -> None:
        self._tail = ""

    def line(self, line: bytes) -> Iterator[EventBody]:
        """What one line tells."""
        text = line.decode("utf-8", "replace")[:SHOWN_CHARS]
        self._tail = f"{self._tail}\n{text}"[-KEPT_CHARS:]
        yield MessageSaid(text=text)

    def report(self) -> Report:
        """What it has said of itself until now."""
        return Report(claim=self._tail.strip() or None)


def environment(endpoint: Endpoint) -> dict[str, str]:
    """What the SDKs of the providers read, pointed to the gateway with this try's token."""
    versioned = f"{endpoint.url}/v1"
    return {
        "MODEL": endpoint.model,
        "MODEL_DIALECT": endpoint.dialect,
        "OPENAI_BASE_URL": versioned,
        "OPENAI_API_BASE": versioned,
        "OPENAI_API_KEY": endpoint.token,
        "ANTHROPIC_BASE_URL": endpoint.url,
        "ANTHROPIC_API_BASE": endpoint.url,
        "ANTHROPIC_API_KEY": endpoint.token,
    }
