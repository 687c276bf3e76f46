"""Whether one thing is better than another on the same tasks: the lower bound of the difference.

Student's t, since tasks are few; the quantile is our own, so that nothing has to be installed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ALPHA = 0.05
_TURNS = 300
_TINY = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The mean difference over `tasks` and its lower and upper bound; None: it has none."""

    mean: float | None
    low: float | None
    high: float | None
    tasks: int
    alpha: float
    better: bool


def per_task(
    new: Mapping[str, Sequence[float]], old: Mapping[str, Sequence[float]]
) -> dict[str, float]:
    """The difference of means of each task that both sides have a value of."""
    return {
        task: math.fsum(values) / len(values) - math.fsum(old[task]) / len(old[task])
        for task, values in new.items()
        if values and old.get(task)
    }


def paired(differences: Sequence[float], alpha: float = ALPHA) -> Difference:
    """Bound the mean of paired differences; better only where the lower bound is above 0.

    L = D - t(1 - alpha, n - 1) · s / √n. Where all differences are the same, s says nothing: then
    it takes so many tasks that as many heads in a row would be as rare as alpha.
    """
    n = len(differences)
    if n == 0:
        return Difference(mean=None, low=None, high=None, tasks=0, alpha=alpha, better=False)
    mean = math.fsum(differences) / n
    spread = math.fsum((d - mean) ** 2 for d in differences)
    if n < 2 or spread <= n * (1e-12 * max(1.0, abs(mean))) ** 2:
        better = mean > 0 and 0.5**n <= alpha
        low = mean if better else None
        return Difference(mean=mean, low=low, high=None, tasks=n, alpha=alpha, better=better)
    margin = t_quantile(1 - alpha, n - 1) * math.sqrt(spread / (n - 1) / n)
    low, high = mean - margin, mean + margin
    return Difference(mean=mean, low=low, high=high, tasks=n, alpha=alpha, better=low > 0)


def t_quantile(p: float, freedom: int) -> float:
    """The value that Student's t stays below with probability p (0.5 ≤ p < 1), by bisection."""
    low, high = 0.0, 1.0
    while t_below(high, freedom) < p:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_below(middle, freedom) < p else (low, middle)
    return (low + high) / 2


def t_below(t: float, freedom: int) -> float:
    """The probability that Student's t is below a value of 0 or more."""
    return 1 - _beta(freedom / (freedom + t * t), freedom / 2, 0.5) / 2


def _beta(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function. Source: Abramowitz and Stegun, 26.5.8."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    return front * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    """Its continued fraction, by Lentz's method."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or _TINY)
    value = d
    for m in range(1, _TURNS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / (1 + term * d or _TINY)
            c = 1 + term / c or _TINY
            value *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return value
