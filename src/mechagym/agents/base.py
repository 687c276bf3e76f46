"""The seam of all agents: prepared once in a box, run once per step of the task.

An agent sees a Context and nothing else: no task folder, no tests, no solution, no host path. It
may fail with AgentError; its own opinion of its work is a claim, kept beside the verdict.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from mechagym.budget import Meter
from mechagym.events import Emit
from mechagym.llm.providers import Dialect
from mechagym.records import Json
from mechagym.sandbox.base import Box, Mount
from mechagym.tasks.model import Task

if TYPE_CHECKING:
    from pydantic_ai.models import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a program in the box reaches its model: `url` without a path, `model` as its provider
    calls it. The token is this try's: it opens nothing else, and nothing after the agent's time.

    `login`: a file in the box by which the program is logged in; the token then goes beside it.
    """

    url: str
    token: str = field(repr=False)
    model: str
    dialect: Dialect
    login: str | None = None


OpenModel = Callable[[str, Meter | None], "Model"]
"""Opens the model of a role for an agent in our process, paid by a meter (None: the trial's).

A role without a model of its own has the trial's. Raises ConfigError.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What an agent of ours must know of the trial's model. None: nobody said."""

    window_tokens: int | None = None
    takes_images: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """All an agent gets. `seconds_left` is already less the margin it should keep for itself."""

    instruction: str
    box: Box
    meter: Meter
    emit: Emit
    step: str = "main"
    model: str | None = None
    endpoint: Endpoint | None = None
    user: str | None = None
    seconds_left: float | None = None
    open_model: OpenModel | None = None
    facts: ModelFacts = ModelFacts()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentResult:
    """How the agent says it ended. `claim` is its own opinion; `turns` None where it has none."""

    claim: str | None = None
    turns: int | None = None
    exit_code: int | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)


class Agent(Protocol):
    """One trial's agent, made by its factory for this trial and not reused."""

    name: str
    version: str

    async def prepare(self, box: Box) -> None:
        """Make ready in the box (at most 360 s). Raises AgentSetupError, SandboxError by blame."""
        ...

    async def run(self, context: Context) -> AgentResult:
        """Work on the instruction until done; a cancel ends it. Raises AgentError."""
        ...


@runtime_checkable
class WorksInBox(Protocol):
    """An agent that is a program in the box and calls its model from there.

    `dialects` are those it speaks, best first; `mounts` are its tools, read-only.
    """

    name: str

    @property
    def dialects(self) -> tuple[Dialect, ...]:
        """What it can speak with a model."""
        ...

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """What its box must be opened with."""
        ...


class AgentFactory(Protocol):
    """What an entry point of `mechagym.agents` names: a class whose call makes one trial's agent.

    `options` are the `--set agent.KEY=VALUE` of the job, as text. Only the oracle looks into
    `task`.
    """

    def __call__(self, *, task: Task, options: Mapping[str, str]) -> Agent:
        """Make the agent. Raises ConfigError for an unknown or bad option."""
        ...
