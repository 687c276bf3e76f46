"""A suite: one JSON file of small tasks, each with a command that is its test.

Each entry is written once as a Harbor folder into the cache and read from there, so that the rest
of the house knows one form only. An entry that makes no sense is broken; the others still load.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from mechagym.errors import TaskError
from mechagym.records import Json
from mechagym.tasks.cache import cache_folder, made_once
from mechagym.tasks.faults import fault_text
from mechagym.tasks.schema import Part, Seconds
from mechagym.tasks.sections import plain
from mechagym.tasks.texts import MAX_BYTES, read_json, read_text
from mechagym.tasks.write import toml_text, write_text

FORM = "1"  # counts up when what is written changes
DOCKERFILE = "FROM debian:bookworm-slim\nWORKDIR /app\n"
SETUP = "COPY setup.sh /setup.sh\nRUN bash /setup.sh && rm /setup.sh\n"
TEST_SH = """\
#!/bin/bash
# The exit code of the suite's command is the reward.
bash /tests/command.sh
code=$?
mkdir -p /logs/verifier
if [ "$code" -eq 0 ]; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
exit "$code"
"""


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _script(value: Any) -> Any:
    lines = isinstance(value, list) and all(isinstance(line, str) for line in value)
    return "\n".join(value) if lines else value


class Verification(Part):
    """How an entry is tested: by the exit code of a command."""

    type: str = "command"
    command: Annotated[str, BeforeValidator(_script), Field(min_length=1)]


class Entry(Part):
    """One task of a suite; what is not named here is metadata."""

    id: Annotated[
        str, BeforeValidator(_text), Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    ]
    name: str = ""
    description: Annotated[str, Field(min_length=1)]
    difficulty: str | None = None
    category: str | None = None
    verification: Verification
    timeout_seconds: Seconds = 120.0
    max_turns: Annotated[int, Field(gt=0)] = 50
    tags: tuple[str, ...] = ()
    setup: Annotated[str | None, BeforeValidator(_script)] = None
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A suite, written out: `folders` are Harbor tasks, `broken` the entries that are none."""

    name: str
    version: str | None
    folders: tuple[Path, ...]
    broken: tuple[TaskError, ...]


def is_suite(document: Json) -> bool:
    """Whether a JSON document has a suite's form and not a registry's."""
    tasks = document.get("tasks") if isinstance(document, dict) else None
    return isinstance(tasks, list) and any(
        isinstance(task, dict) and ("verification" in task or "id" in task) for task in tasks
    )


def read_suite(path: Path, cache: Path | None = None) -> Suite:
    """Read a suite file, have its tasks written out. Raises TaskError if it is no suite at all."""
    text = read_text(path, max_bytes=64 * MAX_BYTES)
    document = read_json(path)
    if not is_suite(document):
        raise TaskError(f"{path}:1: not a suite: needs `tasks` with `id` and `verification`")
    entries: dict[str, Entry] = {}
    broken: list[TaskError] = []
    for index, raw in enumerate(document["tasks"]):
        try:
            entry = _entry(path, text, index, raw)
        except TaskError as error:
            broken.append(error)
            continue
        if entries.setdefault(entry.id, entry) is not entry:
            at = f"{path}:{_line(text, raw)}: tasks.{index}.id"
            broken.append(TaskError(f"{at}: {entry.id!r} is taken by an earlier task"))
    key = hashlib.sha256(text.encode()).hexdigest()[:24]
    home = made_once(
        cache_folder(cache) / "suite" / f"{FORM}-{key}",
        lambda target: _write_all(tuple(entries.values()), target),
    )
    version = document.get("version")
    return Suite(
        name=str(document.get("name") or path.stem),
        version=None if version is None else str(version),
        folders=tuple(home / name for name in entries),
        broken=tuple(broken),
    )


def _entry(path: Path, text: str, index: int, raw: Json) -> Entry:
    try:
        return Entry.model_validate(raw)
    except ValidationError as error:
        told = fault_text(error.errors(include_url=False)[0], "tasks", index)
        raise TaskError(f"{path}:{_line(text, raw)}: {told}") from None


def _line(text: str, raw: Json) -> int:
    """Return the line of an entry, known by how its id is written; 1 where it cannot be told."""
    written = json.dumps(raw["id"]) if isinstance(raw, Mapping) and "id" in raw else "\n"
    at = text.find(written)
    return text.count("\n", 0, at) + 1 if at >= 0 and written != "\n" else 1


def _write_all(entries: tuple[Entry, ...], target: Path) -> None:
    for entry in entries:
        _write(entry, target / entry.id)


def _write(entry: Entry, target: Path) -> None:
    write_text(target / "instruction.md", f"{entry.description.rstrip()}\n")
    write_text(target / "task.toml", toml_text(_task_toml(entry)))
    write_text(target / "tests" / "test.sh", TEST_SH, executable=True)
    write_text(target / "tests" / "command.sh", f"{entry.verification.command}\n")
    write_text(target / "environment" / "Dockerfile", DOCKERFILE + (SETUP if entry.setup else ""))
    if entry.setup:
        write_text(target / "environment" / "setup.sh", f"set -e\n{entry.setup}\n")


def _task_toml(entry: Entry) -> dict[str, Json]:
    told = {
        "title": entry.name or None,
        "difficulty": entry.difficulty,
        "category": entry.category,
        "tags": list(entry.tags),
        "max_turns": entry.max_turns,
        "hints": list(entry.hints),
    }
    others = {key: plain(value) for key, value in (entry.model_extra or {}).items()}
    return {
        "schema_version": "1.4",
        "metadata": {**others, **told},
        "agent": {"timeout_sec": entry.timeout_seconds},
    }
