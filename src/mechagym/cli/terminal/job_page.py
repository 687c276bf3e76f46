"""How a job is shown afterwards: from the store, with the same table as at its end."""

import json
from typing import Any

from rich.text import Text

from mechagym.cli.found import find_job, opened
from mechagym.cli.terminal.figures import ago, duration, money, share
from mechagym.cli.terminal.page import YELLOW, Cell, Column, Page, outcome_text
from mechagym.cli.terminal.summary import group_json, groups_of, write_groups, write_ungraded
from mechagym.config import Settings
from mechagym.records import TrialRecord, to_json
from mechagym.store import JobRow, TrialRow

TRIAL_COLUMNS = (
    Column(name="trial", cut=True),
    Column(name="agent", cut=True),
    Column(name="outcome"),
    Column(name="reward", align="right"),
    Column(name="tries", align="right"),
    Column(name="cost", align="right"),
    Column(name="time", align="right"),
)


async def show_job(settings: Settings, called: str, with_trials: bool, as_json: bool) -> None:
    """Find it in the store and write it. Raises ConfigError."""
    async with opened(settings) as store:
        job = await find_job(store, called)
        rows = await store.trials(job.job_id)
        records = await store.records(job.job_id)
    page = Page(settings.terminal)
    if as_json:
        page.json(_json(job, rows, records, with_trials))
        return
    _head(page, job, rows)
    if with_trials:
        page.line()
        page.table(TRIAL_COLUMNS, [_row(row) for row in rows])
    if records:
        page.line()
        write_groups(page, groups_of(records))
        write_ungraded(page, [record for record in records if not record.graded])


def _head(page: Page, job: JobRow, rows: list[TrialRow]) -> None:
    page.line(Text.assemble((job.name, "bold"), f" ({job.job_id})"))
    ended = sum(row.state == "ended" for row in rows)
    page.line(f"{job.state}, {ended} of {len(rows)} trials ended, made {ago(job.created_at)}")
    if job.owner:
        page.line(Text(f"process {job.owner.pid} on {job.owner.host} works on it", style=YELLOW))
    config = json.loads(job.config)
    agents = ", ".join(agent["name"] for agent in config["agents"])
    models = ", ".join(filter(None, config["models"]))
    page.line(f"agents {agents}" + (f", models {models}" if models else ""))
    page.line(f"tasks {', '.join(config['sources']['sources'])}")
    page.line(f"sandbox {config['sandbox']}, config {job.config_digest[:12]}")
    page.line(job.folder)


def _row(row: TrialRow) -> list[Cell]:
    outcome: Cell = Text(row.state, style="cyan")
    if row.outcome is not None:
        outcome = outcome_text(row.outcome, verified=row.graded)
    return [
        row.key.trial_name,
        row.key.agent,
        outcome,
        share(row.reward),
        str(row.tries),
        money(row.cost_usd),
        duration(row.duration_s),
    ]


def _json(
    job: JobRow, rows: list[TrialRow], records: list[TrialRecord], with_trials: bool
) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(to_json(job))
    shown["config"] = json.loads(job.config)
    shown["groups"] = [group_json(group) for group in groups_of(records)]
    if with_trials:
        shown["trial_rows"] = [json.loads(to_json(row)) for row in rows]
    return shown
