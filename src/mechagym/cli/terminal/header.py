"""What is said once before a job runs: how much it is, in which boxes, and what will not hold."""

import os
from collections.abc import Sequence

from rich.text import Text

from mechagym.cli.terminal.figures import counted, money
from mechagym.cli.terminal.page import YELLOW, Page
from mechagym.errors import TaskError
from mechagym.run.boxes import agent_box
from mechagym.run.config import JobConfig
from mechagym.run.kit import Gates
from mechagym.sandbox.base import Labels, Sandbox, unenforced
from mechagym.tasks.model import Task
from mechagym.wiring import Chosen


def header(page: Page, config: JobConfig, tasks: Sequence[Task], chosen: Chosen) -> None:
    """Write it to stderr."""
    page.note(Text.assemble((f"job {config.name}", "bold"), f": {amount(config, len(tasks))}"))
    for probe in chosen.passed_over:
        page.note(Text(f"  {probe.backend} is not usable: {probe.reason}", style=YELLOW))
    page.note(f"  sandbox {chosen.sandbox.name} ({chosen.probe.isolation})")
    if config.protocol:
        page.note(f"  protocol {config.protocol}")
    page.note(f"  at once: {pace_text(config)}")
    if budget := budget_text(config):
        page.note(f"  budget: {budget}")
    if lost := declared_only(config, tasks, chosen.sandbox):
        page.note(
            Text(f"  declared by tasks but not enforced here: {', '.join(lost)}", style=YELLOW)
        )
    page.note(f"  {config.folder}")


def amount(config: JobConfig, tasks: int) -> str:
    """`10 tasks × 2 agents × 3 = 60 trials`."""
    factors = [(tasks, "task"), (len(config.agents), "agent"), (len(config.models), "model")]
    shown = [counted(number, word) for number, word in factors if number != 1]
    if config.repeats > 1:
        shown.append(str(config.repeats))
    total = counted(trials_of(config, tasks), "trial")
    return f"{' × '.join(shown)} = {total}" if len(shown) > 1 else total


def trials_of(config: JobConfig, tasks: int) -> int:
    """The size of the matrix."""
    return tasks * len(config.agents) * len(config.models) * config.repeats


def pace_text(config: JobConfig) -> str:
    """Each limit on what happens at once, with the value that it comes to here."""
    gates = Gates.of(config.pace, os.cpu_count() or 1, at_once=config.pace.trials)
    return (
        f"trials {config.pace.trials}, image builds {gates.builds.total_tokens:g},"
        f" box starts {gates.starts.total_tokens:g}, verifiers {gates.verifiers.total_tokens:g}"
    )


def budget_text(config: JobConfig) -> str:
    """The limits on money, tokens, time and turns, of the job and of each trial."""
    parts: list[str] = []
    for whose, budget in (("job", config.budget), ("each trial", config.rules.trial_budget)):
        if budget.usd is not None:
            parts.append(f"{whose} {money(budget.usd)}")
        others = {name: budget.limit(name) for name in ("tokens", "seconds", "turns")}
        parts += [f"{whose} {n:g} {name}" for name, n in others.items() if n is not None]
    return ", ".join(parts)


def declared_only(config: JobConfig, tasks: Sequence[Task], sandbox: Sandbox) -> list[str]:
    """The limits that some task asks for and this backend can only write down."""
    lost: set[str] = set()
    for task in tasks:
        try:
            spec = agent_box(task, config.rules, Labels())
        except TaskError:
            continue  # refused when its turn comes, with the reason
        lost.update(unenforced(spec.limits, sandbox.capabilities))
    return sorted(lost)
