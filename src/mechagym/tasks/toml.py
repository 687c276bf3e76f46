"""Reading a `task.toml`: the text in, a checked `TaskFile` and its unknown keys out.

Whatever the bytes are, the only error is a TaskError that starts with `file:line` and says what is
allowed.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mechagym.errors import TaskError
from mechagym.tasks.faults import fault_text
from mechagym.tasks.lines import line_of
from mechagym.tasks.schema import TaskFile
from mechagym.tasks.texts import parse_toml, read_text

MAX_FAULTS = 5


def read_task_file(path: Path) -> TaskFile:
    """Read and check one `task.toml`. Raises TaskError, which names the file and the line."""
    text = read_text(path)
    try:
        return TaskFile.model_validate(parse_toml(path, text))
    except ValidationError as error:
        raise _invalid(path, text, error) from None
    except RecursionError:
        raise TaskError(f"{path}:1: tables nested too deeply") from None


def unknown_keys(part: BaseModel) -> tuple[str, ...]:
    """List the keys that no schema version knows, dotted (`environment.memroy`, `steps[1].x`)."""
    return tuple(sorted(_unknown(part, "")))


def known_keys(dotted: str) -> tuple[str, ...]:
    """List what is allowed beside an unknown key: the fields of the table that holds it."""
    shape: type[BaseModel] = TaskFile
    for name in re.sub(r"\[\d+\]", "", dotted).split(".")[:-1]:
        field = shape.model_fields.get(name)
        found = _part_in(field.annotation) if field else None
        if found is None:
            return ()
        shape = found
    return tuple(shape.model_fields)


def suggestion(word: str, known: Sequence[str]) -> str:
    """Say `; did you mean "x"?` where a known word is close, else nothing."""
    close = get_close_matches(word, known, n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def _unknown(part: BaseModel, prefix: str) -> Iterator[str]:
    yield from (f"{prefix}{key}" for key in part.model_extra or ())
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, BaseModel):
            yield from _unknown(value, f"{prefix}{name}.")
        elif isinstance(value, tuple):
            for index, entry in enumerate(value):
                if isinstance(entry, BaseModel):
                    yield from _unknown(entry, f"{prefix}{name}[{index}].")


def _part_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_part_in(arg) for arg in getattr(annotation, "__args__", ()))
    return next((part for part in inner if part is not None), None)


def _invalid(path: Path, text: str, error: ValidationError) -> TaskError:
    faults = error.errors(include_url=False)
    lines = [f"{path}:{line_of(text, f['loc'])}: {fault_text(f)}" for f in faults[:MAX_FAULTS]]
    if len(faults) > MAX_FAULTS:
        lines.append(f"and {len(faults) - MAX_FAULTS} more")
    return TaskError("\n".join(lines), reason="task_invalid")
