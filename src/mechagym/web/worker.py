"""The worker: takes ops that no job takes itself, and has a command of ours carry each out.

What it starts belongs to nobody: jobs go on when the worker, the page and `view` are gone.
An op that a dead worker held is taken again; names of jobs come from their op, so that it is
never started twice.
"""

import json
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from pydantic import ValidationError

from mechagym import __version__
from mechagym.cli.job_file import JobEntry
from mechagym.cli.written import faults_of
from mechagym.config import Settings
from mechagym.errors import ConfigError, MechagymError, StoreError
from mechagym.events import (
    CheckOp,
    ReapOp,
    ResumeOp,
    RetryOp,
    SelfTestOp,
    SetBudgetOp,
    SetSettingOp,
    StartOp,
    StopOp,
)
from mechagym.records import new_id
from mechagym.run.purse import change_limit
from mechagym.store import JobRow, OpRow, Store, TrialRow, ops, saved, this_process
from mechagym.store.owner import is_alive
from mechagym.store.views import health
from mechagym.web.processes import ended, over, spawn, tail_of, wait
from mechagym.web.saved import checked, with_saved

BEAT_S = 10.0
LOOK_S = 1.0
STARTED_S = 120.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A taker of ops on one store. `settings` are those of the machine it works on."""

    store: Store
    settings: Settings
    worker_id: str = field(default_factory=new_id)
    _children: set[int] = field(default_factory=set)

    async def run(self) -> None:
        """Take ops until cancelled."""
        await self.store.write(
            ops.begin_worker, self.worker_id, this_process(), __version__, is_alive
        )
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._beat)
                while True:
                    await self._take_all(tasks)
                    self._children.difference_update([p for p in self._children if over(p)])
                    await anyio.sleep(LOOK_S)
        finally:
            with anyio.CancelScope(shield=True), suppress(StoreError):  # its heartbeat tells too
                await self.store.write(ops.end_worker, self.worker_id)

    async def _beat(self) -> None:
        while True:
            await anyio.sleep(BEAT_S)
            try:
                await self.store.write(ops.beat_worker, self.worker_id)
            except StoreError as error:
                _log.warning("worker %s: %s", self.worker_id, error.message)

    async def _take_all(self, tasks: TaskGroup) -> None:
        try:
            while await self.store.ask(health.waiting_ops):
                op = await self.store.write(ops.take_op, self.worker_id, is_alive)
                if op is None:
                    return
                tasks.start_soon(self._carry_out, op)
        except StoreError as error:
            _log.warning("worker %s: %s", self.worker_id, error.message)

    async def _carry_out(self, op: OpRow) -> None:
        try:
            detail, applied = await self._done(op), True
        except MechagymError as error:
            detail, applied = str(error), False
        except Exception as error:  # noqa: BLE001 – an op of anybody must not end the worker
            _log.exception("op %s", op.op_id)
            detail, applied = f"a fault of ours: {error!r}", False
        await self.store.end_op(op.op_id, applied=applied, detail=detail)

    async def _done(self, op: OpRow) -> str:
        """Carry out one op; what to tell of it. Raises MechagymError where it is refused."""
        match op.op:
            case StartOp():
                return await self._start(op, op.op)
            case ResumeOp():
                return await self._go_on(op, await self._job(op))
            case RetryOp():
                return await self._retry(op, op.op)
            case SetBudgetOp(limit=limit, value=value):
                await change_limit(self.store, await self._job(op), limit, value)
                return "the next start begins with it"
            case StopOp():
                job = await self._job(op)
                raise ConfigError(f"job {job.name} is not running: it is {job.state}")
            case SetSettingOp():
                return await self._save(op.op)
            case CheckOp() | SelfTestOp() | ReapOp():
                return await self._told(op, *command_of(op.op))
            case _:
                assert_never(op.op)

    async def _start(self, op: OpRow, ask: StartOp) -> str:
        settings = with_saved(self.settings, await self.store.ask(health.settings))
        entry = frozen(ask, op, settings)
        if await self.store.find_job(entry.name or "") is not None:
            return f"job {entry.name}"
        file = self._place(op, "yaml")
        await anyio.to_thread.run_sync(_write, file, entry.model_dump_json(exclude_none=True))
        return await self._launched(op, entry.name or "", "run", "-f", str(file), "-q")

    async def _retry(self, op: OpRow, ask: RetryOp) -> str:
        job = await self._job(op)
        _refuse_running(job)
        rows = [row for row in await self.store.trials(job.job_id) if _wanted(row, ask)]
        if any(row.graded for row in rows):
            raise ConfigError("it is graded and sealed; to try it again, begin another job")
        if not rows:
            raise ConfigError(f"job {job.name} has no such trial that ended without a grade")
        await self.store.reopen_trials([row.key.trial_id for row in rows])
        return await self._go_on(op, job)

    async def _go_on(self, op: OpRow, job: JobRow) -> str:
        _refuse_running(job)
        return await self._launched(op, job.name, "jobs", "resume", job.name, "-q")

    async def _launched(self, op: OpRow, name: str, *command: str) -> str:
        """Begin a job's process and see that it took the job. Raises ConfigError where it ended
        before.
        """
        log = self._place(op, "log")
        pid = spawn(command, environ=self._environ(), log=log)
        with anyio.move_on_after(STARTED_S):
            while True:
                code = ended(pid)
                job = await self.store.find_job(name)
                if job is not None and (code is not None or (job.owner and job.owner.pid == pid)):
                    self._children.add(pid)
                    return f"job {name}, process {pid}"
                if code is not None:
                    raise ConfigError(tail_of(log) or f"it ended with exit code {code}")
                await anyio.sleep(0.1)
        self._children.add(pid)
        raise ConfigError(f"process {pid} has not begun the job after {STARTED_S:g} s; see {log}")

    async def _save(self, ask: SetSettingOp) -> str:
        if ask.value is not None:
            checked(ask.key, ask.value)
        await self.store.write(saved.save_setting, ask.key, ask.value)
        return "saved" if ask.value is not None else "forgotten"

    async def _told(self, op: OpRow, *command: str) -> str:
        """Have a short command carry it out; what it said is the op's word."""
        log = self._place(op, "log")
        code = await wait(spawn(command, environ=self._environ(), log=log))
        said = await anyio.to_thread.run_sync(tail_of, log)
        if code not in (0, 1):  # 1: something that was looked at is not well, and that is told
            raise ConfigError(said or f"it ended with exit code {code}")
        return said

    async def _job(self, op: OpRow) -> JobRow:
        job = await self.store.find_job(op.job_id or "")
        if job is None:
            raise ConfigError("there is no such job any more")
        return job

    def _environ(self) -> dict[str, str]:
        """The host's environment; where to keep things is said, or a flag of ours were lost."""
        settings = self.settings
        return {
            **settings.environ,
            "MECHAGYM_STORE": settings.store,
            "MECHAGYM_JOBS_DIR": str(settings.jobs_dir),
            "MECHAGYM_DATA_DIR": str(settings.data_dir),
            "MECHAGYM_CACHE_DIR": str(settings.cache_dir),
        }

    def _place(self, op: OpRow, suffix: str) -> Path:
        return self.settings.data_dir / "ops" / f"op-{op.op_id}-{op.at:%Y%m%d-%H%M%S}.{suffix}"


def command_of(op: CheckOp | SelfTestOp | ReapOp) -> tuple[str, ...]:
    """The command of ours that carries out an op; names of others come after `--`."""
    match op:
        case CheckOp(model=model):
            return ("models", "check", "--json", *(("--", model) if model else ()))
        case SelfTestOp(sandbox=name):
            return ("doctor", "sandbox", "--json", *(("--", name) if name else ()))
        case ReapOp():
            return ("clean", "--json")


def frozen(ask: StartOp, op: OpRow, settings: Settings) -> JobEntry:
    """What a job is told, with all that its settings would add. Raises ConfigError."""
    try:
        entry = JobEntry.model_validate(ask.entry)
    except ValidationError as error:
        raise ConfigError("\n".join(what for _, what in faults_of(error, JobEntry))) from error
    if not entry.agents:
        raise ConfigError("a job needs an agent")
    tasks = (settings.tasks,) if settings.tasks else ()
    found = [Path(source).expanduser() for source in entry.sources]
    sources = tuple(
        str(path.absolute()) if path.exists() else source
        for path, source in zip(found, entry.sources, strict=True)
    )
    return entry.model_copy(
        update={
            "name": name_of(entry, op),
            "sources": sources or tasks,
            "sandbox": entry.sandbox or settings.sandbox,
            "concurrent": entry.concurrent or settings.concurrent,
        }
    )


def name_of(entry: JobEntry, op: OpRow) -> str:
    """The name of the job that an op starts: always the same, so that it is found again."""
    who = entry.agents[0].name.rpartition(":")[2]
    return entry.name or f"{op.at:%Y%m%d-%H%M%S}-{who}-op{op.op_id}"


def _wanted(row: TrialRow, ask: RetryOp) -> bool:
    if row.state != "ended":
        return False
    if ask.trial_id is not None:
        return row.key.trial_id == ask.trial_id
    if ask.outcomes:
        return row.outcome is not None and row.outcome.value in ask.outcomes
    return not row.graded


def _refuse_running(job: JobRow) -> None:
    if job.owner is not None and is_alive(job.owner, job.heartbeat_at):
        raise ConfigError(
            f"job {job.name}: process {job.owner.pid} on {job.owner.host} works on it"
        )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(json.loads(text), indent=1), encoding="utf-8")
