"""What `mechagym models check` does: each model looked at, all at once; deep: each called once."""

from collections.abc import Sequence
from dataclasses import replace

import anyio

from mechagym import wiring
from mechagym.budget import Budget, Meter
from mechagym.config import Settings
from mechagym.errors import BudgetError, ConfigError, ModelError
from mechagym.llm import health
from mechagym.llm.health import Health, State
from mechagym.llm.names import ModelName
from mechagym.llm.settings import RetryLimits
from mechagym.llm.stack import Models

CALL_USD = 0.5
"""The most that one call of a deep check may be worth at worst, or it is not made."""

LEAST_TOKENS = {"openai-responses": 16}
"""Wires that take no output limit of one token."""


def checks(settings: Settings, names: Sequence[str], *, deep: bool) -> list[Health]:
    """Look at the models named, else at the default model and all aliases.

    Raises ConfigError for what is no model's name.
    """
    admission = wiring.admission(settings)
    default = [settings.llm.default_model] if settings.llm.default_model else []
    texts = names or [*default, *admission.aliases]
    models = list(dict.fromkeys(admission.read(text) for text in texts))
    return anyio.run(_check_all, settings, models, deep)


async def _check_all(settings: Settings, names: Sequence[ModelName], deep: bool) -> list[Health]:
    found: dict[ModelName, Health] = {}
    once = replace(settings.llm, retry=RetryLimits(tries=1))
    async with Models(
        settings=once,
        catalogue=wiring.catalogue(settings),
        prices=wiring.prices(settings),
        credentials=wiring.credentials(settings),
    ) as models:

        async def one(name: ModelName) -> None:
            provider = once.providers[name.provider]
            seen = await health.check(name, provider, models.credentials, once.outgoing)
            call = deep and seen.state == "ok"
            found[name] = await _called(name, models, seen) if call else seen

        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(one, name)
    return [found[name] for name in names]


async def _called(name: ModelName, models: Models, seen: Health) -> Health:
    """Make one call of as few tokens as its wire takes, reserved and settled as any other."""
    meter = Meter(budget=Budget(usd=CALL_USD))
    most = LEAST_TOKENS.get(models.provider(name).wire, 1)
    try:
        from pydantic_ai.messages import ModelRequest
        from pydantic_ai.models import ModelRequestParameters

        model = models.open_model(name, meter=meter, emit=lambda _: None)
        await model.request(
            [ModelRequest.user_text_prompt("Say ok.")],
            {"max_tokens": most},
            ModelRequestParameters(),
        )
    except ModelError as error:
        state: State = "unauthorised" if error.reason == "unauthorised" else "unreachable"
        return replace(seen, state=state, says=f"the call failed: {error.message}")
    except (BudgetError, ConfigError) as error:
        return replace(seen, says=f"{seen.says}; not called: {error.message}")
    except ImportError:
        return replace(seen, says=f"{seen.says}; not called: pip install 'mechagym[models]'")
    spent = meter.settled
    cost = f"{spent.usage.tokens} tokens cost ${spent.cost_usd:.6f}"
    return replace(seen, says=f"{seen.says}; a call of {cost}")
