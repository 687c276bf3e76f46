"""The options of an agent (`--set agent.KEY=VALUE`): what a wrong one is told."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from mechagym.errors import ConfigError


def check_options(agent: str, options: Mapping[str, str], known: Collection[str]) -> None:
    """Accept known options only. Raises ConfigError naming the known ones and the nearest."""
    for name in options:
        if name in known:
            continue
        near = get_close_matches(name, known, n=1)
        if near:
            remedy = f"did you mean {near[0]}?"
        elif known:
            remedy = f"it knows: {', '.join(sorted(known))}"
        else:
            remedy = "it takes none"
        raise ConfigError(
            f"agent {agent}: no option {name!r}", remedy=remedy, reason="unknown_option"
        )
