"""What test generation is made with on this host: models, boxes of tasks, and what trials left."""

import json
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from mechagym.budget import Meter
from mechagym.config import Settings
from mechagym.errors import ConfigError
from mechagym.events import Emit
from mechagym.llm.credentials import Credentials
from mechagym.llm.names import ModelName
from mechagym.records import Outcome
from mechagym.run import boxes
from mechagym.run.config import Rules
from mechagym.run.images import Images
from mechagym.run.prepare import ready_step
from mechagym.sandbox.base import Box, BoxSpec, ExecOptions, Labels, RegistryImage, Sandbox
from mechagym.store import JobRow, TrialRow
from mechagym.tasks.model import Task
from mechagym.testgen.calibration import Sealed
from mechagym.testgen.service import OpenFor
from mechagym.testgen.types import TestGenConfig, WriterRole
from mechagym.wiring.models import catalogue, prices

if TYPE_CHECKING:
    from pydantic_ai.models import Model

OpenBox = Callable[[], AbstractAsyncContextManager[Box]]
OpenNamed = Callable[[ModelName, Meter, Emit], "Model"]
_AT_ONCE = 500


@asynccontextmanager
async def open_models(
    settings: Settings, names: Sequence[ModelName], *, keys: Credentials, allow_unpriced: bool
) -> AsyncIterator[OpenNamed]:
    """The models by name. Raises ConfigError (no key), PriceUnknown before anything is asked."""
    from mechagym.llm.stack import Models

    models = Models(
        settings=settings.llm,
        catalogue=catalogue(settings),
        prices=prices(settings),
        credentials=keys,
        allow_unpriced=allow_unpriced,
    )
    for name in names:
        models.check(name)

    def opened(name: ModelName, meter: Meter, emit: Emit) -> "Model":
        def left_s() -> float:
            left = meter.left("seconds")
            return math.inf if left is None else left

        return models.open_model(name, meter=meter, emit=emit, left_s=left_s)

    async with models:
        yield opened


def writers(opened: OpenNamed, model: ModelName, config: TestGenConfig) -> OpenFor:
    """Who writes and who reflects: the models that the config names, else this one."""

    def open_for(role: WriterRole, meter: Meter, emit: Emit) -> "Model":
        named = config.primary_model if role == "primary" else config.reflection_model
        return opened(ModelName.of(named) if named else model, meter, emit)

    return open_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where boxes come from; an image is had once for all boxes of it."""

    sandbox: Sandbox
    images: Images
    rules: Rules = Rules()

    @classmethod
    def of(cls, sandbox: Sandbox) -> "Ground":
        """One image is built at a time."""
        return cls(sandbox=sandbox, images=Images(sandbox, anyio.CapacityLimiter(1)))

    def of_task(self, task: Task) -> OpenBox:
        """Opens the box of a task as its agent finds it in its first step."""
        return partial(self._task_box, task)

    def of_image(self, reference: str) -> OpenBox:
        """Opens a box of an image, without the world."""
        spec = BoxSpec(image=RegistryImage(reference=reference), labels=Labels())
        return partial(self._box, spec)

    def of_trial(self, task: Task, folder: Path) -> OpenBox:
        """Opens a box with what a trial left in its working directory; `folder` is its try's.

        Raises ConfigError where that was not kept whole.
        """
        kept = folder / "workspace.json"
        if not kept.is_file():
            raise ConfigError("what it left was not kept")
        changes = json.loads(kept.read_text(encoding="utf-8"))
        left = [folder / "workspace" / name for name in (*changes["added"], *changes["changed"])]
        if not all(path.is_symlink() or path.exists() for path in left):
            raise ConfigError("what it left was too much to be kept whole")
        return partial(self._end_state, task, folder / "workspace", tuple(changes["removed"]))

    @asynccontextmanager
    async def _box(self, spec: BoxSpec) -> AsyncIterator[Box]:
        await self.images.have(spec.image, lambda _line: None)
        async with self.sandbox.open(spec) as box:
            yield box

    @asynccontextmanager
    async def _task_box(self, task: Task) -> AsyncIterator[Box]:
        spec = boxes.agent_box(task, self.rules, Labels())
        spec = replace(spec, network=boxes.agent_network(task, task.steps[0]))
        async with self._box(spec) as box:
            await ready_step(box, task.steps[0])
            yield box

    @asynccontextmanager
    async def _end_state(
        self, task: Task, workspace: Path, removed: tuple[str, ...]
    ) -> AsyncIterator[Box]:
        async with self._task_box(task) as box:
            if workspace.is_dir():
                await box.put(workspace, box.info.workdir)
            for first in range(0, len(removed), _AT_ONCE):
                paths = [f"./{path}" for path in removed[first : first + _AT_ONCE]]
                await box.exec(["rm", "-f", "--", *paths], ExecOptions(user="root"))
            yield box


def try_folder(job: JobRow, trial: TrialRow) -> Path:
    """Where the evidence of a trial's last try lies."""
    return Path(job.folder) / trial.key.trial_name / "tries" / f"{trial.tries:03d}"


def sealed_trials(
    job: JobRow, trials: Sequence[TrialRow], tasks: Sequence[Task], ground: Ground
) -> tuple[list[Sealed], list[str]]:
    """The graded trials of a job whose verdicts stand, and a word about each other one.

    A trial that is not sealed is passed over: it may still be tried again.
    """
    by_digest = {task.digest: task for task in tasks}
    found: list[Sealed] = []
    left_out: list[str] = []
    for trial in trials:
        task = by_digest.get(trial.key.task_digest)
        try:
            found.append(_sealed(job, trial, task, ground))
        except ConfigError as error:
            left_out.append(f"{trial.key.trial_name}: {error.message}")
    return found, left_out


def _sealed(job: JobRow, trial: TrialRow, task: Task | None, ground: Ground) -> Sealed:
    """One of them. Raises ConfigError, saying why it is of no use here."""
    if trial.state != "ended":
        raise ConfigError("it is not sealed")
    if not trial.graded:
        raise ConfigError("it is not graded")
    if task is None:
        raise ConfigError("its task is gone or has changed")
    if task.multi_step:
        raise ConfigError("its task has several steps, and only the last state is kept")
    return Sealed(
        trial_id=trial.key.trial_id,
        task_id=task.task_id,
        verdict_passed=trial.outcome is Outcome.PASSED,
        open_end_state=ground.of_trial(task, try_folder(job, trial)),
    )
