"""`mechagym jobs compare A B`: what B changed against A, on the tasks that both have."""

import re
from typing import TYPE_CHECKING

import click

from mechagym.cli.options import json_option, with_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mechagym.config import Settings
    from mechagym.records import TrialRecord
    from mechagym.store import Store


@click.command()
@click.argument("sides", nargs=2, metavar="A B")
@click.option("--all", "all_tasks", is_flag=True, help="List the tasks without a change too.")
@click.option(
    "--approximate", is_flag=True, help="Compare trials on a host base with those on images."
)
@json_option
@with_settings("store")
def compare(
    settings: "Settings",
    sides: tuple[str, str],
    all_tasks: bool,
    approximate: bool,
    as_json: bool,
) -> None:
    """Compare two jobs on the tasks they share: difference, interval, and each task that changed.

    A and B are jobs, or JOB:AGENT[:MODEL] where a job has more than one agent or model. Results of
    two versions of a task are never compared.
    """
    import anyio

    from mechagym.cli.terminal.compare_page import compare_json, compare_page
    from mechagym.cli.terminal.page import Page
    from mechagym.run.compare import compare as paired

    left, right = anyio.run(_sides, settings, *sides)
    found = paired(left, right, approximate=approximate)
    page = Page(settings.terminal)
    if as_json:
        page.json(compare_json(found))
    else:
        compare_page(page, found, sides, all_tasks=all_tasks)


async def _sides(settings: "Settings", *sides: str) -> "list[list[TrialRecord]]":
    from mechagym.cli.found import opened

    async with opened(settings) as store:
        return [await _side(store, side) for side in sides]


async def _side(store: "Store", side: str) -> "list[TrialRecord]":
    from mechagym.cli.found import find_job

    job = await find_job(store, side.partition(":")[0])
    return of_one(job.name, await store.records(job.job_id), side)


def of_one(job: str, records: "Sequence[TrialRecord]", side: str) -> "list[TrialRecord]":
    """The trials of the one agent with one model that `JOB[:AGENT[:MODEL]]` means.

    Raises ConfigError where that is none, or more than one.
    """
    from mechagym.errors import ConfigError

    job_called, _, agent = side.partition(":")
    who = sorted({_who(record) for record in records})
    fitting = [one for one in who if not agent or _is(one, agent)]
    if len(fitting) == 1:
        return [record for record in records if _who(record) == fitting[0]]
    if not who:
        raise ConfigError(f"job {job} has no trial that ended")
    raise ConfigError(
        f"{side}: job {job} has {len(who)} agents, which one is meant?",
        remedy="name one: " + ", ".join(f"{job_called}:{one}" for one in who),
    )


def _who(record: "TrialRecord") -> str:
    return ":".join(filter(None, (record.key.agent, record.key.model)))


def _is(who: str, asked: str) -> bool:
    """`oracle` means `oracle@0.1.0`; a model may follow."""
    return asked in (who, re.sub(r"@[^:\[]*", "", who), re.split("[@:]", who)[0])
