"""From the events of one try to its trajectory: an ATIF-v1.7 document.

The invariants: step ids are 1..n, call ids are unique in the document, each tool output is stored
once and stands in the step of its call, totals are the sums of the steps. Every try has a document,
also one that failed before its agent started.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mechagym.events import (
    AgentSpent,
    AgentStarted,
    AgentStopped,
    ErrorRaised,
    Event,
    MessageSaid,
    ModelAnswered,
    ModelFailed,
    ToolCalled,
    ToolReturned,
    TryEnded,
)
from mechagym.records import Spend, TrialKey, Usage

SCHEMA = "ATIF-v1.7"
Document = dict[str, Any]


def fold(key: TrialKey, number: int, events: Sequence[Event]) -> Document:
    """Fold the events of try `number` into a document; events of other tries are left out."""
    name, _, version = key.agent.partition("@")
    root = _Builder(
        trajectory_id=f"{key.trial_id}.{number}",
        agent=_drop_none({"name": name, "version": version or "unknown", "model_name": key.model}),
    )
    folding = _Folding(root)
    for event in events:
        if event.try_number == number:
            folding.take(event)
    document = root.build()
    document["session_id"] = key.trial_id
    document["extra"] = folding.extra | {"task": key.task, "try": number}
    if folding.notes:
        document["notes"] = "\n".join(folding.notes)
    return document


class _Folding:
    """The state of one fold: where each call belongs, and what is said beside steps."""

    def __init__(self, root: "_Builder") -> None:
        self.extra: dict[str, Any] = {}
        self.notes: list[str] = []
        self._root = root
        self._subs: dict[str, _Builder] = {}
        self._calls: dict[str, tuple[_Builder, dict[str, Any], str]] = {}
        self._ids: set[str] = set()

    def take(self, event: Event) -> None:
        at = event.at
        match event.body:
            case AgentStarted() as body:
                self._root.agent |= _drop_none(
                    {"name": body.agent, "version": body.version, "model_name": body.model}
                )
                self._root.say("user", body.instruction, at)
            case MessageSaid() as body:
                self._message(body, at)
            case ToolCalled() as body:
                self._call(body, at)
            case ToolReturned() as body:
                self._result(body, at)
            case AgentSpent() | ModelAnswered() | ModelFailed() as body if body.spend != Spend():
                self._root.spend(body.spend, at)
            case AgentStopped() as body:
                self.extra["stopped"] = body.reason
            case ErrorRaised() as body:
                self._note(f"{body.error.type}: {body.error.message}", at)
            case TryEnded() as body:
                self._ended(body, at)
            case _:
                pass

    def _message(self, body: MessageSaid, at: datetime) -> None:
        builder = self._of(body.parent_call_id)
        if body.source == "agent" and (blank := builder.blank()) is not None:
            step = blank
            step["message"] = body.text
        else:
            step = builder.say(body.source, body.text, at)
        if body.source == "agent":
            step |= _drop_none({"reasoning_content": body.thinking, "model_name": body.model})

    def _call(self, body: ToolCalled, at: datetime) -> None:
        builder = self._of(body.parent_call_id)
        step = builder.turn(at)
        call_id = self._unique(body.call_id)
        call = {
            "tool_call_id": call_id,
            "function_name": body.tool,
            "arguments": body.arguments,
        }
        step.setdefault("tool_calls", []).append(call)
        self._calls[body.call_id] = (builder, step, call_id)

    def _result(self, body: ToolReturned, at: datetime) -> None:
        extra = _drop_none({"is_error": body.is_error or None, "duration_s": body.duration_s})
        if body.call_id in self._calls:
            _, step, call_id = self._calls[body.call_id]
            result = _result_of(step, call_id)
        else:  # a result whose call nobody saw stands alone
            extra["call_id"] = body.call_id
            result = {}
            self._root.turn(at, fresh=False).setdefault("observation", {"results": []})[
                "results"
            ].append(result)
        if "content" in result:
            extra["also"] = body.output
        else:
            result["content"] = body.output
        if extra:
            result["extra"] = result.get("extra", {}) | extra

    def _ended(self, body: TryEnded, at: datetime) -> None:
        record = body.record
        self.extra["outcome"] = record.outcome.value
        if record.verdict is not None:
            self.extra["rewards"] = dict(record.verdict.rewards)
        if record.claim is not None:
            self.extra["claim"] = record.claim
        if record.error is not None:
            self._note(f"{record.error.type}: {record.error.message}", at)
        self._root.ended = at

    def _note(self, text: str, at: datetime) -> None:
        if text not in self.notes:
            self.notes.append(text)
        self._root.ended = at

    def _of(self, parent_call_id: str | None) -> "_Builder":
        """The trajectory an event belongs to: the agent's, or that of a sub-agent it called."""
        if parent_call_id is None:
            return self._root
        if parent_call_id not in self._subs:
            known = self._calls.get(parent_call_id)
            holder = known[0] if known else self._root
            name = f"{self._root.trajectory_id}.{parent_call_id}"
            sub = _Builder(trajectory_id=name, agent=dict(self._root.agent))
            holder.subs.append(sub)
            if known:
                result = _result_of(known[1], known[2])
                result["subagent_trajectory_ref"] = [{"trajectory_id": name}]
            self._subs[parent_call_id] = sub
        return self._subs[parent_call_id]

    def _unique(self, call_id: str) -> str:
        name, count = call_id, 1
        while name in self._ids:
            count += 1
            name = f"{call_id}#{count}"
        self._ids.add(name)
        return name


@dataclass(slots=True, kw_only=True)
class _Builder:
    """One trajectory in the making."""

    trajectory_id: str
    agent: dict[str, Any]
    steps: list[dict[str, Any]] = field(default_factory=list)
    subs: "list[_Builder]" = field(default_factory=list)
    spent: dict[int, Spend] = field(default_factory=dict)
    ended: datetime | None = None

    def say(self, source: str, text: str, at: datetime) -> dict[str, Any]:
        """Append a step."""
        step = {
            "step_id": len(self.steps) + 1,
            "timestamp": at.isoformat(),
            "source": source,
            "message": text,
        }
        self.steps.append(step)
        return step

    def blank(self) -> dict[str, Any] | None:
        """The last step, if its answer was paid for and nothing of it is known yet."""
        known = {"step_id", "timestamp", "source", "message"}
        if not self.steps or self.steps[-1]["source"] != "agent" or self.steps[-1]["message"]:
            return None
        return self.steps[-1] if set(self.steps[-1]) == known else None

    def turn(self, at: datetime, *, fresh: bool = True) -> dict[str, Any]:
        """The agent's step that a call belongs to: a new one, once results came (`fresh`)."""
        last = self.steps[-1] if self.steps else None
        if last is None or last["source"] != "agent" or (fresh and _answered(last)):
            return self.say("agent", "", at)
        return last

    def spend(self, spend: Spend, at: datetime) -> None:
        """Put a cost on the agent's last step. One before any, or after something was said to the
        agent, is of a reply that is not told yet: it makes a step that is still blank.
        """
        last = self.steps[-1] if self.steps else None
        step = last if last is not None and last["source"] == "agent" else None
        number = (step or self.say("agent", "", at))["step_id"]
        self.spent[number] = self.spent.get(number, Spend()) + spend

    def build(self) -> Document:
        """The document; a try that had no steps gets one that says so."""
        if not self.steps:
            text = "The try ended before its agent started."
            self.steps.append({"step_id": 1, "source": "system", "message": text})
            if self.ended:
                self.steps[0]["timestamp"] = self.ended.isoformat()
        for number, spend in self.spent.items():
            self.steps[number - 1]["metrics"] = _metrics(spend)
        document: Document = {
            "schema_version": SCHEMA,
            "trajectory_id": self.trajectory_id,
            "agent": self.agent,
            "steps": self.steps,
            "final_metrics": self._totals(),
        }
        if self.subs:
            document["subagent_trajectories"] = [sub.build() for sub in self.subs]
        return document

    def _totals(self) -> dict[str, Any]:
        if not self.spent:
            return {"total_steps": len(self.steps)}
        total = sum(self.spent.values(), Spend())
        sums = {
            f"total_{name}": value for name, value in _metrics(total).items() if name != "extra"
        }
        return sums | {"total_steps": len(self.steps), "extra": _metrics(total)["extra"]}


def prompt_tokens(usage: Usage) -> int:
    """Input as ATIF and Harbor count it: what was read from and written to a cache included."""
    return usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h


def _metrics(spend: Spend) -> dict[str, Any]:
    usage = spend.usage
    return {
        "prompt_tokens": prompt_tokens(usage),
        "completion_tokens": usage.output + usage.reasoning,
        "cached_tokens": usage.cache_read,
        "cost_usd": spend.cost_usd,
        "extra": {
            "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
            "reasoning_tokens": usage.reasoning,
            "imputed_usd": spend.imputed_nano / 1e9,
            "unpriced_calls": spend.unpriced_calls,
        },
    }


def _result_of(step: dict[str, Any], call_id: str) -> dict[str, Any]:
    """The result of a call in its step's observation, made where it is not there yet."""
    results: list[dict[str, Any]] = step.setdefault("observation", {"results": []})["results"]
    for result in results:
        if result.get("source_call_id") == call_id:
            return result
    results.append({"source_call_id": call_id})
    return results[-1]


def _answered(step: dict[str, Any]) -> bool:
    """Whether a result came to a step: the next call is then another turn's."""
    results = step.get("observation", {"results": []})["results"]
    return any("content" in result for result in results)


def _drop_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
