"""What a job is told while it runs, by way of its store: from here or from another machine."""

from typing import TYPE_CHECKING

import click

from mechagym.cli.options import job_argument, with_settings

if TYPE_CHECKING:
    from mechagym.budget import Limit
    from mechagym.config import Settings

NONE = "none"


class LimitValue(click.ParamType[float | str]):
    """A number ≥ 0, or `none`."""

    name = "number|none"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        """Read it."""
        if value == NONE:
            return NONE
        try:
            number = float(str(value))
        except ValueError:
            number = -1.0
        if not 0 <= number < float("inf"):
            self.fail(f"{value!r} is neither a number ≥ 0 nor {NONE}", param, ctx)
        return number


@click.command()
@job_argument
@click.option("--drain", is_flag=True, help="Let the running trials finish.")
@with_settings("store")
def stop(settings: "Settings", job: str, drain: bool) -> None:
    """Stop a job that runs, here or on another machine with this store."""
    import anyio

    anyio.run(_stop, settings, job, drain)


@click.command("raise")
@job_argument
@click.option("--usd", type=LimitValue(), help="The new limit in dollars, or `none`.")
@click.option("--tokens", type=LimitValue(), help="The new limit in tokens, or `none`.")
@click.option("--seconds", type=LimitValue(), help="The new limit in seconds, or `none`.")
@click.option("--turns", type=LimitValue(), help="The new limit in turns, or `none`.")
@with_settings("store")
def raise_limit(settings: "Settings", job: str, **limits: float | str | None) -> None:
    """Change a job's budget: what was spent stays spent.

    A job that runs heeds it within two seconds; one that stopped for its budget goes on with
    `mechagym jobs resume`. A limit may be lowered the same way.
    """
    import anyio

    from mechagym.budget import LIMITS

    given = {name: value for name in LIMITS if (value := limits[name]) is not None}
    if not given:
        raise click.UsageError("say which limit: --usd, --tokens, --seconds or --turns")
    anyio.run(_raise, settings, job, given)


async def _stop(settings: "Settings", called: str, drain: bool) -> None:
    from mechagym.cli.found import find_job, opened
    from mechagym.errors import ConfigError
    from mechagym.events import StopOp

    async with opened(settings) as store:
        job = await find_job(store, called)
        if job.state != "running" or job.owner is None:
            raise ConfigError(f"job {job.name} is not running: it is {job.state}")
        await store.put_op(job.job_id, StopOp(drain=drain), author="cli")
    how = "let its running trials finish and stop" if drain else "cancel its trials and stop"
    click.echo(f"{job.name}: process {job.owner.pid} on {job.owner.host} is told to {how}")


async def _raise(settings: "Settings", called: str, limits: "dict[Limit, float | str]") -> None:
    from mechagym.cli.found import find_job, opened
    from mechagym.events import SetBudgetOp
    from mechagym.run.purse import change_limit

    async with opened(settings) as store:
        job = await find_job(store, called)
        running = job.state == "running" and job.owner is not None
        for limit, told in limits.items():
            value = None if isinstance(told, str) else told
            if running:
                await store.put_op(job.job_id, SetBudgetOp(limit=limit, value=value), author="cli")
            else:
                await change_limit(store, job, limit, value)
            shown = NONE if value is None else f"{value:g}"
            click.echo(f"{job.name}: its limit in {limit} is {shown}")
    if not running:
        click.echo(f"it is {job.state}; to go on: mechagym jobs resume {job.name}")
