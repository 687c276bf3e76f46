"""Timing two things in turn, so that a machine whose speed drifts is fair to both."""

import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured thing against its goal, a sentence; `held` None where there is none."""

    what: str
    value: str
    goal: str = ""
    held: bool | None = None


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turn(
    ours: Callable[[], object], other: Callable[[], object], rounds: int
) -> tuple[float, float, float]:
    """Medians of both in seconds and the median of the ratios ours/other, after a warm-up each."""
    return told_in_turn(lambda: seconds(ours), lambda: seconds(other), rounds)


def told_in_turn(
    ours: Callable[[], float], other: Callable[[], float], rounds: int, *, warm_up: bool = True
) -> tuple[float, float, float]:
    """The same for two that tell their figure themselves, whatever its unit."""
    if warm_up:
        ours()
        other()
    pairs = [(ours(), other()) for _ in range(rounds)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def cpu_s() -> float:
    """CPU seconds of this process, without its children."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def report(title: str, figures: list[Figure]) -> None:
    """Print a Markdown table with date and machine."""
    print(f"\n### {title}\n")
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, {_cores()}\n")
    print("| what | measured | goal | |\n|---|---|---|---|")
    for figure in figures:
        mark = {None: "", True: "held", False: "**missed**"}[figure.held]
        print(f"| {figure.what} | {figure.value} | {figure.goal} | {mark} |")


def _cores() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}"
