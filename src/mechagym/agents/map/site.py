"""What all modules of one run share, and the modules that are chosen by a switch."""

from dataclasses import dataclass

from mechagym.agents.base import Context, OpenModel
from mechagym.agents.map.base import Checks, Decomposer, Evaluator, Sampler
from mechagym.agents.map.clock import Clock
from mechagym.agents.map.config import MapConfig
from mechagym.agents.map.conversation import Window
from mechagym.agents.map.decomposer_rules import RulesDecomposer
from mechagym.agents.map.evaluator import GeneratedEvaluator, look_at_untouched
from mechagym.agents.map.off import WholeTask
from mechagym.agents.map.sampler import ForkSampler
from mechagym.agents.map.services import listening
from mechagym.agents.map.status import Purse
from mechagym.agents.map.telling import Telling
from mechagym.agents.map.types import CheckRequest, Surroundings
from mechagym.budget import Budget
from mechagym.errors import BoxDied, BudgetError, ConfigError, ModelError, SandboxError
from mechagym.events.map import MapChecksReady

CHECKS_USD_SHARE, CHECKS_TIME_SHARE = 0.25, 0.20
CHECKS_S = 300.0
"""The most that the making of checks may take where the trial has no deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a run takes place and by what means."""

    context: Context
    open_model: OpenModel
    config: MapConfig
    place: Surroundings
    clock: Clock
    purse: Purse
    window: Window
    telling: Telling


async def admit(context: Context, config: MapConfig) -> None:
    """Refuse, before any call of a model, what this box cannot do. Raises ConfigError."""
    if config.switches.sampler not in ("initial", "always"):
        return
    try:
        async with context.box.fork():
            pass
    except BoxDied:
        raise
    except SandboxError as error:
        raise ConfigError(
            f"agent map: sampler={config.switches.sampler} needs a box that can fork: {error}",
            remedy="take another sandbox, or sampler=stall, which does without",
        ) from error


def decomposer(site: Site) -> Decomposer:
    """Rules, a model, or none."""
    match site.config.switches.decomposer:
        case "rules":
            return RulesDecomposer()
        case "llm":
            from mechagym.agents.map.decomposer_llm import LlmDecomposer

            return LlmDecomposer(site.open_model, site.context.meter)
        case "off":
            return WholeTask()


async def sampler(site: Site) -> Sampler | None:
    """The one that forks, or none. To be made before any work: it notes which services run."""
    if site.config.switches.sampler == "off":
        return None
    return ForkSampler(listening=await listening(site.context.box))


async def evaluator(site: Site, checks: Checks | None) -> Evaluator | None:
    """Have checks made, within their share; without a valid one there is no evaluator, and an
    event says why. Raises BoxDied.
    """
    if site.config.switches.evaluator == "off" or checks is None:
        return None
    try:
        return await _prepared(site, checks)
    except BoxDied:
        raise
    except (ModelError, BudgetError, SandboxError) as error:
        site.telling.emit(MapChecksReady(problem=str(error)))
        return None


async def _prepared(site: Site, checks: Checks) -> Evaluator | None:
    context, clock = site.context, site.clock
    timeout_s = min(CHECKS_S, CHECKS_TIME_SHARE * clock.whole_s)
    usd = site.purse.left_usd
    budget = Budget(
        usd=None if usd is None else CHECKS_USD_SHARE * usd,
        seconds=timeout_s,
        usd_basis=context.meter.budget.usd_basis,
    )
    with context.meter.spend(budget, emit=_unheard) as meter:
        suite = await checks.prepare(
            CheckRequest(
                instruction=context.instruction,
                box=context.box,
                folder=site.place.checks,
                open_model=site.open_model,
                meter=meter,
                emit=context.emit,
                timeout_s=timeout_s,
                suite_timeout_s=site.config.suite_timeout_s,
                config_digest=site.config.testgen,
            )
        )
    site.telling.emit(
        MapChecksReady(
            digest=suite.digest,
            goals=len(suite.goals),
            guards=len(suite.guards),
            rejected=suite.rejected,
            problem="" if suite.usable else "no valid check came of it",
        )
    )
    if not suite.usable:
        return None
    untouched = await look_at_untouched(context.box, suite)
    return GeneratedEvaluator(checks, suite=suite, untouched=untouched, emit=context.emit)


def _unheard(_body: object) -> None:
    """A share that warns is no news for the trial: the share is small on purpose."""
