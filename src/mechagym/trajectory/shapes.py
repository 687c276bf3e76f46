"""The shape of ATIF's objects: which fields each has, of which type; `!` marks required ones."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

VERSIONS = tuple(f"ATIF-v1.{minor}" for minor in range(9))

SHAPES: Mapping[str, Mapping[str, str]] = {
    "trajectory": {
        "schema_version": "text!",
        "session_id": "text",
        "trajectory_id": "text",
        "agent": "object!",
        "steps": "list!",
        "notes": "text",
        "final_metrics": "object",
        "continued_trajectory_ref": "text",
        "extra": "object",
        "subagent_trajectories": "list",
    },
    "agent": {
        "name": "text!",
        "version": "text!",
        "model_name": "text",
        "tool_definitions": "list",
        "extra": "object",
    },
    "step": {
        "step_id": "count!",
        "timestamp": "text",
        "source": "text!",
        "message": "content!",
        "model_name": "text",
        "reasoning_effort": "effort",
        "reasoning_content": "text",
        "tool_calls": "list",
        "observation": "object",
        "metrics": "object",
        "is_copied_context": "flag",
        "llm_call_count": "count",
        "extra": "object",
    },
    "tool_call": {
        "tool_call_id": "text!",
        "function_name": "text!",
        "arguments": "object!",
        "extra": "object",
    },
    "observation": {"results": "list!"},
    "result": {
        "source_call_id": "text",
        "content": "content",
        "subagent_trajectory_ref": "list",
        "extra": "object",
    },
    "reference": {
        "trajectory_id": "text",
        "trajectory_path": "text",
        "session_id": "text",
        "extra": "object",
    },
    "part": {"type": "text!", "text": "text", "source": "object"},
    "source": {"media_type": "text!", "path": "text!", "duration_sec": "amount"},
    "metrics": {
        "prompt_tokens": "count",
        "completion_tokens": "count",
        "cached_tokens": "count",
        "cost_usd": "amount",
        "prompt_token_ids": "list",
        "completion_token_ids": "list",
        "logprobs": "list",
        "extra": "object",
    },
    "final_metrics": {
        "total_prompt_tokens": "count",
        "total_completion_tokens": "count",
        "total_cached_tokens": "count",
        "total_cost_usd": "amount",
        "total_steps": "count",
        "extra": "object",
    },
}


def is_count(value: object) -> bool:
    """A whole number ≥ 0; truth values are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_amount(value: object) -> bool:
    """A finite number ≥ 0."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value >= 0  # type: ignore[operator, arg-type]


_TYPES: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "text": ("a string", lambda v: isinstance(v, str)),
    "object": ("an object", lambda v: isinstance(v, dict)),
    "list": ("a list", lambda v: isinstance(v, list)),
    "flag": ("true or false", lambda v: isinstance(v, bool)),
    "count": ("a whole number ≥ 0", is_count),
    "amount": ("a finite number ≥ 0", is_amount),
    "content": ("a string or a list of content parts", lambda v: isinstance(v, str | list)),
    "effort": ("a string or a number", lambda v: isinstance(v, str) or is_amount(v)),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where: `steps[2].tool_calls[0].tool_call_id`; empty for the whole file."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def check_shape(value: object, shape: str, path: str) -> Iterator[Fault]:
    """Yield what is missing, unknown or of another type in one object; not what lies deeper."""
    if not isinstance(value, dict):
        yield Fault(path, f"must be an object, is {_kind(value)}")
        return
    fields = SHAPES[shape]
    for name, kind in fields.items():
        here, required = join(path, name), kind.endswith("!")
        found = value.get(name)
        words, fits = _TYPES[kind.rstrip("!")]
        if found is None:
            if required:
                yield Fault(here, "is required")
        elif not fits(found):
            yield Fault(here, f"must be {words}, is {_kind(found)}")
    for name in value:
        if name not in fields:
            yield Fault(join(path, str(name)), "is no field of ATIF; free data goes into `extra`")


def join(path: str, name: str) -> str:
    """The path of a field."""
    return f"{path}.{name}" if path else name


def items(value: object, name: str, path: str) -> Iterator[tuple[str, Any]]:
    """The items of a list field with their paths; nothing where it is no list."""
    found = value.get(name) if isinstance(value, dict) else None
    if isinstance(found, list):
        for index, item in enumerate(found):
            yield f"{join(path, name)}[{index}]", item


def text_of(value: object, name: str) -> str | None:
    """A text field; None where there is none, whatever stands there instead."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def _kind(value: object) -> str:
    if isinstance(value, bool | int | float):
        return repr(value)
    names = {str: "a string", dict: "an object", list: "a list", type(None): "null"}
    return names.get(type(value), type(value).__name__)
