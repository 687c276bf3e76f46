"""Running a job from its config: opens the store, builds the kit, runs, and closes all.

This is the one door for the command line, the tests and, later, a worker: what they hand in are the
parts that only they can choose.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from mechagym.budget import Meter
from mechagym.errors import ConfigError
from mechagym.events import EventBody, ModelSelected, body_from_json, body_to_json
from mechagym.records import adapter, to_json
from mechagym.run.access import Access
from mechagym.run.config import AgentChoice, JobConfig
from mechagym.run.engines.local import LocalEngine
from mechagym.run.hostenv import asked_for, fill
from mechagym.run.images import Images
from mechagym.run.job import Job, JobReport
from mechagym.run.kit import Gates, Kit, MakeAgent, MakeWrapper, Watch
from mechagym.run.purse import open_purse
from mechagym.run.take import Taken, begin, resume
from mechagym.sandbox.base import Sandbox
from mechagym.store import Store
from mechagym.tasks.model import Task
from mechagym.trajectory.folder import JobFolder
from mechagym.trajectory.harbor import JobSheet
from mechagym.trajectory.redact import Redactor
from mechagym.verify.base import Verifier


def ignore(_subject: str, _body: object) -> None:
    """The watcher of those who watch nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a job is run with. `secrets` (name → value) are redacted wherever something is written.

    `host_env` is what `${VAR}` of a task and of an agent's options is resolved from; `begun` is
    told once what the job is and what is left of it, `watch` sees each event as it happens and as
    it is kept: redacted. `selected` tells which models the router gave leave for.
    """

    store_url: str
    sandbox: Sandbox
    verifier: Verifier
    make_agent: MakeAgent
    version_of: Callable[[AgentChoice], str]
    secrets: Mapping[str, str] = field(default_factory=dict)
    host_env: Mapping[str, str] = field(default_factory=dict)
    begun: Callable[[Taken], None] = lambda _taken: None
    watch: Watch = ignore
    access: Access | None = None
    selected: tuple[ModelSelected, ...] = ()
    make_wrapper: MakeWrapper | None = None


async def run_job(
    config: JobConfig, tasks: Sequence[Task], parts: Parts, *, resuming: bool = False
) -> JobReport:
    """Begin the job, or go on with it (`resuming`: then `config` comes from `take.stored_config`).

    Raises ConfigError, JobLocked, StoreError before anything is started; after that every fault
    is a trial's outcome.
    """
    if config.engine != "local":
        raise ConfigError(f"unknown engine {config.engine!r}", remedy="use --engine local")
    redactor = _redactor(config, tasks, parts, resuming=resuming)
    async with Store.open(parts.store_url, redact=redactor.text) as store:
        if resuming:
            row = await store.find_job(config.name)
            if row is None:
                raise ConfigError(f"no job named {config.name}", remedy="see `mechagym jobs list`")
            taken = await resume(store, row, config, tasks, parts.version_of)
        else:
            taken = await begin(store, config, tasks, parts.version_of)
        parts.begun(taken)
        sheet = _sheet(config, taken.row.job_id, tasks, parts.sandbox.name)
        parts = replace(parts, watch=redacted(parts.watch, redactor))
        engine = LocalEngine(config.pace.trials)
        gates = Gates.of(config.pace, os.cpu_count() or 1, at_once=engine.capacity())
        folder = JobFolder(config.folder, redactor, sheet)
        kit = _kit(config, parts, gates, store=store, folder=folder)
        purse = await open_purse(store, taken.row, config.budget, kit.emitter(taken.row.job_id))
        kit = replace(kit, meter=purse)
        job = Job(taken.row, taken.todo, kit=kit, engine=engine, retries=config.pace.retries)
        return await job.run(resumed=taken.resumed, selected=parts.selected)


def _redactor(
    config: JobConfig, tasks: Sequence[Task], parts: Parts, *, resuming: bool
) -> Redactor:
    """Know every secret of the job, and that its config, which is kept as it is, holds none.

    Raises ConfigError where a declared secret stands in a new job's config. A value that a task
    merely asks for, or of a job that is kept already, is public once it stands there.
    """
    for choice in config.agents:
        fill(choice, parts.host_env)
    text = to_json(config)
    asked = asked_for(config, tasks, parts.host_env)
    public = [
        name
        for name, value in {**asked, **parts.secrets}.items()
        if Redactor({name: value}).line(text) != text
    ]
    for name in public if not resuming else ():
        if name in parts.secrets:
            raise ConfigError(
                f"the value of the secret {name} stands in the job's config, which is kept",
                remedy=f"write ${{{name}}} in its place (in an agent's option), or leave it out",
                reason="secret_in_config",
            )
    secrets = {**asked, **parts.secrets}
    return Redactor({name: value for name, value in secrets.items() if name not in public})


def redacted(watch: Watch, redactor: Redactor) -> Watch:
    """Put the redaction before a watcher: what may not be kept may not be shown either."""
    if not redactor.longest_bytes:
        return watch

    def see(subject: str, body: EventBody) -> None:
        line = body_to_json(body)
        clean = redactor.line(line)
        watch(subject, body if clean == line else body_from_json(clean))

    return see


def _kit(config: JobConfig, parts: Parts, gates: Gates, *, store: Store, folder: JobFolder) -> Kit:
    return Kit(
        sandbox=parts.sandbox,
        store=store,
        verifier=parts.verifier,
        make_agent=parts.make_agent,
        folder=folder,
        images=Images(parts.sandbox, gates.builds),
        gates=gates,
        rules=config.rules,
        meter=Meter(),
        host_env=parts.host_env,
        watch=parts.watch,
        access=parts.access,
        make_wrapper=parts.make_wrapper,
    )


def _sheet(config: JobConfig, job_id: str, tasks: Sequence[Task], sandbox: str) -> JobSheet:
    return JobSheet(
        job_id=job_id,
        name=config.name,
        config=adapter(dict).dump_python(asdict(config), mode="json"),
        repeats=config.repeats,
        concurrent=config.pace.trials,
        retries=config.pace.retries,
        timeout_multiplier=config.rules.timeout_multiplier,
        sandbox=sandbox,
        task_folders={task.digest: task.folder for task in tasks},
    )
