"""Candidates at work: each plays its episode in its own fork; equal ones are told apart or dropped.

A candidate that dies, fails or runs out of money is one less; it never ends the others.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

import anyio

from mechagym.agents.map.base import SampleRequest
from mechagym.agents.map.sampler.diffs import diff_of
from mechagym.agents.map.sampler.share import TURNS, Share
from mechagym.agents.map.sampler.tree import Changes, Listing, changes_in, list_files
from mechagym.agents.map.types import (
    CandidateBrief,
    EpisodeEnd,
    EvaluatorResult,
    Trigger,
)
from mechagym.errors import MechagymError
from mechagym.records import Spend
from mechagym.sandbox.base import Box

HINTS = (
    "precision: meet every stated constraint exactly",
    "balance: the simplest thing that meets all constraints",
    "recall: expect unusual input and handle it",
)
WARMER = 0.2
HOTTEST = 2.0
TOLD_CHARS = 2_000
NOT_OURS = -1
"""The revision of a state that is none of the trial's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One try: its fork, what it did there, and what the checks say. Index 0: the state as it was.

    `problem`: why it is out.
    """

    brief: CandidateBrief
    fork: Box
    changes: Changes = field(default_factory=Changes)
    diff: str = ""
    spend: Spend = field(default_factory=Spend)
    said: EvaluatorResult | None = None
    problem: str = ""

    @property
    def index(self) -> int:
        """Its number."""
        return self.brief.index


class Attempts:
    """Makes and verifies the candidates of one request; `stack` owns their forks."""

    def __init__(self, request: SampleRequest, share: Share, *, stack: AsyncExitStack) -> None:
        self._request, self._share, self._stack = request, share, stack

    async def made(self) -> list[Candidate]:
        """Fork and let all work side by side; then equal ones once more. Raises SandboxError."""
        briefs = [self._brief(index) for index in range(1, self._share.n + 1)]
        candidates = [Candidate(brief=brief, fork=await self._fork()) for brief in briefs]
        self._share.meter.release(self._share.hold)
        worked = await gathered(self._worked, candidates)
        return await self._told_apart(worked)

    async def present(self) -> Candidate:
        """Candidate 0: a fork in which nothing was done."""
        brief = CandidateBrief(index=0, temperature=0.0, hint="the state as it was")
        return Candidate(brief=brief, fork=await self._fork())

    async def verified(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Run the checks in all forks side by side; who is out stays out."""
        return await gathered(self._checked, candidates)

    def _brief(self, index: int) -> CandidateBrief:
        temperatures = self._request.temperatures
        return CandidateBrief(
            index=index,
            temperature=temperatures[(index - 1) % len(temperatures)],
            hint=HINTS[(index - 1) % len(HINTS)],
            max_turns=TURNS,
        )

    async def _fork(self) -> Box:
        return await self._stack.enter_async_context(self._request.box.fork())

    async def _worked(self, candidate: Candidate) -> Candidate:
        request, share = self._request, self._share
        left = share.meter.budget.usd
        budget = replace(share.meter.budget, usd=None if left is None else left / share.n)
        try:
            before = await list_files(candidate.fork, request.surroundings)
            with share.meter.spend(budget) as meter:
                end = await request.episode.play(candidate.fork, candidate.brief, meter)
            return await self._seen(candidate, end, before)
        except MechagymError as error:
            return replace(candidate, problem=f"{type(error).__name__}: {error}")

    async def _seen(self, candidate: Candidate, end: EpisodeEnd, before: Listing) -> Candidate:
        request, fork = self._request, candidate.fork
        changes = await changes_in(fork, request.surroundings, before)
        diff = await diff_of(request.box, fork, changes, before)
        problem = "" if changes.paths else end.problem or "it changed nothing"
        spend = candidate.spend + end.spend
        return replace(candidate, changes=changes, diff=diff, spend=spend, problem=problem)

    async def _told_apart(self, candidates: list[Candidate]) -> list[Candidate]:
        """Of equal ones all but the first try once more, told of it; still equal: they are out."""
        first, again = _split(candidates)
        if not again:
            return candidates
        retried = [
            replace(
                candidate,
                fork=await self._fork(),
                brief=replace(
                    candidate.brief,
                    temperature=min(HOTTEST, candidate.brief.temperature + WARMER),
                    told=_told(candidate),
                ),
            )
            for candidate in again
        ]
        different, still = _split([*first, *await gathered(self._worked, retried)])
        out = [replace(candidate, problem="equal to another candidate") for candidate in still]
        return sorted([*different, *out], key=lambda candidate: candidate.index)

    async def _checked(self, candidate: Candidate) -> Candidate:
        evaluator = self._request.evaluator
        if candidate.problem or evaluator is None:
            return candidate
        revision = NOT_OURS if candidate.index else self._request.state.box_revision
        trigger = Trigger(kind="candidate", revision=revision)
        try:
            return replace(candidate, said=await evaluator.evaluate(candidate.fork, trigger))
        except MechagymError as error:
            return replace(candidate, problem=f"{type(error).__name__}: {error}")


async def gathered(
    work: Callable[[Candidate], Awaitable[Candidate]], candidates: Sequence[Candidate]
) -> list[Candidate]:
    """Do it for all side by side, in their order."""
    done: dict[int, Candidate] = {}

    async def one(place: int, candidate: Candidate) -> None:
        done[place] = await work(candidate)

    async with anyio.create_task_group() as tasks:
        for place, candidate in enumerate(candidates):
            tasks.start_soon(one, place, candidate)
    return [done[place] for place in range(len(candidates))]


def _split(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
    """Those that are the first of their digest or out, and those that another one equals."""
    seen: set[str] = set()
    first: list[Candidate] = []
    again: list[Candidate] = []
    for candidate in candidates:
        if candidate.problem:
            first.append(candidate)
        elif candidate.changes.digest in seen:
            again.append(candidate)
        else:
            seen.add(candidate.changes.digest)
            first.append(candidate)
    return first, again


def _told(candidate: Candidate) -> str:
    return (
        "Somebody else has already done exactly this; do it in another way:\n"
        f"{candidate.diff[:TOLD_CHARS]}"
    )
