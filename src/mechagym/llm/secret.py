"""A secret that never prints: whatever shows it shows where it is from and its last letters."""

import hmac
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

SHOWN_CHARS = 4
LONG_CHARS = 16
"""From so many characters on, the last ones may be shown: enough is left unsaid."""


@final
class Secret:
    """A key or token with the place it was found in, `anthropic:env`. Compared in constant time.

    As text, in JSON, pickled and in a traceback it is `anthropic:env:…a1b2`.
    """

    __slots__ = ("_value", "label")

    def __init__(self, value: str, label: str) -> None:
        self._value = value
        self.label = label

    def reveal(self) -> str:
        """The secret itself; only the credentials and the two doors to a provider call this."""
        return self._value

    def __str__(self) -> str:
        end = self._value[-SHOWN_CHARS:] if len(self._value) >= LONG_CHARS else ""
        return f"{self.label}:…{end}"

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Pickled, it is the text that it shows: another process gets its keys another way."""
        return str, (str(self),)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> "CoreSchema":
        """Written as the text that it shows; never read."""
        from pydantic_core import core_schema

        return core_schema.is_instance_schema(
            cls, serialization=core_schema.to_string_ser_schema(when_used="always")
        )
