"""What a reply used, from each wire's own words into our six disjoint counts, and back.

Each wire names its sums and parts in its own way; here alone they are told apart. A count that is
missing, negative or no number is 0, and a part is never more than its sum, so every `Usage` is
sound whatever a provider sends. No usage at all is None, never zero.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mechagym.records import Json, Usage

if TYPE_CHECKING:
    from pydantic_ai.usage import RequestUsage

Dialect = Literal["anthropic", "openai-chat", "openai-responses", "google"]


def from_anthropic(usage: Json) -> Usage | None:
    """`usage` of a message. Its input excludes the cache, its output includes thinking."""
    if not _any(usage, "input_tokens", "output_tokens"):
        return None
    output = _count(usage, "output_tokens")
    thinking = min(_count(usage, "output_tokens_details", "thinking_tokens"), output)
    written = _count(usage, "cache_creation_input_tokens")
    hour = _count(usage, "cache_creation", "ephemeral_1h_input_tokens")
    minutes = _count(usage, "cache_creation", "ephemeral_5m_input_tokens")
    return Usage(
        input=_count(usage, "input_tokens"),
        cache_read=_count(usage, "cache_read_input_tokens"),
        cache_write_5m=max(minutes, written - hour),  # without the split all is 5m
        cache_write_1h=hour,
        output=output - thinking,
        reasoning=thinking,
        web_searches=_count(usage, "server_tool_use", "web_search_requests"),
    )


def to_anthropic(usage: Usage) -> Json:
    """The same as a message of Anthropic's says it."""
    return {
        "input_tokens": usage.input,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.output + usage.reasoning,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "server_tool_use": {"web_search_requests": usage.web_searches},
    }


def from_chat(usage: Json) -> Usage | None:
    """`usage` of a chat completion. Its prompt includes the cache."""
    return _from_openai(usage, "prompt_tokens", "completion_tokens")


def to_chat(usage: Usage) -> Json:
    """The same as a chat completion says it. It has one kind of write and no searches."""
    return _to_openai(usage, "prompt_tokens", "completion_tokens")


def from_responses(usage: Json) -> Usage | None:
    """`usage` of a response. Its input includes the cache."""
    return _from_openai(usage, "input_tokens", "output_tokens")


def to_responses(usage: Usage) -> Json:
    """The same as a response says it. It has one kind of write and no searches."""
    return _to_openai(usage, "input_tokens", "output_tokens")


def from_gemini(usage: Json) -> Usage | None:
    """`usageMetadata`. Its prompt includes the cache, its candidates exclude the thoughts."""
    if not _any(usage, "promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"):
        return None
    prompt = _count(usage, "promptTokenCount") + _count(usage, "toolUsePromptTokenCount")
    cached = min(_count(usage, "cachedContentTokenCount"), prompt)
    return Usage(
        input=prompt - cached,
        cache_read=cached,
        output=_count(usage, "candidatesTokenCount"),
        reasoning=_count(usage, "thoughtsTokenCount"),
    )


def to_gemini(usage: Usage) -> Json:
    """The same as Gemini says it. It has no writes and no searches."""
    prompt = usage.input + usage.cache_read
    return {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": usage.cache_read,
        "candidatesTokenCount": usage.output,
        "thoughtsTokenCount": usage.reasoning,
        "totalTokenCount": prompt + usage.output + usage.reasoning,
    }


def from_library(usage: "RequestUsage") -> Usage | None:
    """What the model library made of a reply, on whichever wire. Its sums include all parts."""
    counts = {name: getattr(usage, name, 0) for name in _LIBRARY}
    if usage.unmeasured_requests or not any(counts.values()):
        return None
    written = _count(counts, "cache_write_tokens")
    hour = min(_count(counts, "cache_write_1h_tokens"), written)
    output = _count(counts, "output_tokens")
    reasoning = min(_count(counts, "output_reasoning_tokens"), output)
    read = _count(counts, "cache_read_tokens")
    return Usage(
        input=max(0, _count(counts, "input_tokens") - read - written),
        cache_read=read,
        cache_write_5m=written - hour,
        cache_write_1h=hour,
        output=output - reasoning,
        reasoning=reasoning,
        web_searches=_count(counts, "web_searches"),
    )


_LIBRARY = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "output_reasoning_tokens",
    "web_searches",
)


def to_library(usage: Usage) -> "RequestUsage":
    """The same in the library's words."""
    from pydantic_ai.usage import RequestUsage

    written = usage.cache_write_5m + usage.cache_write_1h
    said = RequestUsage(
        input_tokens=usage.input + usage.cache_read + written,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=written,
        cache_write_1h_tokens=usage.cache_write_1h,
        output_tokens=usage.output + usage.reasoning,
        output_reasoning_tokens=usage.reasoning,
    )
    if usage.web_searches:
        vars(said)["web_searches"] = usage.web_searches  # the library keeps it so, undeclared
    return said


@dataclass(slots=True, eq=False)
class UsageSoFar:
    """What a stream has said of its usage up to now.

    Counts in a stream are running totals: the last value of each field wins; nothing is added.
    """

    dialect: Dialect
    _fields: dict[str, Json] = field(default_factory=dict, init=False)

    def saw(self, event: Json) -> None:
        """Take one decoded event, be it about usage or not."""
        if isinstance(event, Mapping):
            for usage in _PLACES[self.dialect](event):
                if isinstance(usage, Mapping):
                    self._fields.update({k: v for k, v in usage.items() if v is not None})

    @property
    def usage(self) -> Usage | None:
        """As of now; None where nothing was said."""
        return READERS[self.dialect](self._fields)


READERS: Mapping[Dialect, Callable[[Json], Usage | None]] = {
    "anthropic": from_anthropic,
    "openai-chat": from_chat,
    "openai-responses": from_responses,
    "google": from_gemini,
}
"""How each wire's usage is read."""

_PLACES: Mapping[Dialect, Callable[[Mapping[str, Json]], tuple[Json, ...]]] = {
    "anthropic": lambda event: (_under(event, "message", "usage"), event.get("usage")),
    "openai-chat": lambda event: (event.get("usage"),),
    "openai-responses": lambda event: (_under(event, "response", "usage"),),
    "google": lambda event: (event.get("usageMetadata"),),
}


def _from_openai(usage: Json, prompt: str, completion: str) -> Usage | None:
    if not _any(usage, prompt, completion):
        return None
    came, went = _count(usage, prompt), _count(usage, completion)
    inner = prompt + "_details"
    read = min(_count(usage, inner, "cached_tokens"), came)
    written = min(_count(usage, inner, "cache_write_tokens"), came - read)
    reasoning = min(_count(usage, completion + "_details", "reasoning_tokens"), went)
    return Usage(
        input=came - read - written,
        cache_read=read,
        cache_write_5m=written,
        output=went - reasoning,
        reasoning=reasoning,
    )


def _to_openai(usage: Usage, prompt: str, completion: str) -> Json:
    written = usage.cache_write_5m + usage.cache_write_1h
    came = usage.input + usage.cache_read + written
    went = usage.output + usage.reasoning
    return {
        prompt: came,
        prompt + "_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": written},
        completion: went,
        completion + "_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": came + went,
    }


def _under(data: Json, *path: str) -> Json:
    for key in path:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def _count(data: Json, *path: str) -> int:
    value = _under(data, *path)
    return value if type(value) is int and value > 0 else 0


def _any(usage: Json, *names: str) -> bool:
    return any(type(_under(usage, name)) is int for name in names)
