"""What the shell offers while a person types: names that exist here."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mechagym.store import JobRow

SHOWN_JOBS = 50


def agents(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The installed agents."""
    from mechagym import wiring

    return [name for name in wiring.names("agent") if name.startswith(incomplete)]


def sandboxes(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The installed backends, and `auto`."""
    from mechagym import wiring

    return [name for name in ("auto", *wiring.names("sandbox")) if name.startswith(incomplete)]


def models(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The aliases, and once a provider is named its models that are not retired."""
    from mechagym import config, wiring
    from mechagym.errors import MechagymError

    try:
        admission = wiring.admission(config.load())
    except MechagymError:
        return []
    names = [*admission.aliases, *(f"{name}:" for name in admission.providers)]
    if ":" in incomplete:
        names = admission.catalogue.suggestions(admission.today)
    return [name for name in names if name.startswith(incomplete)]


def jobs(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The newest jobs, and `last`; nothing where the store cannot be read."""
    import anyio

    from mechagym.errors import MechagymError

    try:
        found = anyio.run(_jobs)
    except MechagymError:
        return []
    names = ["last", *(job.name for job in found[:SHOWN_JOBS])]
    return [name for name in names if name.startswith(incomplete)]


async def _jobs() -> "list[JobRow]":
    from mechagym import config
    from mechagym.store import Store

    async with Store.open(config.load().store) as store:
        return await store.jobs()
