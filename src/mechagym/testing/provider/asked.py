"""What a double was asked: one HTTP request, and what it means on its wire."""

import json
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from mechagym.records import Json

Wire = Literal["anthropic", "openai-chat", "openai-responses", "google"]
Left = Literal["whole", "cut", "client left"]


@dataclass(kw_only=True)
class Asked:
    """One request as it came, and later how its answer ended. Header names are in lower case."""

    method: str
    path: str  # with the query
    headers: dict[str, str]
    body: bytes
    number: int = 0  # 1 for the double's first request, and so on
    began_s: float = field(default_factory=time.monotonic)
    status: int | None = None
    sent: bytearray = field(default_factory=bytearray)  # the body of the answer, as far as it went
    ended: Left | None = None
    ended_s: float | None = None

    @cached_property
    def json(self) -> Json:
        """The body as JSON; an empty object where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    @property
    def route(self) -> str:
        """The path without its query."""
        return self.path.partition("?")[0]

    @property
    def wire(self) -> Wire | None:
        """Which wire this asks for a model's work; None: it asks for something else."""
        if self.method != "POST":
            return None
        if self.route.endswith((":generateContent", ":streamGenerateContent")):
            return "google"
        ends: dict[str, Wire] = {
            "/messages": "anthropic",
            "/chat/completions": "openai-chat",
            "/responses": "openai-responses",
        }
        return next((wire for end, wire in ends.items() if self.route.endswith(end)), None)

    @property
    def model(self) -> str:
        """The model's name on the wire."""
        if self.wire == "google":
            return self.route.rpartition("/")[2].partition(":")[0]
        return str(self.json.get("model", ""))

    @property
    def stream(self) -> bool:
        """True where the answer shall come as a stream of events."""
        if self.wire == "google":
            return self.route.endswith(":streamGenerateContent")
        return bool(self.json.get("stream"))

    @property
    def tells_usage(self) -> bool:
        """False for a stream of chat completions that did not ask for its usage."""
        if self.wire != "openai-chat" or not self.stream:
            return True
        return bool((self.json.get("stream_options") or {}).get("include_usage"))

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of the tools that the model may call."""
        offered = self.json.get("tools") or []
        if self.wire == "google":
            offered = [f for t in offered for f in t.get("functionDeclarations", [])]
        return tuple(
            str(tool.get("name") or tool.get("function", {}).get("name") or tool.get("type"))
            for tool in offered
        )

    @property
    def key(self) -> str | None:
        """The credential that came with it, whichever header carried it."""
        bearer = self.headers.get("authorization", "").partition(" ")[2]
        named = ("x-api-key", "x-goog-api-key", "api-key")
        return next((self.headers[n] for n in named if n in self.headers), bearer or None)
