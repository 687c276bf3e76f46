"""Tries told in events."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mechagym.events import (
    AgentSpent,
    AgentStarted,
    AgentStopped,
    ArtifactCollected,
    ErrorRaised,
    Event,
    EventBody,
    JobEnded,
    JobStarted,
    MessageSaid,
    PhaseStarted,
    ToolCalled,
    ToolReturned,
    TrialEnded,
    TryEnded,
    TryStarted,
)
from mechagym.records import (
    ErrorRecord,
    Outcome,
    Phase,
    PhaseTime,
    Spend,
    StepRecord,
    TrialKey,
    TrialRecord,
    TryRecord,
    Usage,
    Verdict,
)

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = TrialKey(
    trial_id="trial1",
    trial_name="regex-log__AbC1234",
    job_id="job1",
    dataset="terminal-bench@2.0",
    task="regex-log",
    task_digest="ab" * 32,
    agent="claude-code@2.1",
    model="anthropic:claude-haiku-4-5",
    repeat=1,
)
SPENT = Spend(
    usage=Usage(input=10, cache_read=90, cache_write_5m=5, output=20, reasoning=7),
    billed_nano=1_234_567,
    imputed_nano=2_000_000,
)
LOST = ErrorRecord(
    type="BoxDied", reason="BoxDied", message="the box is gone", blame="sandbox", trace="Traceback…"
)


def events_of(*bodies: EventBody, number: int = 1, subject: str = "trial1") -> list[Event]:
    """Bodies as events, a second apart."""
    return [
        Event(
            subject=subject,
            seq=seq,
            at=BEGAN + timedelta(seconds=seq),
            body=body,
            try_number=number,
        )
        for seq, body in enumerate(bodies, 1)
    ]


def a_try(number: int = 1, reward: float | None = 1.0, **changes: object) -> TryRecord:
    phases = tuple(
        PhaseTime(phase=phase, started_at=BEGAN + timedelta(seconds=place), duration_s=1.0)
        for place, phase in enumerate(Phase)
    )
    values: dict[str, object] = {
        "number": number,
        "outcome": {None: Outcome.INFRA_ERROR, 1.0: Outcome.PASSED}.get(reward, Outcome.FAILED),
        "started_at": BEGAN,
        "ended_at": BEGAN + timedelta(seconds=len(phases)),
        "phases": phases,
        "verdict": None if reward is None else Verdict(rewards={"reward": reward}),
        "error": LOST if reward is None else None,
        "spend": SPENT,
        "turns": 2,
        "claim": "all tests pass",
    }
    return TryRecord(**(values | changes))  # type: ignore[arg-type]


def work() -> list[EventBody]:
    """A whole try: thinking, parallel calls, a failed one, a sub-agent, costs."""
    return [
        TryStarted(number=1, owner_pid=1, label="trial1.1"),
        PhaseStarted(phase=Phase.AGENT),
        AgentStarted(
            agent="claude-code",
            version="2.1",
            instruction="Fix `{it}` – $(now)",
            model="anthropic:claude-haiku-4-5",
            deadline_s=900,
        ),
        MessageSaid(text="I am an agent.", source="system"),
        MessageSaid(text="Two looks at once.", thinking="hm", model="claude-haiku-4-5"),
        ToolCalled(call_id="c1", tool="Bash", arguments={"command": "ls"}),
        ToolCalled(call_id="c2", tool="Bash", arguments={"command": "cat x"}),
        ToolReturned(call_id="c2", output="no such file", is_error=True),
        ToolReturned(call_id="c1", output="a\nb\x00", duration_s=0.25),
        AgentSpent(spend=SPENT),
        ToolCalled(call_id="c3", tool="Task", arguments={"prompt": "look"}),
        MessageSaid(text="I look.", parent_call_id="c3"),
        ToolCalled(call_id="s1", tool="Read", parent_call_id="c3"),
        ToolReturned(call_id="s1", output="content"),
        ToolReturned(call_id="c3", output="found"),
        MessageSaid(text="Go on.", source="user"),
        ToolCalled(call_id="c1", tool="Bash", arguments={"command": "again"}),
        ToolReturned(call_id="c1", output="done"),
        ToolReturned(call_id="never-called", output="stray"),
        AgentSpent(spend=SPENT, model="anthropic:other"),
        AgentStopped(reason="finished", claim="all tests pass"),
    ]


def whole(record: TryRecord | None = None) -> list[EventBody]:
    """`work` with its end."""
    record = record or a_try(spend=SPENT + SPENT)
    return [*work(), TryEnded(record=record), TrialEnded(outcome=record.outcome, tries=1)]


TRIES: dict[str, tuple[TryRecord, list[EventBody]]] = {
    "passed": (a_try(spend=SPENT + SPENT), whole()),
    "failed": (a_try(reward=0.0), whole(a_try(reward=0.0))),
    "no box": (
        a_try(reward=None),
        [
            TryStarted(number=1, owner_pid=1, label="l"),
            ErrorRaised(error=LOST, phase=Phase.START),
            TryEnded(record=a_try(reward=None)),
        ],
    ),
    "cancelled": (
        a_try(reward=None, outcome=Outcome.CANCELLED, error=None, phases=()),
        work()[:6],
    ),
    "multi-step": (
        a_try(
            steps=(
                StepRecord(name="one", outcome=Outcome.PASSED, verdict=Verdict(rewards={"r": 1})),
                StepRecord(name="two", outcome=Outcome.FAILED),
            )
        ),
        [
            AgentStarted(agent="a", version="1", instruction="first"),
            MessageSaid(text="one"),
            AgentStarted(agent="a", version="1", instruction="second"),
            MessageSaid(text="two"),
        ],
    ),
    "costs only": (a_try(), [AgentSpent(spend=SPENT)]),
    "orphans": (
        a_try(),
        [
            MessageSaid(text="whose?", parent_call_id="nobody"),
            ToolReturned(call_id="x", output="1"),
            ToolReturned(call_id="x", output="2"),
        ],
    ),
    "nothing": (a_try(reward=None), []),
}


def record_of(*tries: TryRecord, key: TrialKey = KEY) -> TrialRecord:
    return TrialRecord(key=key, tries=tries)


def job_events(trials: int = 1) -> Sequence[Event]:
    return events_of(
        JobStarted(owner_pid=1, trials=trials), JobEnded(state="finished"), subject="job1", number=0
    )


def collected(source: str, target: str, files: int = 1) -> ArtifactCollected:
    return ArtifactCollected(source=source, target=target, files=files, size_bytes=9)


def replace_key(number: int) -> TrialKey:
    """Another repetition of the same cell."""
    return replace(
        KEY, trial_id=f"trial{number}", trial_name=f"{KEY.task}__{number:07d}", repeat=number
    )
