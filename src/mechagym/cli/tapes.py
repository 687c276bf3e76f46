"""Tapes that a person asks for: new files that get no key of this host."""

from collections.abc import Iterable
from pathlib import Path

from mechagym import wiring
from mechagym.config import Settings
from mechagym.llm.names import ModelName
from mechagym.llm.tape import TapeWriter
from mechagym.trajectory.redact import Redactor, hide_shapes


def new_tape(path: Path, settings: Settings, names: Iterable[ModelName]) -> TapeWriter:
    """A new tape that gets neither the keys of these models nor what looks like a key.

    Raises ConfigError where no file can be made.
    """
    providers = [settings.llm.providers[name.provider] for name in names]
    known = Redactor(wiring.credentials(settings).to_hide(providers))

    def redact(text: str) -> tuple[str, int]:
        hidden, count = known.counted(text)
        shapeless, more = hide_shapes(hidden)
        return shapeless, count + more

    return TapeWriter(path, redact)
