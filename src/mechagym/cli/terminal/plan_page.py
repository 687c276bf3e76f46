"""`--dry-run`: what would be run, which images it needs, what it can cost and take at worst."""

from collections.abc import Sequence
from dataclasses import dataclass

from mechagym import wiring
from mechagym.cli.terminal.figures import duration, money, size
from mechagym.cli.terminal.figures import tokens as token_figure
from mechagym.cli.terminal.header import amount, trials_of
from mechagym.cli.terminal.page import Column, Page
from mechagym.config import Settings
from mechagym.errors import TaskError
from mechagym.records import Json
from mechagym.run.boxes import image_of
from mechagym.run.config import JobConfig
from mechagym.run.forecast import Forecast, PricedModel, forecast
from mechagym.sandbox.base import BuildImage, RegistryImage
from mechagym.tasks.model import Task

MIB = 1024 * 1024
COLUMNS = (
    Column(name="task", cut=True),
    Column(name="image", cut=True),
    Column(name="agent", align="right"),
    Column(name="tests", align="right"),
)
MODEL_COLUMNS = (
    Column(name="model", cut=True),
    Column(name="in", align="right"),
    Column(name="out", align="right"),
    Column(name="a call at worst", align="right"),
    Column(name="price of", cut=True),
)
UNKNOWN = "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The most a job can take. `disk_bytes` is what boxes at once may write; images come on top.

    `box_usd`: what the boxes cost where the price file says so, apart from the models.
    """

    cost: Forecast
    seconds: float
    disk_bytes: int
    box_usd: float


def plan_page(
    settings: Settings, config: JobConfig, tasks: Sequence[Task], *, as_json: bool
) -> None:
    """Write the plan; nothing is started and nothing is asked of a backend."""
    page = Page(settings.terminal)
    worst = worst_case(settings, config, tasks)
    images = sorted({image_name(task, config) for task in tasks})
    if as_json:
        page.json(
            {
                "job": config.name,
                "config_digest": config.digest,
                "tasks": [{"task": t.task_id, "digest": t.digest} for t in tasks],
                "agents": [agent.name for agent in config.agents],
                "protocol": config.protocol,
                "models": [model for model in config.models if model],
                "trials": trials_of(config, len(tasks)),
                "images": images,
                "calls": [_call_json(model) for model in worst.cost.models],
                "worst_case": _worst_json(worst),
            }
        )
        return
    page.table(COLUMNS, [_row(task, config) for task in tasks])
    page.line()
    page.line(f"{amount(config, len(tasks))}, {config.pace.trials} at once")
    page.line(f"agents: {', '.join(agent.name for agent in config.agents)}")
    if config.protocol:
        page.line(f"protocol: {config.protocol}")
    page.line(f"images to be had: {len(images)}")
    if worst.cost.models:
        page.line()
        page.table(MODEL_COLUMNS, [_call_row(model) for model in worst.cost.models])
        page.line()
    page.line(f"cost at worst: {_cost_text(worst.cost, config)}")
    if worst.box_usd:
        page.line(f"boxes at worst: {money(worst.box_usd)} on top")
    page.line(f"time at worst: {duration(worst.seconds)}, and the images")
    page.line(f"disk at worst: {size(worst.disk_bytes)} in boxes, and the images")
    for model in worst.cost.unpriced:
        page.note(f"{'allowed' if config.allow_unpriced else 'refused'}: {model.unknown}")


def worst_case(settings: Settings, config: JobConfig, tasks: Sequence[Task]) -> Worst:
    """Fold the limits of the tasks and of the job."""
    callers = sum(wiring.calls_models(agent.name) for agent in config.agents)
    prices = wiring.prices(settings)
    cost = forecast(
        config,
        trials=len(tasks) * callers * config.repeats,
        prices=prices,
        catalogue=wiring.catalogue(settings),
    )
    trials = trials_of(config, len(tasks))
    seconds = sum(sum(_times(task, config)) for task in tasks) * trials / max(1, len(tasks))
    largest = sorted((t.environment.storage_mb or 0 for t in tasks), reverse=True)
    return Worst(
        cost=cost,
        seconds=seconds / config.pace.trials,
        disk_bytes=sum(largest[: config.pace.trials]) * MIB,
        box_usd=float(prices.usd_per_box_hour) * seconds / 3600,
    )


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


def _cost_text(cost: Forecast, config: JobConfig) -> str:
    """The cost in words, with what bounds it."""
    if cost.unpriced:
        return f"unknown, as the price of {', '.join(str(m.model) for m in cost.unpriced)} is"
    if cost.cost is None:
        return "not bounded: set --budget or --trial-budget"
    bound = cost.cost
    if bound.limit is None:
        return money(bound.usd)
    tries = 1 + config.pace.retries
    each = "each trial" if tries == 1 else f"each trial, in up to {tries} tries"
    whose = "the job" if bound.whole_job else each
    on_top = "; web searches come on top" if cost.searches_on_top else ""
    return f"{money(bound.usd)}, by the limit on {bound.limit} of {whose}{on_top}"


def _call_row(model: PricedModel) -> tuple[str, str, str, str, str]:
    sizes = (model.context_window, model.max_output)
    shown_in, shown_out = (token_figure(n) if n is not None else UNKNOWN for n in sizes)
    nano = model.call_nano
    call = money(nano / 1e9) if nano is not None else UNKNOWN
    return str(model.model), shown_in, shown_out, call, model.price.ref if model.price else UNKNOWN


def _call_json(model: PricedModel) -> dict[str, Json]:
    nano = model.call_nano
    return {
        "model": str(model.model),
        "context_window": model.context_window,
        "max_output": model.max_output,
        "worst_usd": None if nano is None else nano / 1e9,
        "price_ref": model.price.ref if model.price else None,
        "unknown": model.unknown,
    }


def _worst_json(worst: Worst) -> dict[str, Json]:
    bound = worst.cost.cost
    return {
        "cost_usd": bound and bound.usd,
        "limited_by": bound and bound.limit,
        "whole_job": bound and bound.whole_job,
        "searches_on_top": worst.cost.searches_on_top,
        "box_usd": worst.box_usd,
        "seconds": worst.seconds,
        "disk_bytes": worst.disk_bytes,
    }
