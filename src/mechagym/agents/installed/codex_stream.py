"""Codex's stream of JSON lines, as events: an item starts and completes, a turn completes or fails.

A line that is not understood is passed over and counted.
"""

import json
from collections.abc import Iterator
from typing import Any

from mechagym.agents.installed.commandline import SHOWN_CHARS, Report
from mechagym.events import EventBody, MessageSaid, ToolCalled, ToolReturned

_FIELDS_OF_RESULT = ("id", "type", "status", "exit_code", "aggregated_output", "result", "error")


class CodexStream:
    """See `Reader`."""

    def __init__(self) -> None:
        self._claim: str | None = None
        self._error: str | None = None
        self._turns = 0
        self._open: set[str] = set()
        self._metadata: dict[str, object] = {}
        self._not_understood = 0

    def line(self, line: bytes) -> Iterator[EventBody]:
        """What one line tells."""
        try:
            yield from list(self._read(json.loads(line)))
        except (ValueError, TypeError, AttributeError, KeyError):
            self._not_understood += 1

    def report(self) -> Report:
        """What it has said of itself until now."""
        metadata = {**self._metadata, "lines_not_understood": self._not_understood}
        return Report(
            claim=self._claim, turns=self._turns or None, error=self._error, metadata=metadata
        )

    def _read(self, said: dict[str, Any]) -> Iterator[EventBody]:
        match said["type"]:
            case "thread.started":
                self._metadata["session_id"] = said["thread_id"]
            case "turn.started":
                self._error = None
            case "turn.completed":
                self._metadata["usage_by_the_cli"] = said.get("usage")
            case "turn.failed":
                self._error = str(said["error"].get("message"))
            case "error":  # it may try again: only a failed turn is an error for good
                self._error = str(said.get("message"))
            case "item.started":
                yield from self._begun(said["item"])
            case "item.completed":
                yield from self._item(said["item"])

    def _item(self, item: dict[str, Any]) -> Iterator[EventBody]:
        match item["type"]:
            case "agent_message":
                self._turns += 1
                self._error = None
                self._claim = str(item["text"])
                yield MessageSaid(text=self._claim)
            case "reasoning":
                yield MessageSaid(text="", thinking=str(item["text"]))
            case "error":
                yield MessageSaid(text=str(item["message"]), source="system")
            case _:
                yield from self._begun(item)
                self._open.discard(str(item["id"]))
                yield ToolReturned(
                    call_id=str(item["id"]),
                    output=_output(item)[:SHOWN_CHARS],
                    is_error=item.get("status") == "failed",
                )

    def _begun(self, item: dict[str, Any]) -> Iterator[EventBody]:
        """A call, told once: when its item starts, or with its end where nothing came before."""
        if item["type"] in ("agent_message", "reasoning", "error") or str(item["id"]) in self._open:
            return
        self._open.add(str(item["id"]))
        arguments = {name: value for name, value in item.items() if name not in _FIELDS_OF_RESULT}
        yield ToolCalled(call_id=str(item["id"]), tool=str(item["type"]), arguments=arguments)


def _output(item: dict[str, Any]) -> str:
    for name in ("aggregated_output", "error", "result"):
        if (value := item.get(name)) is not None:
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return str(item.get("status") or "")
