"""Tapes that a person asks for: new files that get no key of this host."""

from collections.abc import Mapping
from pathlib import Path

from mechagym.agents.map import status
from mechagym.llm.tape import TapeWriter
from mechagym.testgen import prompts
from mechagym.trajectory.redact import Redactor, hide_shapes


def new_tape(path: Path, secrets: Mapping[str, str]) -> TapeWriter:
    """A new tape that gets neither these secrets (label → value) nor what looks like a key.

    Raises ConfigError where no file can be made.
    """
    known = Redactor(secrets)

    def redact(text: str) -> tuple[str, int]:
        hidden, count = known.counted(text)
        shapeless, more = hide_shapes(hidden)
        return shapeless, count + more

    return TapeWriter(path, redact, normalise=(*status.VARYING, *prompts.VARYING))
