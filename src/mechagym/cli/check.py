"""`mechagym tasks check`: the lint, and with `--run` the proof by oracle and nop."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import anyio
from rich.text import Text

from mechagym.cli.job_file import fresh_name
from mechagym.cli.launch import STOPPED, UNGRADED, Order, Showing, run_shown
from mechagym.cli.terminal.figures import counted
from mechagym.cli.terminal.page import GREEN, RED, YELLOW, Column, Page
from mechagym.config import Settings
from mechagym.records import Outcome, TrialRecord
from mechagym.run.config import AgentChoice, JobConfig, Pace, Sources
from mechagym.tasks.dataset import Dataset
from mechagym.tasks.lint import Finding, Severity, lint_task, unreadable
from mechagym.tasks.model import Task

FINE, FAULTY = 0, 2
COLORS: dict[Severity, str] = {"error": RED, "warning": YELLOW, "note": "dim"}
ORACLE, NOP = "oracle", "nop"

Standing = Literal["proved", "flaky", "broken", "gives itself away", "not run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What came of a task: how often each of the two passed, of how many graded trials."""

    task: str
    oracle: tuple[int, int]
    nop: tuple[int, int]
    unscored: int

    @property
    def standing(self) -> Standing:
        """The oracle must pass always and nop never; what varies is flaky."""
        if self.unscored or not self.oracle[1] or not self.nop[1]:
            return "not run"
        if 0 < self.oracle[0] < self.oracle[1] or 0 < self.nop[0] < self.nop[1]:
            return "flaky"
        if self.oracle[0] == 0:
            return "broken"
        return "gives itself away" if self.nop[0] else "proved"


def check_tasks(settings: Settings, datasets: Sequence[Dataset], *, as_json: bool) -> int:
    """Lint every task and write the findings; gives the exit code."""
    found: list[tuple[Path, Sequence[Finding]]] = []
    for dataset in datasets:
        found += [(b.folder, (unreadable(b.folder, b.reason),)) for b in dataset.broken]
        found += [(task.folder, lint_task(task)) for task in dataset.tasks]
    page = Page(settings.terminal)
    counts = Counter(f.severity for _, findings in found for f in findings)
    if as_json:
        page.json([{"task": str(at), "findings": [asdict(f) for f in fs]} for at, fs in found])
    else:
        for folder, findings in found:
            _findings(page, folder, findings)
        page.line(f"{counted(len(found), 'task')}: {_severities(counts)}")
    return FAULTY if counts["error"] else FINE


def prove_tasks(
    settings: Settings, datasets: Sequence[Dataset], repeats: int, showing: Showing
) -> int:
    """Run oracle and nop on every task and write what that proves; gives the exit code."""
    tasks = [task for dataset in datasets for task in dataset.tasks]
    order = Order(
        settings=settings,
        config=_job(settings, tasks, repeats),
        tasks=tasks,
        showing=replace(showing, as_json=False, quiet=showing.as_json),
    )
    report = anyio.run(run_shown, order)
    if report.state == "cancelled":
        return STOPPED
    proofs = [proof_of(task, report.trials) for task in tasks]
    page = Page(settings.terminal)
    if showing.as_json:
        page.json([{**asdict(proof), "standing": proof.standing} for proof in proofs])
    else:
        page.table(PROOF_COLUMNS, [_proof_row(proof) for proof in proofs])
    if any(p.standing == "not run" for p in proofs):
        return UNGRADED
    return FINE if all(p.standing == "proved" for p in proofs) else FAULTY


def proof_of(task: Task, trials: Sequence[TrialRecord]) -> Proof:
    """Count a task's trials."""
    ours = [t for t in trials if (t.key.dataset, t.key.task) == (task.dataset, task.name)]

    def counted(agent: str) -> tuple[int, int]:
        graded = [t for t in ours if t.key.agent.startswith(f"{agent}@") and t.graded]
        return sum(t.outcome is Outcome.PASSED for t in graded), len(graded)

    return Proof(
        task=task.name,
        oracle=counted(ORACLE),
        nop=counted(NOP),
        unscored=sum(not t.graded for t in ours),
    )


def _job(settings: Settings, tasks: Sequence[Task], repeats: int) -> JobConfig:
    return JobConfig(
        name=fresh_name("check"),
        sources=Sources(sources=tuple(str(task.folder) for task in tasks)),
        agents=(AgentChoice(name=ORACLE), AgentChoice(name=NOP)),
        out_dir=settings.jobs_dir,
        repeats=repeats,
        sandbox=settings.sandbox,
        pace=Pace(trials=settings.concurrent),
    )


def _findings(page: Page, folder: Path, findings: Sequence[Finding]) -> None:
    if not findings:
        page.line(Text(f"{folder}: fine", style=GREEN))
        return
    page.line(f"{folder}: {_severities(Counter(f.severity for f in findings))}")
    for finding in findings:
        path = finding.path
        place = path.relative_to(folder) if path.is_relative_to(folder) else path
        line = f":{finding.line}" if finding.line else ""
        word = (f"  {finding.severity:<8}", COLORS[finding.severity])
        what = f"{place}{line}: {finding.message} [{finding.rule}]"
        page.line(Text.assemble(word, what))


def _severities(counts: Counter[Severity]) -> str:
    """`1 error, 2 notes`, or `fine`."""
    said = [counted(counts[what], what) for what in COLORS if counts[what]]
    return ", ".join(said) or "fine"


PROOF_COLUMNS = (
    Column(name="task", cut=True),
    Column(name="oracle", align="right"),
    Column(name="nop", align="right"),
    Column(name="standing"),
)
STANDING_COLORS = {"proved": GREEN, "flaky": YELLOW, "not run": YELLOW}


def _proof_row(proof: Proof) -> tuple[str, str, str, Text]:
    standing = proof.standing
    color = STANDING_COLORS.get(standing, RED)
    oracle, nop = (f"{passed}/{of}" for passed, of in (proof.oracle, proof.nop))
    return proof.task, oracle, nop, Text(standing, style=color)
