"""What a person may settle about models: `[llm]` of the settings, read by `config` alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mechagym.llm.outgoing import Outgoing
from mechagym.llm.providers import SHIPPED, Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryLimits:
    """How long one call is tried. `tries` is the most, whatever happens; 1: never again."""

    tries: int = 6
    base_s: float = 1.0
    cap_s: float = 30.0
    total_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmSettings:
    """`credential` `claude-code`: the claude-code agent uses the login of Claude Code.

    `delivery` `mount`: that login enters the box as a file, instead of staying at the gateway.
    """

    default_model: str | None = None
    credential: Literal["key", "claude-code"] = "key"
    delivery: Literal["gateway", "mount"] = "gateway"
    providers: Mapping[str, Provider] = field(default_factory=lambda: SHIPPED)
    retry: RetryLimits = RetryLimits()
    outgoing: Outgoing = field(default_factory=Outgoing)
