"""How one trial is shown: outcome, verdict with its tests, each try with its times, what failed."""

import json
from collections.abc import Iterator

from rich.padding import Padding
from rich.text import Text

from mechagym.cli.found import find_trial, opened
from mechagym.cli.terminal.figures import duration, money, share, tokens
from mechagym.cli.terminal.page import RED, YELLOW, Column, Page, outcome_text
from mechagym.config import Settings
from mechagym.records import TrialRecord, TryRecord, Verdict, to_json
from mechagym.store import JobRow, TrialRow

MESSAGE_CHARS = 200


async def show_trial(settings: Settings, called: str, as_json: bool) -> None:
    """Find it in the store and write it. Raises ConfigError."""
    async with opened(settings) as store:
        job, trial = await find_trial(store, called)
        record = await store.record(trial.key.trial_id)
    page = Page(settings.terminal)
    if as_json:
        page.json(_json(job, trial, record))
        return
    for name, value in _facts(job, trial, record):
        page.line(Text.assemble((f"{name:<9}", "dim"), value))
    if record is None:
        return
    if record.counted.verdict:
        _verdict(page, record.counted.verdict)
    for attempt in record.tries:
        _try(page, attempt, many=len(record.tries) > 1)


def _facts(job: JobRow, trial: TrialRow, record: TrialRecord | None) -> Iterator[tuple[str, Text]]:
    key = trial.key
    yield "trial", Text(f"{key.trial_name} ({key.trial_id})")
    yield "job", Text(f"{job.name}, repeat {key.repeat}")
    yield "task", Text(f"{key.dataset}/{key.task} ({key.task_digest[:12]})".lstrip("/"))
    yield "agent", Text(f"{key.agent} {key.model or ''}".rstrip())
    if record is None or trial.outcome is None:
        yield "state", Text(trial.state, style=YELLOW)
        return
    graded = f", reward {share(record.reward)}" if record.graded else ", not graded"
    verified = record.counted.verdict is not None
    yield "outcome", Text.assemble(outcome_text(record.outcome, verified=verified), graded)
    spend = record.spend
    if spend.usage.tokens or spend.billed_nano:
        yield "cost", Text(f"{money(spend.cost_usd)}, {tokens(spend.usage.tokens)} tokens")
    if any(one.credential_exposed for one in record.tries):
        yield "login", Text("lay in the box, where the agent could read it", style=YELLOW)
    if record.counted.claim:
        yield "claim", Text(record.counted.claim[:MESSAGE_CHARS])
    yield "folder", Text(f"{job.folder}/{key.trial_name}")


def _verdict(page: Page, verdict: Verdict) -> None:
    if len(verdict.rewards) > 1:
        page.line(Text.assemble(("rewards  ", "dim"), _rewards(verdict)))
    if verdict.tests:
        page.line()
        columns = (
            Column(name="test", cut=True),
            Column(name="status"),
            Column(name="time", align="right"),
        )
        page.table(
            columns,
            [
                (
                    t.name,
                    Text(t.status, style=_STATUS.get(t.status, YELLOW)),
                    "" if t.duration_ms is None else duration(t.duration_ms / 1000),
                )
                for t in verdict.tests
            ],
        )
    for test in verdict.tests:
        if test.status == "failed" and test.message:
            page.line()
            page.line(Text(test.name, style=RED))
            page.line(Padding(test.message[:MESSAGE_CHARS], (0, 0, 0, 2)))
    for finding in verdict.findings:
        page.line(Text(f"tampering: {finding.rule}: {finding.detail}", style=YELLOW))


_STATUS = {"passed": "green", "failed": RED}


def _rewards(verdict: Verdict) -> Text:
    return Text(", ".join(f"{name} {value:g}" for name, value in verdict.rewards.items()))


def _try(page: Page, attempt: TryRecord, *, many: bool) -> None:
    page.line()
    total_s = (attempt.ended_at - attempt.started_at).total_seconds()
    head = f"try {attempt.number}: " if many else "times: "
    phases = ", ".join(f"{t.phase} {duration(t.duration_s)}" for t in attempt.phases)
    page.line(Text(f"{head}{duration(total_s)} ({phases})"))
    if attempt.box:
        box = attempt.box
        page.line(f"box: {box.backend}, {box.isolation}, {box.image}, network {box.network}")
        if lost := sorted(box.limits_asked.keys() - box.limits_enforced.keys()):
            page.line(Text(f"not enforced: {', '.join(lost)}", style=YELLOW))
    for step in attempt.steps:
        reward = share(step.verdict.reward if step.verdict else None)
        page.line(Text.assemble(f"step {step.name}: ", outcome_text(step.outcome), f", {reward}"))
    if attempt.error:
        what = f"{attempt.error.type} ({attempt.error.reason}, {attempt.error.blame}'s)"
        page.line(Text(f"{what}: {attempt.error.message}", style=RED))


def _json(job: JobRow, trial: TrialRow, record: TrialRecord | None) -> dict[str, object]:
    return {
        "job": job.name,
        "folder": f"{job.folder}/{trial.key.trial_name}",
        "state": trial.state,
        "graded": trial.graded,
        "reward": trial.reward,
        "outcome": trial.outcome,
        "key": json.loads(to_json(trial.key)),
        "tries": [json.loads(to_json(t)) for t in record.tries] if record else [],
    }
