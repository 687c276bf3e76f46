"""An agent that is a command in the box: how it is prepared, started, watched, heard and judged.

What one of them needs beyond that, its command line and its output format, is its own class. The
program reaches its model through the box's door with a token of this try. A non-zero exit is the
agent's own error, and so is silence.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import anyio

from mechagym.agents.base import AgentResult, Context, Endpoint
from mechagym.agents.installed.lines import Lines
from mechagym.agents.options import check_options
from mechagym.errors import AgentError, ConfigError
from mechagym.events import EventBody
from mechagym.llm.providers import Dialect
from mechagym.records import Json
from mechagym.sandbox.base import Box, ExecOptions, ExecResult, Mount, Stream
from mechagym.tasks.model import Task

LOGS = "/logs/agent"
SILENCE_S = 1800.0
SHOWN_BYTES = 8 * 1024
SHOWN_CHARS = 64 * 1024
MAX_LINES = 50_000
"""So many lines of a program's output are read; where it prints more, its end besides."""

TAIL_BYTES = 1024 * 1024

# The output goes to a file of the box and to us. What the program leaves running may hold its
# output open for ever, so the copier is given two seconds after the program itself has ended.
_COPIED = """
log=$1; shift; pipe=$log.pipe; rm -f "$pipe"; mkfifo "$pipe" || exec "$@"
tee -a "$log" <"$pipe" & copier=$!
"$@" >"$pipe"; status=$?
rm -f "$pipe"
{ trap 'kill "$nap"' TERM; sleep 2 & nap=$!; wait "$nap" && kill "$copier"; } >/dev/null 2>&1 &
timer=$!; wait "$copier"; kill "$timer" 2>/dev/null; wait "$timer"; exit "$status"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is run in the box. `env` is seen by all that the agent starts: it holds no key.

    `folders` are made and `files` put before.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    stdin: bytes = b""
    folders: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the program said of itself at its end. `error` None: that it went well."""

    claim: str | None = None
    turns: int | None = None
    error: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)


class Reader(Protocol):
    """Makes events of a program's output, line by line, as they arrive; nothing makes it fail."""

    def line(self, line: bytes) -> Iterable[EventBody]:
        """What one line of its standard output tells."""
        ...

    def report(self) -> Report:
        """What the program has said of itself until now."""
        ...


class CommandLineAgent:
    """See `Agent` and `WorksInBox`. A class below says what is run and how its output is read.

    The option that all have: `silence_s`, after so many seconds without output it is ended.
    """

    name: str
    version: str
    dialects: ClassVar[tuple[Dialect, ...]]
    more_options: ClassVar[tuple[str, ...]] = ()
    needs_model: ClassVar[bool] = True
    mounts: tuple[Mount, ...] = ()

    def __init__(self, *, task: Task | None, options: Mapping[str, str]) -> None:  # noqa: ARG002
        check_options(self.name, options, ("silence_s", *self.more_options))
        self.options = options
        self._silence_s = self.number("silence_s") or SILENCE_S

    @abstractmethod
    async def prepare(self, box: Box) -> None:
        """See `Agent.prepare`."""

    @abstractmethod
    def command(self, context: Context, endpoint: Endpoint | None) -> Command:
        """What is run for this step. Raises AgentError where it cannot do without a model."""

    @abstractmethod
    def reader(self, context: Context) -> Reader:
        """Who reads its output."""

    async def run(self, context: Context) -> AgentResult:
        """Run the program to its end. Raises AgentError for silence, a bad exit, a said error."""
        command = self.command(context, context.endpoint)
        heard = _Heard(context, self.reader(context), self._silence_s)
        result = await self._watched(context, command, heard)
        heard.end()
        report = heard.reader.report()
        if result is None:
            raise AgentError(
                f"{self.name} said nothing for {self._silence_s:g} s and was ended",
                remedy="allow more with --set agent.silence_s=SECONDS",
                reason="agent_silent",
            )
        if not result.ok or report.error:
            raise AgentError(
                f"{self.name} ended with {_ending(result)}: {report.error or _last_words(result)}",
                reason="agent_exit" if not result.ok else "agent_said_error",
            )
        metadata = {
            **report.metadata,
            "lines_too_long": heard.lines.skipped,
            "read_whole": heard.read < MAX_LINES,
        }
        return AgentResult(
            claim=report.claim, turns=report.turns, exit_code=result.exit_code, metadata=metadata
        )

    async def _watched(
        self, context: Context, command: Command, heard: "_Heard"
    ) -> ExecResult | None:
        """Run it; None: it was silent for too long and is dead."""
        options = ExecOptions(
            env=dict(command.env),
            stdin=command.stdin,
            limit_bytes=SHOWN_BYTES,
            on_output=heard.output,
            user=context.user,
        )
        for path, content in command.files.items():
            await context.box.put(content, path)
        if command.folders:
            await context.box.exec(["mkdir", "-p", *command.folders], ExecOptions(cwd="/"))
        argv = ("sh", "-c", _COPIED, "sh", f"{LOGS}/{self.name}.txt", *command.argv)
        with heard.patience:
            return await context.box.exec(argv, options)
        return None

    def number(self, option: str) -> float | None:
        """An option as a number; None: not given. Raises ConfigError."""
        if option not in self.options:
            return None
        try:
            number = float(self.options[option])
        except ValueError:
            number = 0
        if not 0 < number < float("inf"):
            raise ConfigError(f"agent {self.name}: {option} must be a number above 0")
        return number


def needed(endpoint: Endpoint | None, name: str) -> Endpoint:
    """The endpoint, for an agent that is nothing without a model. Raises AgentError."""
    if endpoint is None:
        raise AgentError(
            f"{name} works with a model, and this trial has none",
            remedy="name one, for example -m anthropic:claude-haiku-4-5",
            reason="no_model",
        )
    return endpoint


class _Heard:
    """What came out of the program so far. `patience` ends when it was silent for too long."""

    def __init__(self, context: Context, reader: Reader, silence_s: float) -> None:
        self._emit = context.emit
        self._silence_s = silence_s
        self.reader = reader
        self.lines = Lines()
        self.read = 0
        self._tail = b""
        self.patience = anyio.CancelScope(deadline=anyio.current_time() + silence_s)

    def output(self, stream: Stream, data: bytes) -> None:
        """See `ExecOptions.on_output`."""
        self.patience.deadline = anyio.current_time() + self._silence_s
        if stream == "stdout" and self.read < MAX_LINES:
            self._tell(self.lines.feed(data))
        elif stream == "stdout":
            self._tail = (self._tail + data)[-TAIL_BYTES:]

    def end(self) -> None:
        """Nothing more comes. What it printed past all measure is no event, but may be a report."""
        self._tell(self.lines.last())
        for line in self._tail.splitlines()[1:]:
            for _ in self.reader.line(line):
                pass

    def _tell(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self.read += 1
            if self.read > MAX_LINES:
                return
            for body in self.reader.line(line):
                self._emit(body)


def _ending(result: ExecResult) -> str:
    return f"signal {result.signal}" if result.signal else f"exit code {result.exit_code}"


def _last_words(result: ExecResult) -> str:
    said = (result.stderr or result.stdout).decode("utf-8", "replace").strip()
    return said[-2000:] or "it said nothing"
