"""Two sets of trials on the tasks they share: paired, task by task, honest about what cannot be.

Results of different versions of a task are never averaged, and trials on an approximate base (the
host's own root) never stand against trials in the task's image unless asked. Pure: records in, one
frozen value out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from mechagym.errors import ConfigError
from mechagym.records import Outcome, Spend, TrialKey, TrialRecord
from mechagym.run.statistics import Estimate, difference, estimate, mcnemar

NAMED = 8

Change = Literal["lost", "gained", "worse", "better", "same", "unknown"]
_ORDER: tuple[Change, ...] = ("lost", "gained", "worse", "better", "unknown", "same")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One side's trials of one task. `rewards` are those of its graded trials."""

    rewards: tuple[float, ...]
    passes: int
    ungraded: Mapping[Outcome, int]
    spend: Spend
    seconds: float

    @property
    def reward(self) -> float | None:
        """The mean of the graded trials, None without any."""
        return fmean(self.rewards) if self.rewards else None

    @property
    def flaky(self) -> bool:
        """Some trials passed and some did not."""
        return 0 < self.passes < len(self.rewards)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One task on both sides. `lost` and `gained`: from always passing to never, or the reverse."""

    task: str
    a: Cell
    b: Cell
    change: Change

    @property
    def gain(self) -> float:
        """The reward of b less that of a; 0 where one has none."""
        if self.a.reward is None or self.b.reward is None:
            return 0.0
        return self.b.reward - self.a.reward


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side over all shared tasks; cost, tokens and time are of all its trials and tries."""

    score: Estimate | None
    trials: int
    graded: int
    passes: int
    ungraded: Mapping[Outcome, int]
    cost_usd: float
    tokens: int
    seconds: float

    @property
    def cost_per_pass(self) -> float | None:
        """Dollars spent for each pass, failures included; None without a pass."""
        return self.cost_usd / self.passes if self.passes else None

    @property
    def tokens_per_pass(self) -> float | None:
        """Tokens spent for each pass; None without a pass."""
        return self.tokens / self.passes if self.passes else None

    @property
    def seconds_per_pass(self) -> float | None:
        """Seconds of trials for each pass; None without a pass."""
        return self.seconds / self.passes if self.passes else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What b changed against a. `rows`: flips first, then by size of the change.

    `difference` is b less a, paired by task. `p_value` is McNemar's, only where each task was tried
    once.
    """

    a: Side
    b: Side
    rows: tuple[Row, ...]
    difference: Estimate | None
    p_value: float | None
    flaky: tuple[str, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


def compare(
    a: Sequence[TrialRecord], b: Sequence[TrialRecord], *, approximate: bool = False
) -> Comparison:
    """Compare b with a on the tasks that both have trials of.

    Trials that never began are left out. `approximate` lets trials of both fidelities stand against
    each other. Raises ConfigError naming the tasks where versions or fidelities differ, or where no
    task is shared.
    """
    left, right = _by_task(a), _by_task(b)
    shared = sorted(left.keys() & right.keys())
    if not shared:
        raise ConfigError("the two have no task in common", reason="nothing_shared")
    _refuse_mixed_digests({task: left[task] + right[task] for task in shared})
    if not approximate:
        _refuse_mixed_fidelity({task: left[task] + right[task] for task in shared})
    rows = [_row(task, left[task], right[task]) for task in shared]
    rows.sort(key=lambda row: (_ORDER.index(row.change), -abs(row.gain), row.task))
    pairs = [row for row in rows if row.a.rewards and row.b.rewards]
    return Comparison(
        a=_side([left[task] for task in shared]),
        b=_side([right[task] for task in shared]),
        rows=tuple(rows),
        difference=difference([row.a.rewards for row in pairs], [row.b.rewards for row in pairs]),
        p_value=_p_value(pairs),
        flaky=tuple(sorted(row.task for row in rows if row.a.flaky or row.b.flaky)),
        only_a=tuple(sorted(left.keys() - right.keys())),
        only_b=tuple(sorted(right.keys() - left.keys())),
    )


def _by_task(trials: Iterable[TrialRecord]) -> dict[str, list[TrialRecord]]:
    tasks: dict[str, list[TrialRecord]] = defaultdict(list)
    for trial in (trial for trial in trials if trial.tries):
        tasks[name_of(trial.key)].append(trial)
    return dict(tasks)


def name_of(key: TrialKey) -> str:
    """Under which name the task of a trial stands in a comparison."""
    return f"{key.dataset}/{key.task}" if key.dataset else key.task


def _refuse_mixed_digests(tasks: Mapping[str, list[TrialRecord]]) -> None:
    mixed = [name for name, trials in tasks.items() if len({t.key.task_digest for t in trials}) > 1]
    if mixed:
        raise ConfigError(
            f"the task changed between the trials: {_named(mixed)}",
            remedy="run both sides on the same version of these tasks, or leave them out",
            reason="mixed_digests",
        )


def _refuse_mixed_fidelity(tasks: Mapping[str, list[TrialRecord]]) -> None:
    mixed = [name for name, trials in tasks.items() if len(_fidelities(trials)) > 1]
    if mixed:
        raise ConfigError(
            f"some trials ran in the task's image and some on an approximate base: {_named(mixed)}",
            remedy="run both sides on the same base, or allow it with --approximate",
            reason="mixed_fidelity",
        )


def _fidelities(trials: Iterable[TrialRecord]) -> set[str]:
    return {box.fidelity for trial in trials if trial.graded and (box := trial.counted.box)}


def _named(tasks: Sequence[str]) -> str:
    more = f" and {len(tasks) - NAMED} more" if len(tasks) > NAMED else ""
    return ", ".join(tasks[:NAMED]) + more


def _row(task: str, a: list[TrialRecord], b: list[TrialRecord]) -> Row:
    left, right = _cell(a), _cell(b)
    return Row(task=task, a=left, b=right, change=_change(left, right))


def _change(a: Cell, b: Cell) -> Change:
    if a.reward is None or b.reward is None:
        return "unknown"
    if b.passes == 0 < a.passes == len(a.rewards):
        return "lost"
    if a.passes == 0 < b.passes == len(b.rewards):
        return "gained"
    if a.reward == b.reward:
        return "same"
    return "better" if b.reward > a.reward else "worse"


def _cell(trials: Sequence[TrialRecord]) -> Cell:
    graded = [trial for trial in trials if trial.reward is not None]
    tries = [one for trial in trials for one in trial.tries]
    return Cell(
        rewards=tuple(trial.reward for trial in graded if trial.reward is not None),
        passes=sum(_passed(trial) for trial in graded),
        ungraded=Counter(trial.outcome for trial in trials if trial.reward is None),
        spend=sum((trial.spend for trial in trials), Spend()),
        seconds=sum((one.ended_at - one.started_at).total_seconds() for one in tries),
    )


def _passed(trial: TrialRecord) -> bool:
    verdict = trial.counted.verdict
    return verdict is not None and verdict.passed


def _side(tasks: Sequence[list[TrialRecord]]) -> Side:
    cells = [_cell(trials) for trials in tasks]
    spend = sum((cell.spend for cell in cells), Spend())
    return Side(
        score=estimate([cell.rewards for cell in cells]),
        trials=sum(map(len, tasks)),
        graded=sum(len(cell.rewards) for cell in cells),
        passes=sum(cell.passes for cell in cells),
        ungraded=sum((Counter(cell.ungraded) for cell in cells), Counter()),
        cost_usd=spend.cost_usd,
        tokens=spend.usage.tokens,
        seconds=sum(cell.seconds for cell in cells),
    )


def _p_value(pairs: Sequence[Row]) -> float | None:
    if not pairs or any(len(row.a.rewards) > 1 or len(row.b.rewards) > 1 for row in pairs):
        return None
    only_a = sum(row.a.passes > row.b.passes for row in pairs)
    only_b = sum(row.b.passes > row.a.passes for row in pairs)
    return mcnemar(only_a, only_b)
