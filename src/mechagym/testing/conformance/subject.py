"""What a check of the sandbox suite gets: an open box, and short ways to use it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from mechagym.sandbox.base import Box, BoxSpec, ExecOptions, ExecResult, Sandbox, Stream

Way = Literal["lane", "fallback"]


class Options(TypedDict, total=False):
    """The fields of ExecOptions that checks use."""

    cwd: str
    env: dict[str, str]
    user: str
    timeout_s: float
    stdin: bytes
    limit_bytes: int
    on_output: Callable[[Stream, bytes], None]
    background: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """`folder`: an empty one of the host. `destroy` ends a box from outside, as a crash would."""

    sandbox: Sandbox
    box: Box
    spec: BoxSpec
    folder: Path
    way: Way = "lane"
    destroy: Callable[[Box], Awaitable[None]] | None = None

    async def run(self, argv: Sequence[str], **options: Unpack[Options]) -> ExecResult:
        """Run a command by the way under test."""
        return await self.box.exec(argv, self.options(**options))

    async def sh(self, text: str, **options: Unpack[Options]) -> ExecResult:
        """Run a line of shell by the way under test."""
        return await self.run(["sh", "-c", text], **options)

    def options(self, **options: Unpack[Options]) -> ExecOptions:
        """Options with the way under test."""
        return ExecOptions(fallback=self.way == "fallback", **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check. `section` is that of the sandbox page; `needs` names what a backend may lack."""

    name: str
    section: int
    run: Callable[[Subject], Awaitable[None]]
    needs: frozenset[str] = field(default_factory=frozenset)
    ways: tuple[Way, ...] = ("lane", "fallback")


@dataclass(slots=True)
class Collection:
    """Checks as they are defined, in order."""

    section: int
    checks: list[Check] = field(default_factory=list)

    def check(
        self, *needs: str, ways: tuple[Way, ...] = ("lane", "fallback")
    ) -> Callable[[Callable[[Subject], Awaitable[None]]], Callable[[Subject], Awaitable[None]]]:
        """Take a function in; its name is the check's."""

        def take(
            function: Callable[[Subject], Awaitable[None]],
        ) -> Callable[[Subject], Awaitable[None]]:
            self.checks.append(
                Check(
                    name=function.__name__,
                    section=self.section,
                    run=function,
                    needs=frozenset(needs),
                    ways=ways,
                )
            )
            return function

        return take


def same(seen: object, expected: object) -> None:
    """Fail with what was seen."""
    if seen != expected:
        raise AssertionError(f"seen {seen!r:.2000}, expected {expected!r:.2000}")


def that(holds: object, seen: object = "") -> None:
    """Fail with what was seen, unless it holds."""
    if not holds:
        raise AssertionError(f"seen {seen!r:.2000}")
