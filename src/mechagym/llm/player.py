"""Plays a tape: finds to each request the exchange that was recorded for it, or says what differs.

Strict: the next exchange must be this one. Lenient: by its key in any order, then by the dialect,
the turn and the user's last words. An exchange is played once. A miss is an error: there is no way
to the network from here.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path
from typing import Literal

from mechagym.errors import ConfigError, ModelError
from mechagym.llm.canonical import key_of, last_user_text, turn_of
from mechagym.llm.tape import Exchange, read_tape, same_turn
from mechagym.records import Json

DIFF_LINES = 40


@dataclass(slots=True, eq=False, kw_only=True)
class Player:
    """One playing of a tape. `recorded` speed keeps the times; else all comes at once.

    Requests are made canonical with the tape's own `patterns` before they are looked for.
    """

    path: Path
    exchanges: list[Exchange]
    patterns: tuple[re.Pattern[str], ...] = ()
    mode: Literal["strict", "lenient"] = "lenient"
    speed: Literal["instant", "recorded"] = "instant"
    _played: set[int] = field(default_factory=set, init=False)

    def take(self, kind: Literal["model", "http"], dialect: str, request: Json) -> Exchange:
        """The exchange for a canonical request. Raises ModelError, with what differs."""
        key = key_of(request)
        for number in self._candidates(kind, dialect, key=key, request=request):
            self._played.add(number)
            return self.exchanges[number]
        raise ModelError(
            f"{self.path}: nothing was recorded for this request\n{self._diff(kind, request)}",
            remedy="record a new tape, or play this one by ?lenient",
            reason="tape_miss",
        )

    @property
    def played(self) -> frozenset[int]:
        """Which exchanges were asked for, by their place on the tape."""
        return frozenset(self._played)

    @property
    def model(self) -> str | None:
        """The model that was recorded first."""
        return self.exchanges[0].model if self.exchanges else None

    def _candidates(self, kind: str, dialect: str, *, key: str, request: Json) -> Iterator[int]:
        left = [n for n, _ in enumerate(self.exchanges) if n not in self._played]
        if self.mode == "strict":
            left = left[:1]
        fitting = [n for n in left if self.exchanges[n].kind == kind]
        yield from (n for n in fitting if self.exchanges[n].key == key)
        if self.mode == "lenient":
            wanted = (dialect, turn_of(request), last_user_text(request))
            yield from (n for n in fitting if same_turn(self.exchanges[n]) == wanted)

    def _diff(self, kind: str, request: Json) -> str:
        """How the request differs from the next one on the tape."""
        left = (e for n, e in enumerate(self.exchanges) if n not in self._played)
        following = next((exchange for exchange in left if exchange.kind == kind), None)
        if following is None:
            return "the tape has no more exchanges of this kind"
        lines = list(
            unified_diff(
                _lines(following.request), _lines(request), "recorded", "asked", lineterm="", n=1
            )
        )
        more = [f"… and {len(lines) - DIFF_LINES} more lines"] if len(lines) > DIFF_LINES else []
        return "\n".join(lines[:DIFF_LINES] + more)


def unplayed(players: Iterable[Player]) -> list[str]:
    """What of each tape no player of it was asked for, in a line; nothing where all was."""
    asked: dict[Path, set[int]] = {}
    lengths: dict[Path, int] = {}
    for player in players:
        asked.setdefault(player.path, set()).update(player.played)
        lengths[player.path] = len(player.exchanges)
    left = {path: length - len(asked[path]) for path, length in lengths.items()}
    return [
        f"{path}: {count} of {lengths[path]} exchanges were not played"
        for path, count in left.items()
        if count
    ]


def open_player(name: str) -> Player:
    """A player of `FILE`, `FILE?strict`, `FILE?recorded` or `FILE?strict&recorded`.

    Raises ConfigError.
    """
    file, _, said = name.partition("?")
    words = set(filter(None, said.split("&")))
    if unknown := words - {"strict", "lenient", "instant", "recorded"}:
        raise ConfigError(f"replay:{name}: {', '.join(sorted(unknown))} is no way to play a tape")
    path = Path(file)
    header, exchanges = read_tape(path)
    return Player(
        path=path,
        exchanges=exchanges,
        patterns=header.patterns,
        mode="strict" if "strict" in words else "lenient",
        speed="recorded" if "recorded" in words else "instant",
    )


def _lines(value: Json) -> list[str]:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).splitlines()
