"""Asks the router whether the models of a job may be used today.

A job measures the models that it names, so none stands in for another: the router gives leave, or
the job does not start. What is used of a quota comes from the rows that the Usage page shows.
"""

from datetime import datetime, timedelta
from typing import cast

from mechagym.config import Settings
from mechagym.errors import PriceUnknown
from mechagym.llm.names import ModelName
from mechagym.llm.price_table import PriceTable
from mechagym.llm.router.file import Fallback, Role, load_models
from mechagym.llm.router.select import ModelSelector
from mechagym.llm.router.selection import ModelSelection, SelectionRequest, TokensUsed
from mechagym.records import now
from mechagym.run.config import JobConfig
from mechagym.store import Store
from mechagym.store.views.money import SpendFilter, spend
from mechagym.wiring.agents import calls_models
from mechagym.wiring.models import admission, prices

DAY, WEEK = timedelta(days=1), timedelta(days=7)
MAIN: Role = "actor"
"""The role of a trial's own model."""


async def select_models(config: JobConfig, settings: Settings) -> list[ModelSelection]:
    """Have the router look at each model of a job.

    Raises ModelError: a provider is disabled, or over its share of a quota.
    """
    if not any(calls_models(choice.name) for choice in config.agents):
        return []
    at, table = now(), prices(settings)
    file = load_models(settings.config_dir / "models.yaml")
    used: dict[str, TokensUsed] = {}
    if any(quota.weekly_tokens or quota.daily_tokens for quota in file.providers.values()):
        async with Store.open(settings.store) as store:
            used = await tokens_used(store, at)
    wanted = [(MAIN, model) for model in config.models if model]
    wanted += [(cast("Role", role), model) for role, model in config.role_models.items()]
    return [
        ModelSelector(
            file=file.model_copy(update={"fallback": Fallback()}),
            admission=admission(settings),
            prices=table,
            at=at,
            overrides={role: ModelName.of(model)},
            used=used,
        ).select(SelectionRequest(role=role))
        for role, model in wanted
        if not config.allow_unpriced or _is_priced(table, ModelName.of(model), at)
    ]


async def tokens_used(store: Store, at: datetime) -> dict[str, TokensUsed]:
    """What each provider has worked in the day and in the week before, over all jobs."""
    day, week = [
        {s.name: s.spend.usage.tokens for s in await store.ask(spend, "provider", wanted)}
        for wanted in (SpendFilter(since=at - DAY), SpendFilter(since=at - WEEK))
    ]
    return {
        name: TokensUsed(daily=day.get(name, 0), weekly=tokens)
        for name, tokens in week.items()
        if name is not None
    }


def _is_priced(table: PriceTable, name: ModelName, at: datetime) -> bool:
    try:
        table.find(name, at)
    except PriceUnknown:
        return False
    return True
