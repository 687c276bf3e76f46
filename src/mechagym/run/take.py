"""Taking a job in hand: a new one is laid out, a known one is continued where it stands.

Finished trials stay as they are; the others are continued as new tries. A job whose config
differs from the stored one is not continued unless that is asked for: its numbers would not be of
one thing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mechagym.errors import ConfigError
from mechagym.records import from_json, new_id, now, to_json
from mechagym.run.config import AgentChoice, JobConfig
from mechagym.run.plan import TrialPlan, plan_trials, rejoin
from mechagym.store import JobRow, Store, TaskRow, this_process
from mechagym.tasks.model import Task
from mechagym.tasks.needs import needs


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A job in hand. `todo` are the trials without an end record."""

    row: JobRow
    todo: tuple[TrialPlan, ...]
    resumed: bool


VersionOf = Callable[[AgentChoice], str]


async def begin(
    store: Store, config: JobConfig, tasks: Sequence[Task], version_of: VersionOf
) -> Taken:
    """Lay out a new job. Raises ConfigError where its name is taken or there is nothing to run."""
    if await store.find_job(config.name) is not None:
        raise ConfigError(
            f"a job named {config.name} exists",
            remedy=f"`mechagym jobs resume {config.name}` continues it; --name begins another",
        )
    if not tasks:
        raise ConfigError("no task is left to run", remedy="look at -t and -x")
    job_id = new_id(16)
    plans = plan_trials(config, job_id, tasks, version_of)
    row = JobRow(
        job_id=job_id,
        name=config.name,
        config=to_json(config),
        config_digest=config.digest,
        folder=str(config.folder),
        created_at=now(),
        trials=len(plans),
    )
    await store.see_tasks([known_of(task) for task in tasks])
    await store.create_job(row, [plan.key for plan in plans])
    await store.claim_job(job_id, this_process())
    return Taken(row=row, todo=plans, resumed=False)


def known_of(task: Task) -> TaskRow:
    """What lists show of a task; words that its metadata does not have are not made up."""

    def word(name: str) -> str | None:
        value = task.metadata.get(name)
        return value if isinstance(value, str) and value else None

    tags = task.metadata.get("tags")
    return TaskRow(
        digest=task.digest,
        dataset=task.dataset,
        name=task.name,
        difficulty=word("difficulty"),
        category=word("category"),
        tags=tuple(map(str, tags)) if isinstance(tags, list) else task.keywords,
        author=word("author_name") or next(iter(task.authors), None),
        agent_timeout_s=task.steps[0].agent.timeout_s,
        image=task.environment.docker_image,
        needs=needs(task),
    )


async def resume(
    store: Store, row: JobRow, config: JobConfig, tasks: Sequence[Task], version_of: VersionOf
) -> Taken:
    """Continue a job.

    Raises JobLocked where another live process has it, ConfigError where a task or an agent is not
    what it was.
    """
    await store.claim_job(row.job_id, this_process())
    rows = await store.trials(row.job_id)
    todo = [trial.key for trial in rows if trial.state != "ended"]
    return Taken(
        row=replace(row, trials=len(rows)),
        todo=rejoin(todo, config, tasks, version_of),
        resumed=True,
    )


def stored_config(row: JobRow, asked: JobConfig | None = None, *, force: bool = False) -> JobConfig:
    """The config that a known job goes on with: its own, but for pace and place of what was asked.

    Raises ConfigError where what was asked could change a result and is not forced.
    """
    own = from_json(JobConfig, row.config)
    if asked is None:
        return own
    if asked.digest != row.config_digest and not force:
        differs = [
            name
            for name in (
                "sources",
                "agents",
                "models",
                "role_models",
                "protocol",
                "repeats",
                "sandbox",
                "rules",
            )
            if getattr(asked, name) != getattr(own, name)
        ]
        raise ConfigError(
            f"job {row.name} was begun with other {', '.join(differs)}",
            remedy="leave them out to go on as it was, or add --force-config to change it midway",
        )
    return asked if force else replace(own, pace=asked.pace, budget=asked.budget)
