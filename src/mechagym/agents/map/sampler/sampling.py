"""Best of N: fork one state, let candidates work, verify them, take one, leave nothing behind.

Read `ForkSampler.sample` and `_run` aloud. All forks close with the stack, also on errors and on a
cancel; what a loser did stays in its event.
"""

from contextlib import AsyncExitStack
from dataclasses import replace

from mechagym.agents.map.base import SampleRequest
from mechagym.agents.map.sampler.candidates import Attempts, Candidate
from mechagym.agents.map.sampler.carry import Luggage, packed, unpack_into
from mechagym.agents.map.sampler.selection import Choice, Standing, choose
from mechagym.agents.map.sampler.share import Share, afforded
from mechagym.agents.map.services import listening
from mechagym.agents.map.types import SampleOutcome
from mechagym.errors import BoxDied, SandboxError
from mechagym.events.map import MapCandidate, MapSampleComplete, MapSampleStart


class ForkSampler:
    """See `Sampler`. `listening`: what listened in the box before any work.

    Where a service of the work runs, the box stays the machine that it is, and the winner's files
    are brought into it: a fork has no processes, so that going on as one would end the service.
    """

    def __init__(self, *, listening: frozenset[str] = frozenset()) -> None:
        self._listening = listening

    async def sample(self, request: SampleRequest) -> SampleOutcome:
        """Try several ways and keep the best. Raises SandboxError."""
        with afforded(request) as share:
            if isinstance(share, str):
                outcome = SampleOutcome(chosen=None, reason=share)
            else:
                request.emit(
                    MapSampleStart(
                        n=share.n,
                        temperatures=request.temperatures[: share.n],
                        reserved_usd=share.reserved_usd,
                    )
                )
                outcome = await self._run(request, share)
                outcome = replace(outcome, spend=share.meter.settled)
        request.emit(
            MapSampleComplete(
                chosen=outcome.chosen,
                reason=outcome.reason,
                distinct=outcome.distinct,
                undecided=outcome.undecided,
                lost=outcome.lost,
            )
        )
        return outcome

    async def _run(self, request: SampleRequest, share: Share) -> SampleOutcome:
        services = await listening(request.box) - self._listening
        async with AsyncExitStack() as bags, AsyncExitStack() as forks:
            try:
                attempts = Attempts(request, share, stack=forks)
                made = await attempts.made()
                everyone = [await attempts.present(), *made] if request.with_present else made
            except BoxDied:
                raise
            except SandboxError as error:
                return SampleOutcome(chosen=None, reason=f"no candidates: {error}")
            everyone = await attempts.verified(everyone)
            for candidate in everyone:
                request.emit(_told(candidate))
            outcome, winner = _decided(everyone)
            if winner is None or winner.index == 0:
                return outcome
            if not services and await _adopted(request, winner):
                return outcome
            luggage = await bags.enter_async_context(packed(winner.fork, winner.changes))
            lost = await listening(winner.fork) - self._listening
            await forks.aclose()  # the box may stand still while it has forks
            return await _carried(request, luggage, replace(outcome, lost=tuple(sorted(lost))))


async def _adopted(request: SampleRequest, winner: Candidate) -> bool:
    try:
        await request.box.adopt(winner.fork)
    except BoxDied:
        raise
    except (SandboxError, NotImplementedError):
        return False
    return True


async def _carried(
    request: SampleRequest, luggage: Luggage, outcome: SampleOutcome
) -> SampleOutcome:
    await unpack_into(request.box, luggage)
    return replace(outcome, lost=(*luggage.lost, *outcome.lost))


def _decided(everyone: list[Candidate]) -> tuple[SampleOutcome, Candidate | None]:
    """Who is the best of those that are not out."""
    running = [candidate for candidate in everyone if not candidate.problem]
    distinct = len({c.changes.digest for c in running if c.index})
    if not any(candidate.index for candidate in running):
        why = next((c.problem for c in everyone if c.problem), "no candidate")
        return SampleOutcome(chosen=None, reason=f"no candidate is left: {why}"), None
    choice: Choice = choose([_standing(candidate) for candidate in running])
    winner = next(candidate for candidate in running if candidate.index == choice.index)
    outcome = SampleOutcome(
        chosen=choice.index,
        reason=choice.reason,
        evaluation=winner.said,
        changed_paths=winner.changes.paths,
        distinct=distinct,
        undecided=choice.undecided,
    )
    return outcome, winner


def _standing(candidate: Candidate) -> Standing:
    return Standing(
        index=candidate.index,
        said=candidate.said,
        cost_nano=candidate.spend.billed_nano + candidate.spend.imputed_nano,
        changed=len(candidate.changes.paths),
        size_bytes=candidate.changes.size_bytes,
    )


def _told(candidate: Candidate) -> MapCandidate:
    said = candidate.said
    return MapCandidate(
        index=candidate.index,
        hint=candidate.brief.hint,
        diff_digest=candidate.changes.digest,
        diff=candidate.diff,
        passing=said.tests_passing if said else 0,
        total=said.tests_total if said else 0,
        guards_broken=len(said.guards_broken) if said else 0,
        cost_usd=candidate.spend.cost_usd,
        problem=candidate.problem,
    )
