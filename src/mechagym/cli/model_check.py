"""What `mechagym models check` does: each model looked at, all at once."""

from collections.abc import Sequence

import anyio

from mechagym import wiring
from mechagym.config import Settings
from mechagym.llm import health
from mechagym.llm.health import Health
from mechagym.llm.names import ModelName


def checks(settings: Settings, names: Sequence[str], *, deep: bool) -> list[Health]:
    """Look at the models named, else at the default model and all aliases.

    Raises ConfigError for what is no model's name.
    """
    admission = wiring.admission(settings)
    default = [settings.llm.default_model] if settings.llm.default_model else []
    texts = names or [*default, *admission.aliases]
    models = list(dict.fromkeys(admission.read(text) for text in texts))
    return anyio.run(_check_all, settings, models, deep)


async def _check_all(settings: Settings, models: Sequence[ModelName], deep: bool) -> list[Health]:
    credentials = wiring.credentials(settings)
    found: dict[ModelName, Health] = {}

    async def one(name: ModelName) -> None:
        provider = settings.llm.providers[name.provider]
        found[name] = await health.check(name, provider, credentials, settings.llm.outgoing)

    async with anyio.create_task_group() as tasks:
        for name in models:
            tasks.start_soon(one, name)
    return [found[name] for name in models]
