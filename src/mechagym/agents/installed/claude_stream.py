"""Claude Code's stream of JSON lines, as events.

One line of `assistant` carries one block of a message; several lines may share a message id, and
the last usage of an id counts. A line that is not understood is passed over and counted.
"""

import json
from collections.abc import Iterator
from typing import Any

from mechagym.agents.installed.commandline import SHOWN_CHARS, Report
from mechagym.events import EventBody, MessageSaid, ToolCalled, ToolReturned
from mechagym.records import Json


class ClaudeStream:
    """See `Reader`."""

    def __init__(self) -> None:
        self._report = Report()
        self._usage: dict[str, dict[str, Json]] = {}
        self._session: dict[str, Json] = {}
        self._not_understood = 0

    def line(self, line: bytes) -> Iterator[EventBody]:
        """What one line tells."""
        try:
            said = json.loads(line)
            yield from list(self._read(said))
        except (ValueError, TypeError, AttributeError, KeyError):
            self._not_understood += 1

    def report(self) -> Report:
        """What it has said of itself until now."""
        metadata = {
            **self._session,
            **self._report.metadata,
            "usage_by_the_cli": usage_sum(self._usage.values()),
            "lines_not_understood": self._not_understood,
        }
        return Report(
            claim=self._report.claim,
            turns=self._report.turns,
            error=self._report.error,
            metadata=metadata,
        )

    def _read(self, said: dict[str, Any]) -> Iterator[EventBody]:
        match said.get("type"):
            case "system" if said.get("subtype") == "init":
                self._session = {
                    name: said.get(name) for name in ("session_id", "model", "claude_code_version")
                }
            case "assistant":
                yield from self._assistant(said["message"], _word(said.get("parent_tool_use_id")))
            case "user":
                yield from _returned(said["message"])
            case "result":
                self._report = _result(said)

    def _assistant(self, message: dict[str, Any], parent: str | None) -> Iterator[EventBody]:
        if usage := message.get("usage"):
            self._usage[str(message.get("id"))] = usage
        model = _word(message.get("model"))
        for block in message["content"]:
            match block["type"]:
                case "text":
                    yield MessageSaid(text=str(block["text"]), model=model, parent_call_id=parent)
                case "thinking":
                    thought = str(block["thinking"])
                    yield MessageSaid(text="", thinking=thought, model=model, parent_call_id=parent)
                case "tool_use":
                    yield ToolCalled(
                        call_id=str(block["id"]),
                        tool=str(block["name"]),
                        arguments=dict(block["input"]),
                        parent_call_id=parent,
                    )


def _returned(message: dict[str, Any]) -> Iterator[EventBody]:
    content = message["content"]
    for block in content if isinstance(content, list) else ():
        if block["type"] == "tool_result":
            yield ToolReturned(
                call_id=str(block["tool_use_id"]),
                output=_text(block.get("content"))[:SHOWN_CHARS],
                is_error=bool(block.get("is_error")),
            )


def _text(content: Json) -> str:
    """What a tool gave back, as text: a string, or blocks of which some may be pictures."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = [
        part.get("text", f"[{part.get('type')}]") if isinstance(part, dict) else str(part)
        for part in content
    ]
    return "\n".join(parts)


def _word(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _result(said: dict[str, Any]) -> Report:
    text = _word(said.get("result"))
    turns = said.get("num_turns")
    failed = said.get("is_error") or said.get("subtype") != "success"
    return Report(
        claim=text,
        turns=turns if isinstance(turns, int) else None,
        error=f"{said.get('subtype')}: {text or said.get('errors') or ''}" if failed else None,
        metadata={
            "cost_usd_by_the_cli": said.get("total_cost_usd"),
            "api_ms": said.get("duration_api_ms"),
            "permission_denials": len(said.get("permission_denials") or ()),
        },
    )


def usage_sum(counted: Any) -> dict[str, int]:
    """The sum of usages as the CLI tells them, by field."""
    names = (
        *("input_tokens", "output_tokens"),
        *("cache_read_input_tokens", "cache_creation_input_tokens"),
    )
    return {name: sum(int(usage.get(name) or 0) for usage in counted) for name in names}
