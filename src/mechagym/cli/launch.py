"""Running a job for a person: tasks and parts are found, a screen shows it, the end is told."""

import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import click

from mechagym import wiring
from mechagym.cli.found import find_job, opened
from mechagym.cli.job_file import JobEntry, job_config, job_entry
from mechagym.cli.model_names import named
from mechagym.cli.sources import datasets_of
from mechagym.cli.tapes import new_tape
from mechagym.cli.terminal.board import Board
from mechagym.cli.terminal.header import header
from mechagym.cli.terminal.page import Page
from mechagym.cli.terminal.plan_page import plan_page
from mechagym.cli.terminal.screens import JsonScreen, LiveScreen, PlainScreen, QuietScreen
from mechagym.cli.terminal.summary import summary_json, summary_page
from mechagym.config import Settings
from mechagym.errors import ConfigError
from mechagym.llm.credentials import Credentials
from mechagym.records import TrialKey
from mechagym.run.config import JobConfig
from mechagym.run.hostenv import fill, named_secrets
from mechagym.run.job import JobReport
from mechagym.run.launch import Parts, run_job
from mechagym.run.take import Taken, stored_config
from mechagym.sandbox.base import Sandbox
from mechagym.tasks.model import Task
from mechagym.verify.task_tests import TaskTests

GRADED, UNGRADED, STOPPED = 0, 3, 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """What the person wants to see and to keep, and the one thing they must say for themselves."""

    dry_run: bool = False
    quiet: bool = False
    as_json: bool = False
    trusts_host: bool = False
    record: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job to be run now: `resuming` tells a known one from a new one."""

    settings: Settings
    config: JobConfig
    tasks: Sequence[Task]
    showing: Showing
    resuming: bool = False


def fresh(settings: Settings, given: Mapping[str, Any], showing: Showing) -> int:
    """Run a new job, or with `dry_run` say what it would be. Gives the exit code."""
    config = _asked(settings, given)
    order = Order(
        settings=settings, config=config, tasks=tasks_of(settings, config), showing=showing
    )
    agents = tuple(fill(choice, settings.environ) for choice in config.agents)
    wiring.check_agents(replace(config, agents=agents), order.tasks, settings)
    if showing.dry_run:
        plan_page(settings, config, order.tasks, as_json=showing.as_json)
        return GRADED
    return carry_out(order)


def again(
    settings: Settings, job: str, given: Mapping[str, Any], showing: Showing, *, force: bool
) -> int:
    """Go on with a job; what was given beside its name must not change a result, or be forced."""
    if not any(given.values()) and settings.origins["sandbox"] != "flag":
        return resumed(settings, job, showing)
    if not given["agents"] and not given["file"]:
        raise ConfigError(
            "--resume takes the whole command line of the job, or nothing but -n beside it",
            remedy=f"mechagym jobs resume {job}",
        )
    return resumed(settings, job, showing, _asked(settings, given), force=force)


def resumed(
    settings: Settings,
    job: str,
    showing: Showing,
    asked: JobConfig | None = None,
    *,
    force: bool = False,
) -> int:
    """Go on with a job as it was; only how many trials run at once may be another number."""
    config = anyio.run(_stored, settings, job, asked, force)
    if settings.origins["concurrent"] == "flag":
        config = replace(config, pace=replace(config.pace, trials=settings.concurrent))
    tasks = tasks_of(settings, config)
    return carry_out(
        Order(settings=settings, config=config, tasks=tasks, showing=showing, resuming=True)
    )


def tasks_of(settings: Settings, config: JobConfig) -> list[Task]:
    """Load what the config names; each broken task is told and left out."""
    wanted = config.sources
    datasets = datasets_of(settings, wanted.sources, wanted.include, wanted.exclude)
    for broken in (broken for dataset in datasets for broken in dataset.broken):
        click.echo(f"broken, left out: {broken.reason}", err=True)
    return [task for dataset in datasets for task in dataset.tasks]


def carry_out(order: Order) -> int:
    """Run the job, show it, print its table; gives the exit code."""
    report = anyio.run(run_shown, order)
    page = Page(order.settings.terminal)
    if order.showing.as_json:
        page.json_line(summary_json(report))
    else:
        summary_page(page, report)
    return exit_code(report)


async def run_shown(order: Order) -> JobReport:
    """Run it in front of the screen that fits; the sandbox is open as long as the job runs."""
    settings, asked = order.settings, order.config
    board = Board()
    trusts_host = order.showing.trusts_host or order.resuming
    keys = wiring.credentials(settings)
    secrets, record = _secrets(settings, asked, keys), order.showing.record
    async with (
        AsyncExitStack() as stack,
        wiring.open_access(
            asked,
            settings,
            keys=keys,
            tape=stack.enter_context(closing(new_tape(record, secrets))) if record else None,
            tell=_tell,
        ) as access,
        wiring.open_sandbox(asked.sandbox, settings, trusts_host=trusts_host) as chosen,
    ):
        selected = await wiring.select_models(asked, settings)
        # last, since it may load much: whatever else can be wrong has been told by then
        config = await wiring.with_tools(asked, settings, _tell)
        if not order.showing.as_json and not order.showing.quiet:
            header(Page(settings.terminal), config, order.tasks, chosen)
        screen = _screen(order, board)
        with screen:
            parts = _parts(settings, secrets, chosen.sandbox)
            parts = replace(
                parts,
                begun=lambda taken: _begin(board, taken),
                watch=screen.take,
                access=access,
                selected=tuple(selection.event() for selection in selected),
                make_wrapper=wiring.wrapper(config.protocol),
            )
            return await run_job(config, order.tasks, parts, resuming=order.resuming)


def _tell(line: str) -> None:
    click.echo(line, err=True)


def exit_code(report: JobReport) -> int:
    """0: all is graded; 3: something is not; 130: a person stopped it."""
    if report.state == "cancelled":
        return STOPPED
    return UNGRADED if report.unscored or report.waiting else GRADED


def _asked(settings: Settings, given: Mapping[str, Any]) -> JobConfig:
    flags = dict(given)
    file, sets = flags.pop("file"), flags.pop("sets")
    entry = job_entry(Path(file) if file else None, flags, sets)
    return job_config(_by_full_id(settings, entry), settings)


def _by_full_id(settings: Settings, entry: JobEntry) -> JobEntry:
    """The entry with each model as `provider:name`; those of roles stand apart.

    Where none is named and an agent needs one, it is the default model of the settings.
    """
    roles = tuple(f"{role}={model}" for role, model in entry.role_models.items())
    models, default = entry.models, settings.llm.default_model
    if not models and default and any(wiring.needs_model(agent.name) for agent in entry.agents):
        models = (default,)
    asked = named(settings, models + roles, roles=True)
    return entry.model_copy(
        update={
            "models": tuple(map(str, asked.models)),
            "role_models": {role: str(model) for role, model in asked.roles.items()},
        }
    )


async def _stored(
    settings: Settings, called: str, asked: JobConfig | None, force: bool
) -> JobConfig:
    async with opened(settings) as store:
        row = await find_job(store, called)
    if asked is not None:
        asked = replace(asked, name=row.name, out_dir=Path(row.folder).parent)
    return stored_config(row, asked, force=force)


def _secrets(settings: Settings, config: JobConfig, keys: Credentials) -> dict[str, str]:
    """The keys that this job may use. A login is not asked for where no model is."""
    providers = [settings.llm.providers[name.provider] for name in wiring.models_of(config)]
    return keys.to_hide(providers) if providers else {}


def _parts(settings: Settings, secrets: Mapping[str, str], sandbox: Sandbox) -> Parts:
    return Parts(
        store_url=settings.store,
        sandbox=sandbox,
        verifier=TaskTests(),
        make_agent=lambda choice, task: wiring.make_agent(choice, task, settings),
        version_of=wiring.agent_version,
        host_env=settings.environ,
        secrets={**named_secrets(settings.environ), **secrets},
    )


def _begin(board: Board, taken: Taken) -> None:
    """Name the trials; with the agent and model where the job has more than one of them."""
    keys = [plan.key for plan in taken.todo]
    many = len({(key.agent, key.model) for key in keys}) > 1
    names = {key.trial_id: _name(key) if many else key.trial_name for key in keys}
    board.begin(names, taken.row.trials)


def _name(key: TrialKey) -> str:
    agent = re.sub(r"@[^\[]*", "", key.agent)
    return " ".join(filter(None, (key.trial_name, agent, key.model)))


def _screen(order: Order, board: Board) -> QuietScreen:
    terminal = order.settings.terminal
    if order.showing.as_json:
        return JsonScreen(board)
    if order.showing.quiet:
        return QuietScreen(board)
    return LiveScreen(board, terminal) if terminal.live else PlainScreen(board, terminal)
