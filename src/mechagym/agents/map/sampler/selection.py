"""Which of the candidates is taken: a rule over what the checks said, pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from mechagym.agents.map.types import EvaluatorResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A candidate as the rule sees it; index 0 is the state as it was."""

    index: int
    said: EvaluatorResult | None
    cost_nano: int = 0
    changed: int = 0
    size_bytes: int = 0

    @property
    def vector(self) -> tuple[object, ...]:
        """What decides whether the checks tell candidates apart: each result, not the sum."""
        if self.said is None or self.said.progress is None:
            return ()
        failing = sorted(failure.test_name for failure in self.said.failures)
        return (tuple(failing), tuple(sorted(self.said.guards_broken)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Who is taken and why. `undecided`: the checks say the same of all."""

    index: int
    reason: str
    undecided: bool = False


def choose(standings: Sequence[Standing]) -> Choice:
    """Most goal tests, then fewest broken guards, lowest cost, smallest change, lowest index.

    If all results are equal the checks cannot choose: the cheapest is taken.
    """
    if len({standing.vector for standing in standings}) == 1:
        best = min(standings, key=lambda s: (s.cost_nano, s.changed, s.size_bytes, s.index))
        return Choice(index=best.index, reason="the checks say the same of all", undecided=True)
    best = min(standings, key=_rank)
    said = best.said
    assert said is not None  # vectors differ, and one without results passes no test
    return Choice(index=best.index, reason=f"{said.tests_passing} of {said.tests_total} checks")


def _rank(standing: Standing) -> tuple[int, int, int, int, int, int]:
    said = standing.said
    passing = said.tests_passing if said else -1
    broken = len(said.guards_broken) if said else 0
    sizes = (standing.changed, standing.size_bytes)
    return (-passing, broken, standing.cost_nano, *sizes, standing.index)
