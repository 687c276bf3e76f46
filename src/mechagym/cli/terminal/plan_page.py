"""`--dry-run`: what would be run, which images it needs, what it can cost and take at worst."""

from collections.abc import Sequence
from dataclasses import dataclass

from mechagym.cli.terminal.figures import duration, money, size
from mechagym.cli.terminal.header import amount, trials_of
from mechagym.cli.terminal.page import Column, Page
from mechagym.config import Settings
from mechagym.errors import TaskError
from mechagym.run.boxes import image_of
from mechagym.run.config import JobConfig
from mechagym.sandbox.base import BuildImage, RegistryImage
from mechagym.tasks.model import Task

MIB = 1024 * 1024
COLUMNS = (
    Column(name="task", cut=True),
    Column(name="image", cut=True),
    Column(name="agent", align="right"),
    Column(name="tests", align="right"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The most a job can cost and take. `cost_usd` None: nothing bounds it.

    `disk_bytes` is what boxes at once may write; images come on top.
    """

    cost_usd: float | None
    seconds: float
    disk_bytes: int


def plan_page(
    settings: Settings, config: JobConfig, tasks: Sequence[Task], *, as_json: bool
) -> None:
    """Write the plan; nothing is started and nothing is asked of a backend."""
    page = Page(settings.terminal)
    worst = worst_case(config, tasks)
    images = sorted({image_name(task, config) for task in tasks})
    if as_json:
        page.json(
            {
                "job": config.name,
                "config_digest": config.digest,
                "tasks": [{"task": t.task_id, "digest": t.digest} for t in tasks],
                "agents": [agent.name for agent in config.agents],
                "models": [model for model in config.models if model],
                "trials": trials_of(config, len(tasks)),
                "images": images,
                "worst_case": {
                    "cost_usd": worst.cost_usd,
                    "seconds": worst.seconds,
                    "disk_bytes": worst.disk_bytes,
                },
            }
        )
        return
    page.table(COLUMNS, [_row(task, config) for task in tasks])
    page.line()
    page.line(f"{amount(config, len(tasks))}, {config.pace.trials} at once")
    page.line(f"agents: {', '.join(agent.name for agent in config.agents)}")
    page.line(f"images to be had: {len(images)}")
    cost = "not bounded: set --budget or --trial-budget"
    page.line(f"cost at worst: {cost if worst.cost_usd is None else money(worst.cost_usd)}")
    page.line(f"time at worst: {duration(worst.seconds)}, and the images")
    page.line(f"disk at worst: {size(worst.disk_bytes)} in boxes, and the images")


def worst_case(config: JobConfig, tasks: Sequence[Task]) -> Worst:
    """Fold the tasks' limits; a job without models costs nothing."""
    trials = trials_of(config, len(tasks))
    per_trial, whole = config.rules.trial_budget.usd, config.budget.usd
    bounds = [b for b in (per_trial and per_trial * trials, whole) if b is not None]
    cost = min(bounds, default=None) if any(config.models) else 0.0
    seconds = sum(sum(_times(task, config)) for task in tasks) * trials / max(1, len(tasks))
    largest = sorted((t.environment.storage_mb or 0 for t in tasks), reverse=True)
    disk = sum(largest[: config.pace.trials]) * MIB
    return Worst(cost_usd=cost, seconds=seconds / config.pace.trials, disk_bytes=disk)


def image_name(task: Task, config: JobConfig) -> str:
    """The image in words, or why there is none."""
    try:
        image = image_of(task, config.rules)
    except TaskError as error:
        return error.reason
    match image:
        case RegistryImage(reference=reference):
            return reference
        case BuildImage(digest=digest):
            return f"built {digest[:12]}"
        case _:
            return "this host's root"


def _row(task: Task, config: JobConfig) -> tuple[str, str, str, str]:
    agent_s, tests_s = _times(task, config)
    return task.name, image_name(task, config), duration(agent_s), duration(tests_s)


def _times(task: Task, config: JobConfig) -> tuple[float, float]:
    """Seconds for the agent and for the tests, over all steps; what has no limit counts as 0."""
    own, factor = config.rules.agent_timeout_s, config.rules.timeout_multiplier
    agent_s = sum((own or step.agent.timeout_s or 0) * factor for step in task.steps)
    return agent_s, sum(step.verifier.timeout_s * factor for step in task.steps)
