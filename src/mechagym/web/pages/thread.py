"""The thread of a trial: its events as steps to read, a call beside what it returned."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mechagym.events import (
    AgentStarted,
    AgentStopped,
    BoxOpened,
    BudgetRaised,
    BudgetWarned,
    ErrorRaised,
    Event,
    EventBody,
    MessageSaid,
    ModelRefused,
    StepStarted,
    TamperFound,
    ToolCalled,
    ToolReturned,
    VerdictReached,
)

HEAD, TAIL = 4_000, 2_000
"""Of a long text this much is shown at its beginning and end; all of it is one click away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the thread. `text` is prose, `code` what was asked, `output` what came of it."""

    seq: int
    kind: str
    after_s: float
    title: str = ""
    text: str = ""
    thinking: str = ""
    code: str = ""
    output: str = ""
    failed: bool = False
    duration_s: float | None = None
    call_id: str = ""


def thread(events: Sequence[Event], began_at: datetime) -> list[Step]:
    """The steps of some events, in order."""
    found: list[Step] = []
    for event in events:
        body, after_s = event.body, (event.at - began_at) / timedelta(seconds=1)
        if isinstance(body, ToolReturned) and _answer(found, body):
            continue
        found += [replace(s, seq=event.seq, after_s=after_s) for s in _steps(body)]
    return found


def cut(text: str) -> str:
    """The head and the tail of a text, with what is left out between them said."""
    if len(text) <= HEAD + TAIL:
        return text
    left_out = len(text) - HEAD - TAIL
    return f"{text[:HEAD]}\n… {left_out:,} characters are left out …\n{text[-TAIL:]}"


def _answer(found: list[Step], body: ToolReturned) -> bool:
    """Put what a call returned beside the call; False where that is not in this window."""
    for place in range(len(found) - 1, -1, -1):
        if found[place].call_id == body.call_id:
            found[place] = replace(
                found[place],
                output=cut(body.output),
                failed=body.is_error,
                duration_s=body.duration_s,
            )
            return True
    return False


def _new(kind: str, **said: object) -> Step:
    return Step(seq=0, after_s=0.0, kind=kind, **said)  # type: ignore[arg-type]


def _steps(body: EventBody) -> Iterator[Step]:  # noqa: C901 – one line for each kind
    match body:
        case StepStarted(name=name) if name != "main":
            yield _new("PROG", title=f"step {name}")
        case BoxOpened(box=box, purpose=purpose):
            yield _new("INFO", title=f"box for the {purpose}", text=f"{box.backend}, {box.image}")
        case AgentStarted(instruction=instruction):
            yield _new("INFO", title="instruction", text=instruction)
        case MessageSaid(source=source, text=text, thinking=thinking):
            yield _new("PROG", title="" if source == "agent" else source, text=cut(text))
            if thinking:
                yield _new("THINK", thinking=cut(thinking))
        case ToolCalled(call_id=call_id, tool=tool, arguments=arguments):
            yield _new("TOOL", title=tool, code=cut(_asked(arguments)), call_id=call_id)
        case ToolReturned(output=output, is_error=failed):
            yield _new("TOOL", title="result", output=cut(output), failed=failed)
        case AgentStopped(reason=reason, claim=claim):
            yield _new("OK", title=f"the agent stopped: {reason}", text=cut(claim or ""))
        case VerdictReached(verdict=verdict):
            passed = sum(test.status == "passed" for test in verdict.tests)
            counts = f"tests {passed}/{len(verdict.tests)} · " if verdict.tests else ""
            yield _new(
                "TEST", title=f"{counts}reward {verdict.reward:g}", failed=not verdict.passed
            )
        case ErrorRaised(error=error):
            yield _new("ERR", title=f"{error.type}: {error.reason}", text=error.message)
        case TamperFound(finding=finding):
            yield _new("ERR", title=f"tampering: {finding.rule}", text=finding.detail)
        case ModelRefused() | BudgetWarned() | BudgetRaised():
            yield _new("ERR" if isinstance(body, ModelRefused) else "INFO", title=_words(body.kind))
        case _:
            return


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _asked(arguments: dict[str, object]) -> str:
    """What a tool was asked: its one text as it is, else the arguments as JSON."""
    if len(arguments) == 1 and isinstance(text := next(iter(arguments.values())), str):
        return text
    return json.dumps(arguments, indent=1, ensure_ascii=False)
