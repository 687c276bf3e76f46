"""What a trial is run with: the parts that wiring chose, handed down as one frozen value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import anyio
import anyio.to_thread

from mechagym.agents.base import Agent
from mechagym.budget import Meter
from mechagym.events import Emit, Event, EventBody
from mechagym.records import TrialRecord
from mechagym.run.config import AgentChoice, Pace, Rules
from mechagym.run.images import Images
from mechagym.sandbox.base import Sandbox
from mechagym.store import Store
from mechagym.tasks.model import Task
from mechagym.trajectory.folder import JobFolder
from mechagym.verify.base import Verifier

_BATCH = 5_000

Watch = Callable[[str, EventBody], None]
"""Sees (subject, body) of every event as it happens, for a screen; must be quick and not fail."""

MakeAgent = Callable[[AgentChoice, Task], Agent]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """How many of each slow thing may happen at once in this process."""

    builds: anyio.CapacityLimiter
    starts: anyio.CapacityLimiter
    verifiers: anyio.CapacityLimiter

    @classmethod
    def of(cls, pace: Pace, cores: int) -> "Gates":
        """The gates of a job; 0 in a pace means: by the machine, or by the trials at once."""
        return cls(
            builds=anyio.CapacityLimiter(pace.image_builds),
            starts=anyio.CapacityLimiter(pace.box_starts or max(2, 2 * cores)),
            verifiers=anyio.CapacityLimiter(pace.verifiers or pace.trials),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """The parts. `host_env` is what `${VAR}` of a task is resolved from."""

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

    def emitter(self, subject: str, try_number: int = 0) -> Emit:
        """An Emit into the store that the watcher sees too."""
        keep = self.store.emitter(subject, try_number=try_number)

        def emit(body: EventBody) -> None:
            keep(body)
            self.watch(subject, body)

        return emit

    async def write_trial(self, record: TrialRecord) -> None:
        """Write the trial's folder from its record and events."""
        events: list[Event] = []
        whole = False
        while not whole:
            after = events[-1].seq if events else 0
            batch = await self.store.events(record.key.trial_id, after=after, limit=_BATCH)
            events += batch
            whole = len(batch) < _BATCH
        await anyio.to_thread.run_sync(self.folder.write_trial, record, events)
