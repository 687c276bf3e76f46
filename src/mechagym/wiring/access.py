"""Opens the way from the boxes of a job to its models, where each can be called and stopped."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import product

from mechagym.config import Settings
from mechagym.errors import ConfigError
from mechagym.llm.credentials import Credentials
from mechagym.llm.tape import TapeWriter
from mechagym.run.access import Access
from mechagym.run.config import JobConfig
from mechagym.run.logins import Logins
from mechagym.sandbox.base import ReapScope
from mechagym.wiring.agents import calls_models
from mechagym.wiring.models import catalogue, models_of, prices


@asynccontextmanager
async def open_access(
    config: JobConfig,
    settings: Settings,
    *,
    keys: Credentials,
    tape: TapeWriter | None = None,
    tell: Callable[[str], None] = lambda _line: None,
) -> AsyncIterator[Access | None]:
    """The gateway of a job and all behind it; None where no agent of it calls a model.

    `tell` hears at the end what of a tape nobody played.
    Raises ConfigError (no key, an unreadable file of prices), PriceUnknown.
    """
    logins_of(settings).sweep(ReapScope())
    callers = [choice.name for choice in config.agents if calls_models(choice.name)]
    names = models_of(config)
    if not callers or not names:
        yield None
        return
    from mechagym.llm.gateway import open_gateway
    from mechagym.llm.stack import Models
    from mechagym.run.lending import GatewayAccess

    models = Models(
        settings=settings.llm,
        catalogue=catalogue(settings),
        prices=prices(settings),
        credentials=keys,
        allow_unpriced=config.allow_unpriced,
        tape=tape,
    )
    logins = [
        models.credentials.logs_in(models.provider(name), caller)
        for name, caller in product(names, callers)
    ]
    _check_limits(config, by_login=any(logins))
    models.billed = not all(logins)
    for name, caller in product(names, callers):
        models.check(name, agent=caller)
    mounted = logins_of(settings) if settings.llm.delivery == "mount" else None
    async with models, open_gateway(models) as gateway:
        yield GatewayAccess(models, gateway, roles=config.role_models, logins=mounted)
    for line in models.unplayed():
        tell(line)


def logins_of(settings: Settings) -> Logins:
    """Where the files of logins stand that boxes are shown."""
    return Logins(settings.data_dir / "logins")


def _check_limits(config: JobConfig, *, by_login: bool) -> None:
    """Where no dollar is billed, a limit in dollars never acts: another one must be there."""
    limits = (config.budget, config.rules.trial_budget)
    if config.allow_unpriced and not any(b.tokens is not None for b in limits):
        raise ConfigError(
            "--allow-unpriced needs a limit in tokens beside it",
            remedy="add --set budget.tokens=N, for the whole job",
        )
    bound = any(limit is not None for b in limits for limit in (b.tokens, b.seconds, b.turns))
    in_dollars = any(b.usd is not None and b.usd_basis == "imputed" for b in limits)
    if by_login and not bound and not in_dollars:
        raise ConfigError(
            "a login of Claude Code bills no dollars, so no limit would ever stop this job",
            remedy="add --set budget.tokens=N, or count list prices: --set budget.usd=N"
            " --set budget.usd_basis=imputed",
            reason="no_limit",
        )
