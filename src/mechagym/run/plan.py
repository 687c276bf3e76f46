"""From a config and tasks to trials: the matrix, in an order that builds each image once and
early.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from mechagym.errors import ConfigError
from mechagym.records import TrialKey, new_id
from mechagym.run.config import AgentChoice, JobConfig
from mechagym.tasks.model import Task

NAME_CHARS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPlan:
    """A trial to run: its key and all that it is made of."""

    key: TrialKey
    task: Task
    agent: AgentChoice
    model: str | None


def label(agent: AgentChoice, version: str, protocol: str | None = None) -> str:
    """What an agent is called in records and tables: `name@version`, with its options if it has
    any; a wrapped one is `name+protocol@version`.
    """
    options = ",".join(f"{key}={value}" for key, value in sorted(agent.options.items()))
    name = f"{agent.name}+{protocol}" if protocol else agent.name
    return f"{name}@{version}" + (f"[{options}]" if options else "")


def plan_trials(
    config: JobConfig,
    job_id: str,
    tasks: Sequence[Task],
    version_of: Callable[[AgentChoice], str],
) -> tuple[TrialPlan, ...]:
    """Lay out tasks × agents × models × repeats.

    Repeats are outermost, so that a job stopped half-way is even over tasks; tasks of one image
    stand together.
    """
    ordered = sorted(tasks, key=lambda t: (t.environment.docker_image or "", t.task_id))
    agents = [(a, label(a, version_of(a), config.protocol)) for a in config.agents]
    cells = product(range(1, config.repeats + 1), ordered, agents, config.models)
    return tuple(
        TrialPlan(
            key=TrialKey(
                trial_id=new_id(16),
                trial_name=f"{task.name[:NAME_CHARS]}__{new_id(7)}",
                job_id=job_id,
                dataset=task.dataset,
                task=task.name,
                task_digest=task.digest,
                agent=name,
                model=model,
                repeat=repeat,
            ),
            task=task,
            agent=agent,
            model=model,
        )
        for repeat, task, (agent, name), model in cells
    )


def rejoin(
    keys: Sequence[TrialKey],
    config: JobConfig,
    tasks: Sequence[Task],
    version_of: Callable[[AgentChoice], str],
) -> tuple[TrialPlan, ...]:
    """Make the plans of stored trials again, for a resume.

    Raises ConfigError where a task changed or is gone, or an agent has another version by now:
    results of two digests are never averaged.
    """
    by_task = {(task.dataset, task.name): task for task in tasks}
    agents = {label(a, version_of(a), config.protocol): a for a in config.agents}
    plans: list[TrialPlan] = []
    for key in keys:
        task = by_task.get((key.dataset, key.task))
        agent = agents.get(key.agent)
        if task is None or task.digest != key.task_digest:
            what = "is gone" if task is None else "has changed"
            raise ConfigError(
                f"task {key.task} {what} since this job began",
                remedy="start a new job, or put the task back as it was",
            )
        if agent is None:
            raise ConfigError(
                f"agent {key.agent} of this job is not installed any more",
                remedy=f"installed now: {', '.join(agents)}",
            )
        plans.append(TrialPlan(key=key, task=task, agent=agent, model=key.model))
    return tuple(plans)
