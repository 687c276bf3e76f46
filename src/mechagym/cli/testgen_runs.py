"""`mechagym testgen run|show|list|stats|export|check-protocol|rebuild`: what was made, and how good
it is.
"""

from typing import TYPE_CHECKING

import click

from mechagym.cli.options import json_option, trust_option, with_settings

if TYPE_CHECKING:
    from mechagym.config import Settings
    from mechagym.store.testgen_rows import RunParts, RunRow


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--task", metavar="TASK", help="In the untouched box of this task.")
@click.option("--trial", metavar="TRIAL", help="On what this trial left.")
@trust_option
@json_option
@with_settings("store", "sandbox", "tasks")
def run(
    settings: "Settings",
    run_id: str,
    task: str | None,
    trial: str | None,
    **given: bool,
) -> None:
    """Run a suite in a fresh box of a task, or of what a trial left in it.

    Exit code: 0 all tests pass, 1 some does not.
    """
    import anyio

    from mechagym.cli.testgen_trying import Place, try_suite

    place = Place(task=task, trial=trial, trusts_host=given["trusts_host"])
    raise SystemExit(anyio.run(try_suite, settings, run_id, place, given["as_json"]))


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--matrix", is_flag=True, help="The grid of counts, entity by constraint.")
@click.option("--code", is_flag=True, help="The code of every test.")
@json_option
@with_settings("store")
def show(settings: "Settings", run_id: str, matrix: bool, code: bool, as_json: bool) -> None:
    """Show a run: what it came to, and each test with the rule that took it out."""
    import anyio

    from mechagym.cli.terminal.page import Page
    from mechagym.cli.terminal.testgen_page import run_json, run_page

    row, parts = anyio.run(_loaded, settings, run_id)
    page = Page(settings.terminal)
    if as_json:
        page.json(run_json(row, parts))
    else:
        run_page(page, row, parts, code=code, matrix=matrix)


@click.command("list")
@click.option("--task", metavar="TASK", help="Of this task only, as DATASET/NAME.")
@click.option("--limit", default=20, show_default=True, help="How many, newest first.")
@json_option
@with_settings("store")
def list_runs(settings: "Settings", task: str | None, limit: int, as_json: bool) -> None:
    """List runs, newest first."""
    import anyio

    from mechagym.cli.terminal.page import Page
    from mechagym.cli.terminal.testgen_lists import runs_page
    from mechagym.cli.terminal.testgen_page import run_json

    rows = anyio.run(_listed, settings, task, limit)
    page = Page(settings.terminal)
    if as_json:
        page.json([run_json(row) for row in rows])
    else:
        runs_page(page, rows)


@click.command()
@json_option
@with_settings("store")
def stats(settings: "Settings", as_json: bool) -> None:
    """Show what each config is worth, the best of each type of tasks, and calibration."""
    import anyio

    from mechagym.cli.terminal.testgen_lists import show_stats

    anyio.run(show_stats, settings, as_json)


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option(
    "--output", required=True, type=click.Path(file_okay=False), metavar="DIR", help="Where to."
)
@with_settings("store")
def export(settings: "Settings", run_id: str, output: str) -> None:
    """Write a suite as pytest files with its manifest; they run by the box's own pytest too."""
    import anyio

    anyio.run(_export, settings, run_id, output)


@click.command("check-protocol")
@click.argument("trial")
@json_option
@with_settings("store")
def check_protocol(settings: "Settings", trial: str, as_json: bool) -> None:
    """Say whether a trial's agent wrote its tests first, step by step with evidence.

    Exit code: 0 it followed the protocol, 1 it did not.
    """
    import anyio

    from mechagym.cli.terminal.protocol_page import show_protocol

    raise SystemExit(anyio.run(show_protocol, settings, trial, as_json))


@click.command()
@with_settings("store")
def rebuild(settings: "Settings") -> None:
    """Make all rows of test generation again from the events."""
    import anyio

    anyio.run(_rebuild, settings)


async def _loaded(settings: "Settings", called: str) -> "tuple[RunRow, RunParts]":
    from mechagym.cli.testgen_found import find_run
    from mechagym.store import Store

    async with Store.open(settings.store) as store:
        row = await find_run(store, called)
        return row, await store.testgen.parts(row.run_id)


async def _listed(settings: "Settings", task: str | None, limit: int) -> "list[RunRow]":
    from mechagym.store import Store
    from mechagym.store.testgen_rows import RunFilter

    async with Store.open(settings.store) as store:
        return await store.testgen.runs(RunFilter(task_id=task, limit=limit))


async def _export(settings: "Settings", called: str, output: str) -> None:
    from pathlib import Path

    from mechagym.cli.testgen_found import find_run
    from mechagym.cli.testgen_making import write_suite
    from mechagym.store import Store
    from mechagym.testgen.service import TestGenService

    async with Store.open(settings.store) as store, TestGenService.open(store) as service:
        saved = await service.result((await find_run(store, called)).run_id)
    write_suite(saved.suite, Path(output))


async def _rebuild(settings: "Settings") -> None:
    from mechagym.store import Store

    async with Store.open(settings.store) as store:
        await store.testgen.rebuild()
