"""What a trial is run with: the parts that wiring chose, handed down as one frozen value."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import anyio

from mechagym.agents.base import Agent
from mechagym.budget import Meter
from mechagym.events import Emit, Event, EventBody, TryEnded
from mechagym.records import TrialKey, TrialRecord
from mechagym.run.access import Access
from mechagym.run.config import AgentChoice, Pace, Rules
from mechagym.run.images import Images
from mechagym.run.wrapping import TaskWrapper
from mechagym.sandbox.base import Sandbox
from mechagym.store import Store
from mechagym.tasks.model import Task
from mechagym.trajectory.folder import JobFolder
from mechagym.verify.base import Verifier

Watch = Callable[[str, EventBody], None]
"""Sees (subject, body) of every event as it happens, for a screen; must be quick and not fail."""

MakeAgent = Callable[[AgentChoice, Task], Agent]
MakeWrapper = Callable[[], TaskWrapper]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """How many of each slow thing may happen at once in this process."""

    builds: anyio.CapacityLimiter
    starts: anyio.CapacityLimiter
    verifiers: anyio.CapacityLimiter

    @classmethod
    def of(cls, pace: Pace, cores: int, *, at_once: int) -> "Gates":
        """The gates of a job; 0 in a pace means: by the machine, or by the trials `at_once`."""
        return cls(
            builds=anyio.CapacityLimiter(pace.image_builds),
            starts=anyio.CapacityLimiter(pace.box_starts or max(2, 2 * cores)),
            verifiers=anyio.CapacityLimiter(pace.verifiers or at_once),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """The parts. `host_env` is what `${VAR}` of a task is resolved from; `access` is the way to
    models, None where no trial of the job needs one; `make_wrapper` None: agents get their
    instruction as it is.
    """

    sandbox: Sandbox
    store: Store
    verifier: Verifier
    make_agent: MakeAgent
    folder: JobFolder
    images: Images
    gates: Gates
    rules: Rules
    meter: Meter
    host_env: Mapping[str, str]
    watch: Watch
    access: Access | None = None
    make_wrapper: MakeWrapper | None = None

    def emitter(self, subject: str, try_number: int = 0) -> Emit:
        """An Emit into the store that the watcher sees too."""
        keep = self.store.emitter(subject, try_number=try_number)

        def emit(body: EventBody) -> None:
            keep(body)
            self.watch(subject, body)

        return emit

    async def write_trial(self, key: TrialKey) -> None:
        """Write the trial's folder from its events, once one of its tries has ended."""

        def write(events: Sequence[Event]) -> None:
            if (record := record_of(key, events)) is not None:
                self.folder.write_trial(record, events)

        await self.store.fold(key.trial_id, write)


def record_of(key: TrialKey, events: Iterable[Event]) -> TrialRecord | None:
    """Fold a trial's record from its events; None where none of its tries has ended."""
    records = (event.body.record for event in events if isinstance(event.body, TryEnded))
    ended = {record.number: record for record in records}
    if not ended:
        return None
    return TrialRecord(key=key, tries=tuple(ended[number] for number in sorted(ended)))
