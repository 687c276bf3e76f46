"""The conversation of one run: begun with the first prompt, answered turn by turn, handed over at
each change of sub-task, and shortened before it fills the model's window.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mechagym.agents.map.compaction import SUMMARY_TOKENS, can_shrink, compacted, is_due
from mechagym.agents.map.handover import ALL_CHARS, handover
from mechagym.agents.map.judge import evaluation_told
from mechagym.agents.map.messages import CHARS_PER_TOKEN, answer, opening
from mechagym.agents.map.prompts import COMPACT
from mechagym.agents.map.switches import Switches
from mechagym.agents.map.telling import Telling
from mechagym.agents.map.tools.offered import definitions
from mechagym.agents.map.types import ActorTurn, ExecutionState
from mechagym.agents.map.worker import Carried
from mechagym.events.map import MapCompaction
from mechagym.sandbox.base import Box

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
    from pydantic_ai.models import Model

SMALL_WINDOW = 32_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The room a conversation has. None: nobody knows, so nothing is shortened before its time."""

    tokens: int | None = None

    @property
    def is_small(self) -> bool:
        """Whether each sub-task must begin anew, from its handover."""
        return self.tokens is not None and self.tokens <= SMALL_WINDOW

    @property
    def scale(self) -> float:
        """How much smaller than its usual size everything shown must be."""
        return self.tokens / SMALL_WINDOW if self.tokens is not None and self.is_small else 1.0

    @property
    def handover_chars(self) -> int:
        """Room for changed files: 30,000 characters, or a quarter of the window."""
        if self.tokens is None:
            return ALL_CHARS
        return int(min(ALL_CHARS * self.scale, self.tokens * CHARS_PER_TOKEN / 4))


class Conversation:
    """See above. `messages` is what the model is asked with."""

    def __init__(
        self, system: str, first: str, *, box: Box, window: Window, options: "ConversationOptions"
    ) -> None:
        self._opening: ModelRequest = opening(system, first)
        self.messages: tuple[ModelMessage, ...] = (self._opening,)
        self._box, self._window, self._options = box, window, options
        self._compacts = options.switches.compaction == "on"
        self._starts_anew = False
        options.telling.said(system, system=True)
        options.telling.said(first)

    def answered(
        self, reply: ActorTurn, carried: Carried, *, notes: Sequence[str], state: ExecutionState
    ) -> None:
        """Add a reply, the results of its calls, what is said to it, and the status line."""
        options = self._options
        note = options.deadline_note() if options.switches.deadline_notes == "on" else ""
        status = options.status_line(state) if options.switches.deadline_notes == "on" else ""
        told = "\n\n".join(filter(None, [carried.told, *notes, note, status]))
        if told:
            options.telling.said(told)
        if self._starts_anew:
            self._starts_anew = False
            self.messages = (replace(self._opening, parts=[*self._opening.parts, *_user(told)]),)
            return
        back = answer(carried.returns, told if told or carried.returns else "Go on.")
        self.messages = (*self.messages, reply.reply, back)

    async def handed_over(self, state: ExecutionState, *, why: str) -> str:
        """The handover to the next sub-task; in a small window it begins the conversation anew."""
        if self._options.switches.handover == "off":
            return f"Next part of the work: {state.subtask.name}. {state.subtask.goal}"
        self._starts_anew = self._window.is_small
        return await handover(self._box, state, all_chars=self._window.handover_chars, why=why)

    async def shorten_if_due(self, state: ExecutionState) -> None:
        """Shorten it where three quarters of the window are full."""
        if is_due(self.messages, self._window.tokens):
            await self.shorten(state)

    async def shorten(self, state: ExecutionState) -> bool:
        """Shorten it now; False where that is off, or of no use. Raises ModelError, BudgetError."""
        if not self._compacts or not can_shrink(self.messages):
            return False
        done = await compacted(
            self.messages,
            window_tokens=self._window.tokens or SMALL_WINDOW,
            summarise=self._summary,
            stated=evaluation_told(state) if state.last_evaluation else "",
        )
        self.messages = done.messages
        self._options.telling.emit(
            MapCompaction(
                tokens_before=done.tokens_before,
                tokens_after=done.tokens_after,
                method=done.method,
            )
        )
        return True

    async def _summary(self, messages: "tuple[ModelMessage, ...]") -> str:
        """The model's own summary, in a call of its own."""
        from pydantic_ai.direct import model_request
        from pydantic_ai.messages import ModelRequest
        from pydantic_ai.models import ModelRequestParameters
        from pydantic_ai.settings import ModelSettings

        *before, last = messages
        asked = ModelRequest(parts=[*last.parts, *_user(COMPACT)])
        reply = await model_request(
            self._options.open_model(),
            [*before, asked],
            model_settings=ModelSettings(max_tokens=SUMMARY_TOKENS),
            # a conversation with calls in it is refused by some where no tools are offered
            model_request_parameters=ModelRequestParameters(function_tools=definitions()),
        )
        return reply.text or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationOptions:
    """What a conversation is held with."""

    switches: Switches
    telling: Telling
    status_line: Callable[[ExecutionState], str]
    deadline_note: Callable[[], str]
    open_model: Callable[[], "Model"]


def _user(text: str) -> "list[UserPromptPart]":
    from pydantic_ai.messages import UserPromptPart

    return [UserPromptPart(content=text)]
