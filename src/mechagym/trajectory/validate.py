"""A checker of ATIF files, of every schema version: names each fault with its path.

Stricter than Harbor's: call ids are unique in the whole document, totals are the sums of the steps,
no count is negative, times do not run backwards, references lead somewhere.
"""

import json
import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mechagym.trajectory.shapes import VERSIONS, Fault, check_shape, is_amount, items, join, text_of

SOURCES = ("system", "user", "agent")
AGENT_ONLY = ("model_name", "reasoning_effort", "reasoning_content", "tool_calls", "metrics")
LLM_ONLY = ("metrics", "reasoning_content")
TOTALS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd")
MEDIA = {
    "image": {"image/jpeg", "image/png", "image/gif", "image/webp"},
    "audio": {
        f"audio/{name}" for name in ("wav", "mpeg", "mp4", "aac", "ogg", "flac", "webm", "aiff")
    },
}


def validate_file(path: Path) -> list[Fault]:
    """Check a file. Raises OSError where it cannot be read."""
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        return [Fault("", f"is no JSON: {error}")]
    return validate(document)


def validate(document: object) -> list[Fault]:
    """Check a parsed document; empty: it is valid."""
    try:
        return list(_trajectory(document, "", _Seen()))
    except RecursionError:
        return [Fault("", "is nested too deeply")]


class _Seen:
    """What may occur once in a document, its sub-agents included."""

    def __init__(self) -> None:
        self.calls: dict[str, str] = {}
        self.version = ""


def _trajectory(value: object, path: str, seen: _Seen) -> Iterator[Fault]:
    yield from check_shape(value, "trajectory", path)
    if not isinstance(value, dict):
        return
    version = value.get("schema_version")
    if isinstance(version, str):
        seen.version = version
        if version not in VERSIONS:
            known = f"{VERSIONS[0]} to {VERSIONS[-1]}"
            yield Fault(join(path, "schema_version"), f"{version!r} is none of {known}")
    if "agent" in value:
        yield from check_shape(value["agent"], "agent", join(path, "agent"))
    steps = list(items(value, "steps", path))
    if value.get("steps") == []:
        yield Fault(join(path, "steps"), "must hold at least one step")
    embedded = {
        text_of(sub, "trajectory_id") for _, sub in items(value, "subagent_trajectories", path)
    }
    for number, (here, step) in enumerate(steps, 1):
        yield from _step(step, number, here, seen)
        yield from _references(step, here, embedded)
    yield from _times(steps)
    yield from _totals(value, path)
    yield from _subagents(value, path, seen)


def _step(step: object, number: int, path: str, seen: _Seen) -> Iterator[Fault]:
    yield from check_shape(step, "step", path)
    if not isinstance(step, dict):
        return
    if isinstance(step.get("step_id"), int) and step["step_id"] != number:
        yield Fault(join(path, "step_id"), f"must be {number}, is {step['step_id']}")
    yield from _source(step, path)
    yield from _content(step.get("message"), join(path, "message"), seen)
    yield from _metrics(step.get("metrics"), join(path, "metrics"))
    calls: set[str] = set()
    for here, call in items(step, "tool_calls", path):
        yield from _call(call, here, seen)
        calls.add(text_of(call, "tool_call_id") or "")
    yield from _observation(step.get("observation"), join(path, "observation"), calls, seen)


def _source(step: dict[str, Any], path: str) -> Iterator[Fault]:
    """What a step may hold depends on who made it."""
    source = step.get("source")
    if isinstance(source, str) and source not in SOURCES:
        yield Fault(join(path, "source"), f"{source!r} is none of {', '.join(SOURCES)}")
    if source != "agent":
        forbidden: tuple[str, ...] = AGENT_ONLY
        why = "belongs to steps of the agent only"
    elif step.get("llm_call_count") == 0:
        forbidden, why = LLM_ONLY, "cannot be where llm_call_count is 0"
    else:
        return
    for name in forbidden:
        if step.get(name) is not None:
            yield Fault(join(path, name), why)


def _call(call: object, path: str, seen: _Seen) -> Iterator[Fault]:
    yield from check_shape(call, "tool_call", path)
    call_id = text_of(call, "tool_call_id")
    if call_id is not None:
        here = join(path, "tool_call_id")
        if call_id in seen.calls:
            yield Fault(here, f"{call_id!r} is that of {seen.calls[call_id]} already")
        seen.calls.setdefault(call_id, path)


def _observation(value: object, path: str, calls: set[str], seen: _Seen) -> Iterator[Fault]:
    if value is None:
        return
    yield from check_shape(value, "observation", path)
    for here, result in items(value, "results", path):
        yield from check_shape(result, "result", here)
        if not isinstance(result, dict):
            continue
        call_id = text_of(result, "source_call_id")
        if call_id is not None and call_id not in calls:
            yield Fault(join(here, "source_call_id"), f"{call_id!r} is no call of this step")
        yield from _content(result.get("content"), join(here, "content"), seen)


def _content(value: object, path: str, seen: _Seen) -> Iterator[Fault]:
    if not isinstance(value, list):
        return
    for index, part in enumerate(value):
        here = f"{path}[{index}]"
        yield from check_shape(part, "part", here)
        if isinstance(part, dict):
            yield from _part(part, here, seen)


def _part(part: dict[str, Any], path: str, seen: _Seen) -> Iterator[Fault]:
    kind, source = text_of(part, "type"), part.get("source")
    if kind == "text":
        if part.get("text") is None:
            yield Fault(join(path, "text"), "is required in a part of type text")
        if source is not None:
            yield Fault(join(path, "source"), "cannot be in a part of type text")
    elif kind in MEDIA:
        if kind == "audio" and seen.version in VERSIONS[:8]:
            yield Fault(join(path, "type"), f"audio needs {VERSIONS[8]}, this is {seen.version}")
        if part.get("text") is not None:
            yield Fault(join(path, "text"), f"cannot be in a part of type {kind}")
        yield from check_shape(source, "source", join(path, "source"))
        media = text_of(source, "media_type")
        if media is not None and media not in MEDIA[kind]:
            yield Fault(join(path, "source.media_type"), f"{media!r} is no type of {kind}")
    elif kind is not None:
        yield Fault(join(path, "type"), f"{kind!r} is none of text, image, audio")


def _metrics(value: object, path: str) -> Iterator[Fault]:
    if value is None:
        return
    yield from check_shape(value, "metrics", path)
    if isinstance(value, dict):
        prompt, cached = value.get("prompt_tokens"), value.get("cached_tokens")
        if is_amount(prompt) and is_amount(cached) and cached > prompt:  # type: ignore[operator]
            yield Fault(join(path, "cached_tokens"), f"{cached} is more than prompt_tokens")


def _references(step: object, path: str, embedded: set[str | None]) -> Iterator[Fault]:
    observation = step.get("observation") if isinstance(step, dict) else None
    for at, result in items(observation, "results", join(path, "observation")):
        for here, reference in items(result, "subagent_trajectory_ref", at):
            yield from check_shape(reference, "reference", here)
            if not isinstance(reference, dict) or reference.get("trajectory_path") is not None:
                continue
            wanted = text_of(reference, "trajectory_id")
            if wanted is None:
                yield Fault(here, "needs a trajectory_id or a trajectory_path")
            elif wanted not in embedded:
                yield Fault(join(here, "trajectory_id"), f"{wanted!r} is not embedded here")


def _times(steps: Sequence[tuple[str, Any]]) -> Iterator[Fault]:
    last: datetime | None = None
    for path, step in steps:
        if (stamp := text_of(step, "timestamp")) is None:
            continue
        try:
            at = datetime.fromisoformat(stamp)
        except ValueError:
            yield Fault(join(path, "timestamp"), f"{stamp!r} is no ISO 8601 time")
            continue
        if last and (last.tzinfo is None) == (at.tzinfo is None) and at < last:
            yield Fault(join(path, "timestamp"), f"{stamp} is before the step above it")
        last = at


def _totals(document: dict[str, Any], path: str) -> Iterator[Fault]:
    final = document.get("final_metrics")
    if final is None:
        return
    here = join(path, "final_metrics")
    yield from check_shape(final, "final_metrics", here)
    if not isinstance(final, dict):
        return
    count, steps = final.get("total_steps"), document.get("steps")
    if isinstance(steps, list) and count not in (None, len(steps)) and not document.get("notes"):
        yield Fault(join(here, "total_steps"), f"is {count}, there are {len(steps)} steps")
    for name in TOTALS:
        total = final.get(f"total_{name}")
        sums = [value for value in _sums(document, name) if value is not None]
        if is_amount(total) and sums and not any(_close(total, value) for value in sums):  # type: ignore[arg-type]
            yield Fault(join(here, f"total_{name}"), f"is {total}, the steps sum up to {sums[0]}")


def _sums(document: object, name: str) -> list[float | None]:
    """The sum of the steps; without what was copied for context; and with that of sub-agents."""
    own = _sum(document, name, copied=True)
    subs = [_sums(sub, name)[0] for _, sub in items(document, "subagent_trajectories", "")]
    nested = sum(value or 0 for value in subs)
    return [own, _sum(document, name, copied=False), None if own is None else own + nested]


def _sum(document: object, name: str, *, copied: bool) -> float | None:
    found = [
        step["metrics"][name]
        for _, step in items(document, "steps", "")
        if isinstance(step, dict)
        and isinstance(step.get("metrics"), dict)
        and is_amount(step["metrics"].get(name))
        and (copied or not step.get("is_copied_context"))
    ]
    return sum(found) if found else None


def _close(total: float, value: float) -> bool:
    return math.isclose(total, value, rel_tol=1e-6, abs_tol=1e-9)


def _subagents(document: dict[str, Any], path: str, seen: _Seen) -> Iterator[Fault]:
    ids: set[str] = set()
    for here, sub in items(document, "subagent_trajectories", path):
        yield from _trajectory(sub, here, seen)
        name = text_of(sub, "trajectory_id")
        if name is None:
            yield Fault(join(here, "trajectory_id"), "is required in an embedded trajectory")
        elif name in ids:
            yield Fault(join(here, "trajectory_id"), f"{name!r} is that of another one")
        ids.add(name or "")
