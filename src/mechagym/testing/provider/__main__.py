"""Serve a provider double in this process: its script is JSON on stdin, its address goes to stdout.

usage: python -m mechagym.testing.provider [PORT] < SCRIPT.json

The script: {"answers": [{"kind": "turn", "text": "hello"}, …]}, and if wanted "aside" (an answer to
whatever offers no tools), "again": true (the answers start over), "models", "key". What was asked
stands at /double/asked.
"""

import itertools
import sys
from dataclasses import dataclass

import anyio
from pydantic import TypeAdapter

from mechagym.testing.provider.double import provider_double
from mechagym.testing.provider.lists import Listed
from mechagym.testing.provider.turns import Answer, Script, in_order


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The whole script."""

    answers: tuple[Answer, ...]
    aside: Answer | None = None
    again: bool = False
    models: tuple[Listed, ...] = (Listed(id="double-1"),)
    key: str | None = None

    def script(self) -> Script:
        """Who answers."""
        answers = itertools.cycle(self.answers) if self.again else self.answers
        return in_order(answers, aside=self.aside)


async def _serve(told: Told, port: int) -> None:
    async with provider_double(
        told.script(), models=told.models, key=told.key, port=port
    ) as double:
        sys.stdout.write(f"{double.url}\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


def main() -> None:
    """Serve until killed."""
    told = TypeAdapter(Told).validate_json(sys.stdin.read())
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    try:
        anyio.run(_serve, told, port)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
