"""The agent that follows a script: for tests, demos and trying out a task without a model.

A script is a list of actions, in Python or in a YAML or JSON file (`--set agent.script=FILE`):

    - {kind: say, text: I will write the file}
    - {kind: exec, command: echo hello > hello.txt}
    - {kind: write, path: /app/data.txt, text: "1 2 3"}
    - {kind: spend, input: 1200, output: 80, cost_usd: 0.004}
    - {kind: exec, command: ./server, background: true, step: first}

With `step` an action belongs to that step of a multi-step task only; without, to every step.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, assert_never

import anyio
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, ValidationError

from mechagym import __version__
from mechagym.agents.base import AgentResult, Context
from mechagym.agents.calls import run_told
from mechagym.agents.options import check_options
from mechagym.errors import AgentError, ConfigError
from mechagym.events import AgentSpent, MessageSaid, ToolCalled, ToolReturned
from mechagym.records import Spend, Usage, adapter
from mechagym.sandbox.base import Box, ExecOptions
from mechagym.tasks.model import Task


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    step: str | None = None


class Exec(_Line):
    """Run a command with `sh -c`; its exit code is data. `user` None: the agent's."""

    kind: Literal["exec"] = "exec"
    command: str
    user: str | None = None
    background: bool = False


class Write(_Line):
    """Put text into a file of the box; `path` is absolute."""

    kind: Literal["write"] = "write"
    path: str = Field(pattern=r"\A/")
    text: str


class Say(_Line):
    """Say something."""

    kind: Literal["say"] = "say"
    text: str


class Sleep(_Line):
    """Do nothing for a while."""

    kind: Literal["sleep"] = "sleep"
    seconds: NonNegativeFloat


class Hang(_Line):
    """Do nothing until ended from outside."""

    kind: Literal["hang"] = "hang"


class Fail(_Line):
    """Give up with an AgentError."""

    kind: Literal["fail"] = "fail"
    message: str = "the script says so"


class Pay(_Line):
    """Pretend a model call: reserve, settle and tell, as a real agent's calls do."""

    kind: Literal["spend"] = "spend"
    input: NonNegativeInt = 0
    output: NonNegativeInt = 0
    cost_usd: NonNegativeFloat = 0.0

    @property
    def spend(self) -> Spend:
        """The cost as the ledger has it."""
        nano = round(self.cost_usd * 1e9)
        usage = Usage(input=self.input, output=self.output)
        return Spend(usage=usage, billed_nano=nano, imputed_nano=nano)


class Claim(_Line):
    """Set the agent's own opinion of its work."""

    kind: Literal["claim"] = "claim"
    text: str


Action = Exec | Write | Say | Sleep | Hang | Fail | Pay | Claim


class ScriptedAgent:
    """Does what its script says, in order, with the events of a real agent."""

    name = "scripted"
    version = __version__

    def __init__(
        self,
        *,
        task: Task | None = None,  # noqa: ARG002 – every agent is made with it; this one needs none
        options: Mapping[str, str] | None = None,
        script: Sequence[Action] = (),
    ) -> None:
        """`script` is for Python; the option `script` names a file and wins."""
        options = options or {}
        check_options(self.name, options, ("script",))
        self._script = (
            read_script(Path(options["script"])) if "script" in options else tuple(script)
        )
        self._calls = 0
        self._claim: str | None = None

    async def prepare(self, box: Box) -> None:
        """Nothing to prepare."""

    async def run(self, context: Context) -> AgentResult:
        """Follow the script. Raises AgentError where it says so, BudgetExhausted as any agent."""
        before = self._calls
        for action in self._script:
            if action.step in (None, context.step):
                await self._do(action, context)
        return AgentResult(claim=self._claim, turns=self._calls - before)

    async def _do(self, action: Action, context: Context) -> None:
        match action:
            case Exec():
                await self._exec(action, context)
            case Write():
                await self._write(action, context)
            case Say():
                context.emit(MessageSaid(text=action.text, model=context.model))
            case Sleep():
                await anyio.sleep(action.seconds)
            case Hang():
                await anyio.sleep_forever()
            case Fail():
                raise AgentError(action.message, reason="scripted_failure")
            case Pay():
                hold = context.meter.reserve(action.spend, turns=1)
                context.meter.settle(hold, action.spend)
                context.emit(AgentSpent(spend=action.spend, model=context.model))
            case Claim():
                self._claim = action.text
            case _:
                assert_never(action)

    async def _exec(self, action: Exec, context: Context) -> None:
        call = self._call("bash", {"command": action.command})
        argv = ("sh", "-c", f"exec 2>&1\n{action.command}")
        options = ExecOptions(user=action.user or context.user, background=action.background)
        await run_told(context, call, argv, options)

    async def _write(self, action: Write, context: Context) -> None:
        call = self._call("write", {"path": action.path, "text": action.text})
        context.emit(call)
        await context.box.put(action.text.encode(), action.path)
        context.emit(ToolReturned(call_id=call.call_id, output=f"wrote {action.path}"))

    def _call(self, tool: str, arguments: dict[str, Any]) -> ToolCalled:
        self._calls += 1
        return ToolCalled(call_id=f"call-{self._calls}", tool=tool, arguments=arguments)


def read_script(path: Path) -> tuple[Action, ...]:
    """Read a script file. Raises ConfigError with the file and the place."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        script: tuple[Action, ...] = _script_adapter().validate_python(data)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot read the script: {error}") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'script'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise ConfigError(f"{path}: {faults}", remedy="a script is a list of actions") from error
    return script


@cache
def _script_adapter() -> Any:
    return adapter(tuple[Annotated[Action, Field(discriminator="kind")], ...])
