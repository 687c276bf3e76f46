"""The result of a job as the API says it: the same numbers as `mechagym jobs show`."""

from pydantic import BaseModel

from mechagym.records import Outcome
from mechagym.run.statistics import estimate, mean_pass_at_k
from mechagym.store.views.jobs import FaultCount, JobStats, JobSummary, Ranked, TaskScore
from mechagym.web.api.shapes import usd


class MeanOut(BaseModel):
    """A mean over tasks with its 95 % interval and how that was made."""

    mean: float
    low: float
    high: float
    method: str
    tasks: int
    trials: int


class GroupOut(BaseModel):
    """One agent with one model on one dataset."""

    dataset: str
    agent: str
    model: str | None
    mean: MeanOut | None
    pass_at: dict[int, float]


class RankedOut(BaseModel):
    """A trial named for its time or cost."""

    trial_id: str
    task: str
    duration_s: float
    cost_usd: str


class StatsOut(BaseModel):
    """What a job came to."""

    outcomes: dict[Outcome, int]
    ungraded: int
    groups: list[GroupOut]
    flaky: list[str]
    slowest: list[RankedOut]
    dearest: list[RankedOut]


class FaultOut(BaseModel):
    """How often a fault ended a counted try."""

    fault: str
    reason: str
    blame: str
    trials: int


def stats_out(line: JobSummary, stats: JobStats) -> StatsOut:
    """The figures, per agent, model and dataset as elsewhere."""
    groups: dict[tuple[str, str, str | None], list[TaskScore]] = {}
    for score in stats.scores:
        groups.setdefault((score.dataset, score.agent, score.model), []).append(score)
    return StatsOut(
        outcomes=stats.outcomes,
        ungraded=line.figures.ungraded,
        groups=[_group(*named, scores) for named, scores in groups.items()],
        flaky=sorted({score.task for score in stats.scores if score.flaky}),
        slowest=[_ranked(each) for each in stats.slowest],
        dearest=[_ranked(each) for each in stats.dearest],
    )


def faults_out(counts: tuple[FaultCount, ...]) -> list[FaultOut]:
    """The faults."""
    return [
        FaultOut(fault=c.fault, reason=c.reason, blame=c.blame, trials=c.trials) for c in counts
    ]


def _group(dataset: str, agent: str, model: str | None, scores: list[TaskScore]) -> GroupOut:
    found = estimate([score.rewards for score in scores])
    counts = [(len(score.rewards), score.passes) for score in scores]
    most = min((n for n, _ in counts), default=0)
    pass_at = {k: mean_pass_at_k(counts, k) for k in range(1, most + 1)}
    mean = None
    if found is not None:
        mean = MeanOut(
            mean=found.mean,
            low=found.interval.low,
            high=found.interval.high,
            method=found.method,
            tasks=found.tasks,
            trials=found.trials,
        )
    return GroupOut(
        dataset=dataset,
        agent=agent,
        model=model,
        mean=mean,
        pass_at={k: value for k, value in pass_at.items() if value is not None},
    )


def _ranked(each: Ranked) -> RankedOut:
    return RankedOut(
        trial_id=each.trial_id,
        task=each.task,
        duration_s=each.duration_s,
        cost_usd=usd(each.billed_nano),
    )
