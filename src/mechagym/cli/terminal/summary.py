"""What a job came to, per agent × model × dataset: the number, how sure it is, what it lacks."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from mechagym.cli.terminal.figures import duration, money, share, shortened, tokens
from mechagym.cli.terminal.page import RED, YELLOW, Cell, Column, Page, outcome_text
from mechagym.records import Outcome, Spend, TrialRecord, to_json
from mechagym.run.job import JobReport
from mechagym.run.statistics import Estimate, estimate, mean_pass_at_k

SHOWN_UNGRADED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One agent with one model on one dataset. `pass_at`: k → share, k ≥ 1."""

    agent: str
    model: str | None
    dataset: str
    trials: tuple[TrialRecord, ...]
    mean: Estimate | None
    pass_at: dict[int, float]

    @property
    def graded(self) -> int:
        """How many trials the mean is over."""
        return sum(trial.graded for trial in self.trials)

    @property
    def outcomes(self) -> Counter[Outcome]:
        """How often each outcome came."""
        return Counter(trial.outcome for trial in self.trials)

    @property
    def spend(self) -> Spend:
        """The cost of all tries of all trials, graded or not."""
        return sum((trial.spend for trial in self.trials), Spend())

    @property
    def wall_s(self) -> float:
        """The time of all tries, added up."""
        tries = (attempt for trial in self.trials for attempt in trial.tries)
        return sum((t.ended_at - t.started_at).total_seconds() for t in tries)


def groups_of(trials: Sequence[TrialRecord]) -> list[Group]:
    """Fold trials into groups, in the order of their first trial."""
    found: dict[tuple[str, str | None, str], list[TrialRecord]] = {}
    for trial in trials:
        key = trial.key
        found.setdefault((key.agent, key.model, key.dataset), []).append(trial)
    return [_group(*named, members) for named, members in found.items()]


def summary_page(page: Page, report: JobReport) -> None:
    """Write the table, then what it is made of and what it leaves out."""
    groups = groups_of(report.trials)
    if groups:
        page.line()
        write_groups(page, groups)
    write_ungraded(page, [trial for trial in report.trials if not trial.graded])
    seconds = (report.ended_at - report.started_at).total_seconds()
    waiting = f", {report.waiting} not ended" if report.waiting else ""
    page.line(f"{report.job.name} {report.state} in {duration(seconds)}{waiting}")
    page.line(f"  {report.job.folder}")
    if report.waiting:
        page.line(f"  to go on: mechagym jobs resume {report.job.name}")
    elif report.unscored:
        page.line(f"  to try these again: mechagym jobs retry {report.job.name} --unscored")


def write_groups(page: Page, groups: Sequence[Group]) -> None:
    """One row per group; columns that would say nothing are left out."""
    spend = sum((group.spend for group in groups), Spend())
    columns: list[tuple[Column, Callable[[Group], Cell], bool]] = [
        (Column(name="agent", cut=True), lambda g: g.agent, True),
        (Column(name="model", cut=True), lambda g: g.model or "", any(g.model for g in groups)),
        (Column(name="dataset", cut=True), lambda g: g.dataset, True),
        (Column(name="graded", align="right"), _graded, True),
        (Column(name="mean [95 %]", align="right"), _mean, True),
        (Column(name="cost", align="right"), lambda g: money(g.spend.cost_usd), _costs(spend)),
        (
            Column(name="tokens", align="right"),
            lambda g: tokens(g.spend.usage.tokens),
            _costs(spend),
        ),
        (Column(name="time", align="right"), lambda g: duration(g.wall_s), True),
    ]
    used = [(column, cell) for column, cell, wanted in columns if wanted]
    rows: list[list[Cell]] = [[cell(group) for _, cell in used] for group in groups]
    page.table([column for column, _ in used], rows)
    for group in groups:
        page.line(_made_of(group, named=len(groups) > 1))
    page.line()


def write_ungraded(page: Page, trials: Sequence[TrialRecord]) -> None:
    """Name each trial that enters no mean, with the reason."""
    for trial in trials[:SHOWN_UNGRADED]:
        error = trial.counted.error
        why = f"{error.reason}: {error.message.splitlines()[0]}" if error else "no verdict"
        name = shortened(trial.key.trial_name, 40)
        page.line(Text.assemble(("not graded: ", YELLOW), f"{name}: {trial.outcome}: {why}"))
    if len(trials) > SHOWN_UNGRADED:
        page.line(Text(f"… and {len(trials) - SHOWN_UNGRADED} more", style=YELLOW))
    if trials:
        page.line()


def summary_json(report: JobReport) -> dict[str, Any]:
    """The same as one JSON value."""
    return {
        "job": report.job.name,
        "job_id": report.job.job_id,
        "state": report.state,
        "folder": report.job.folder,
        "waiting": report.waiting,
        "groups": [group_json(group) for group in groups_of(report.trials)],
    }


def group_json(group: Group) -> dict[str, Any]:
    """A group as plain values; the ungraded trials by name with outcome and error."""
    return {
        "agent": group.agent,
        "model": group.model,
        "dataset": group.dataset,
        "trials": len(group.trials),
        "graded": group.graded,
        "mean": json.loads(to_json(group.mean)) if group.mean else None,
        "pass_at": {str(k): value for k, value in group.pass_at.items()},
        "outcomes": {outcome.value: count for outcome, count in group.outcomes.items()},
        "cost_usd": group.spend.cost_usd,
        "tokens": group.spend.usage.tokens,
        "wall_s": group.wall_s,
        "ungraded": [
            {
                "trial": trial.key.trial_name,
                "outcome": trial.outcome,
                "reason": trial.counted.error.reason if trial.counted.error else None,
                "message": trial.counted.error.message if trial.counted.error else None,
            }
            for trial in group.trials
            if not trial.graded
        ],
    }


def _group(agent: str, model: str | None, dataset: str, trials: list[TrialRecord]) -> Group:
    by_task: dict[tuple[str, str], list[TrialRecord]] = {}
    for trial in trials:
        if trial.graded:
            by_task.setdefault((trial.key.task, trial.key.task_digest), []).append(trial)
    counts = [(len(ts), sum(map(_passed, ts))) for ts in by_task.values()]
    most = min((n for n, _ in counts), default=0)
    return Group(
        agent=agent,
        model=model,
        dataset=dataset,
        trials=tuple(trials),
        mean=estimate([[t.reward or 0.0 for t in ts] for ts in by_task.values()]),
        pass_at={k: v for k in range(1, most + 1) if (v := mean_pass_at_k(counts, k)) is not None},
    )


def _passed(trial: TrialRecord) -> bool:
    """By the tests, also where the agent ran out of time with the work done."""
    return trial.counted.verdict is not None and trial.counted.verdict.passed


def _graded(group: Group) -> Cell:
    text = f"{group.graded}/{len(group.trials)}"
    return Text(text, style=YELLOW if group.graded < len(group.trials) else "")


def _mean(group: Group) -> Cell:
    if group.mean is None:
        return Text("–", style=YELLOW)
    return share(group.mean.mean, group.mean.interval)


def _costs(spend: Spend) -> bool:
    return bool(spend.usage.tokens or spend.billed_nano)


def _made_of(group: Group, *, named: bool) -> Text:
    """`oracle@0.1.0: 9 passed, 1 failed; pass@1 0.90, pass@3 1.00`."""
    who = " ".join(filter(None, (group.agent, group.model, group.dataset)))
    line = Text(f"{who}: " if named else "")
    for place, (outcome, count) in enumerate(sorted(group.outcomes.items())):
        line.append(", " if place else "").append(f"{count} ").append_text(outcome_text(outcome))
    shown = {k for k in (1, 2, 3, 5, 10, max(group.pass_at, default=1)) if k in group.pass_at}
    if len(shown) > 1:
        line.append("; " + ", ".join(f"pass@{k} {group.pass_at[k]:.2f}" for k in sorted(shown)))
    if group.spend.unpriced_calls:
        line.append(f"; {group.spend.unpriced_calls} calls of unknown price", style=RED)
    return line
