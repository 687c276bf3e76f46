"""The numbers beside a mean: intervals, pass@k, paired tests. Pure, exact or seeded.

The unit is the task: a mean weighs each task the same, however many of its trials were graded, and
a resample draws whole tasks, since the trials of one task are not independent of each other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import NormalDist, fmean
from typing import Literal, NamedTuple

LEVEL = 0.95
RESAMPLES = 10_000
SEED = 20_260_101


class Interval(NamedTuple):
    """A two-sided interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over tasks with its 95 % interval and how that was made."""

    mean: float
    interval: Interval
    method: Literal["bootstrap", "wilson"]
    tasks: int
    trials: int


def estimate(groups: Sequence[Sequence[float]]) -> Estimate | None:
    """Estimate the mean score; a group holds the graded scores of one task. None without any.

    One trial a task and all 0 or 1: Wilson. Also where every task always passes, or never does:
    there a bootstrap would see no spread and claim certainty. A single task is judged by its
    trials.
    """
    groups = [group for group in groups if group]
    if not groups:
        return None
    values = [fmean(group) for group in groups] if len(groups) > 1 else list(groups[0])
    trials = sum(map(len, groups))
    binary = all(value in (0.0, 1.0) for value in values)
    as_share = binary and (trials == len(values) or len(set(values)) == 1)
    return Estimate(
        mean=fmean(values),
        interval=wilson(round(sum(values)), len(values)) if as_share else bootstrap(values),
        method="wilson" if as_share else "bootstrap",
        tasks=len(groups),
        trials=trials,
    )


def difference(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> Estimate | None:
    """Estimate the mean of `b` less that of `a`, paired: the n-th groups are of the same task.

    Tasks that either side has no graded trial of are left out. The interval is a bootstrap over
    tasks.
    """
    pairs = [(left, right) for left, right in zip(a, b, strict=True) if left and right]
    if not pairs:
        return None
    gains = [fmean(right) - fmean(left) for left, right in pairs]
    return Estimate(
        mean=fmean(gains),
        interval=bootstrap(gains),
        method="bootstrap",
        tasks=len(pairs),
        trials=sum(len(left) + len(right) for left, right in pairs),
    )


def bootstrap(
    values: Sequence[float],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """The percentile interval of the mean of one or more values; the same for the same input.

    Source: Efron and Tibshirani 1993, section 13.3; quantiles are linear between order statistics.
    """
    draw, count = Random(seed).choices, len(values)  # noqa: S311 – no secret
    sums = sorted(sum(draw(values, k=count)) for _ in range(resamples))
    tail = (1 - level) / 2
    return Interval(_quantile(sums, tail) / count, _quantile(sums, 1 - tail) / count)


def wilson(successes: int, trials: int, *, level: float = LEVEL) -> Interval:
    """The score interval of a share; (0, 1) without trials. Source: Wilson 1927."""
    if trials == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def pass_at_k(trials: int, passes: int, k: int) -> float:
    """The chance that k trials of a task, drawn from these, hold a pass; `1 ≤ k ≤ trials`.

    Unbiased. Source: Chen et al. 2021, "Evaluating large language models trained on code".
    """
    if not 1 <= k <= trials:
        raise ValueError(f"pass@{k} needs at least {k} trials, not {trials}")
    return 1 - math.comb(trials - passes, k) / math.comb(trials, k)


def mean_pass_at_k(counts: Sequence[tuple[int, int]], k: int) -> float | None:
    """Give pass@k over tasks of (trials, passes); None where some task has fewer than k."""
    if not counts or any(trials < k for trials, _ in counts):
        return None
    return fmean(pass_at_k(trials, passes, k) for trials, passes in counts)


def mcnemar(only_a: int, only_b: int) -> float:
    """The exact two-sided p-value of two agents being equal, from the tasks they differ in."""
    differing = only_a + only_b
    tail = sum(math.comb(differing, i) for i in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / (1 << differing))


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
