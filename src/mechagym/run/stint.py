"""The agent's time in the box: it works until it is done or its deadline comes, and then it is
dead.

After `let_work` returns, no process of the agent's own program lives in the box and no task of it
in our process can reach the box; services that the task needs stay up for the tests.
"""

from dataclasses import dataclass, field

import anyio

from mechagym.agents.base import Agent, AgentResult, Context
from mechagym.errors import BoxDied, SandboxError
from mechagym.run.access import Patience
from mechagym.run.leash import Leash
from mechagym.run.outcome import Ending, ending_of
from mechagym.sandbox.base import Box
from mechagym.sandbox.processes import StopReport, stop_agent

STOP_S = 10.0
MARGIN_SHARE = 0.05
MARGIN_MAX_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stint:
    """How the agent's time ended, and what was alive then."""

    ending: Ending
    result: AgentResult | None
    error: BaseException | None
    stopped: StopReport


@dataclass(slots=True)
class _Work:
    done: anyio.Event = field(default_factory=anyio.Event)
    result: AgentResult | None = None
    error: BaseException | None = None


def told(timeout_s: float | None) -> float | None:
    """The time an agent is told it has: its deadline less a margin to end by itself."""
    if timeout_s is None:
        return None
    return timeout_s - min(MARGIN_MAX_S, MARGIN_SHARE * timeout_s)


async def let_work(
    agent: Agent, context: Context, leash: Leash, box: Box, patience: Patience
) -> Stint:
    """Run the agent as long as there is patience with it, and end it.

    Raises SandboxError where the agent could not be stopped: then nothing may be graded in this
    box.
    """
    work = _Work()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_run, agent, context, work)
        await patience.wait(work.done)
        in_time = work.done.is_set()
        leash.cut()
        stopped = await _stop(box)
        tasks.cancel_scope.cancel()
    if isinstance(work.error, SandboxError):
        raise work.error
    if not in_time:
        over: Ending = "budget" if patience.broke else "deadline"
        return Stint(ending=over, result=None, error=None, stopped=stopped)
    ending: Ending = "finished" if work.error is None else ending_of(work.error)
    if patience.broke:
        ending = "budget"
    return Stint(ending=ending, result=work.result, error=work.error, stopped=stopped)


async def _run(agent: Agent, context: Context, work: _Work) -> None:
    try:
        work.result = await agent.run(context)
    except Exception as error:  # noqa: BLE001 – whatever an agent raises is its own fault, and kept
        work.error = error
    finally:
        work.done.set()


async def _stop(box: Box) -> StopReport:
    with anyio.move_on_after(STOP_S):
        return await stop_agent(box)
    raise BoxDied(f"the agent could not be stopped within {STOP_S:g} s", reason="agent_lives")
