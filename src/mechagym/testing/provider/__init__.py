"""A provider of models on loopback, for tests: all wires, by a script, misbehaving on demand.

    async with provider_double([Turn(text="hello"), Failure(status=429)]) as double:
        ...  # real SDKs and command-line agents talk to double.url

`python -m mechagym.testing.provider` serves the same in a process of its own.
"""

from mechagym.llm.speech.turn import ToolCall
from mechagym.testing.provider.asked import Asked
from mechagym.testing.provider.double import ProviderDouble, provider_double
from mechagym.testing.provider.lists import Listed
from mechagym.testing.provider.turns import (
    Answer,
    Failure,
    Script,
    Trouble,
    Turn,
    always,
    in_order,
)

__all__ = [
    "Answer",
    "Asked",
    "Failure",
    "Listed",
    "ProviderDouble",
    "Script",
    "ToolCall",
    "Trouble",
    "Turn",
    "always",
    "in_order",
    "provider_double",
]
