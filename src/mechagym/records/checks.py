"""Checks made for a piece of work: the suite as its maker hands it to whoever runs it."""

from dataclasses import dataclass

TRIPWIRES = ("/tests", "/solution", "/oracle", "/logs/verifier")
"""The folders that decide the reward: neither an agent nor a check made for it opens them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSuite:
    """Checks that stand in a folder of the box. A goal failed on the untouched box, a guard passed.

    `digest` is over what stands in `folder`; `rejected` counts checks that were no good. Without a
    goal it is of no use as a measure of progress.
    """

    digest: str
    folder: str
    goals: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    rejected: int = 0

    @property
    def usable(self) -> bool:
        """Whether it can measure progress."""
        return bool(self.goals)
