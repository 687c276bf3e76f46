"""What a worker makes of each op, and what it refuses; whole jobs it starts are in `test_view`."""

from pathlib import Path
from typing import Any

import pytest

from mechagym.config import Settings
from mechagym.errors import ConfigError
from mechagym.events import (
    BudgetRaised,
    CheckOp,
    Op,
    ReapOp,
    ResumeOp,
    RetryOp,
    SelfTestOp,
    SetBudgetOp,
    StartOp,
    StopOp,
)
from mechagym.records import now, to_json
from mechagym.run.config import AgentChoice, JobConfig, Sources
from mechagym.store import OpRow, Store, ops, this_process
from mechagym.store.owner import is_alive
from mechagym.store.views import health
from mechagym.web.saved import checked, effective, with_saved
from mechagym.web.worker import Worker, command_of, frozen
from tests.store.makers import a_job, a_key, a_try, tell


def asked(op: Op, op_id: int = 7) -> OpRow:
    return OpRow(op_id=op_id, job_id=None, op=op, author="me", at=now())


async def a_job_that_rests(store: Store) -> None:
    """A pass, a fault and one that waits, of a job that can be read and not run."""
    config = JobConfig(
        name="one", sources=Sources(sources=("x",)), agents=(AgentChoice(name="oracle"),),
        out_dir=Path("/nowhere"),
    )  # fmt: skip
    job = a_job("one", config=to_json(config))
    keys = [a_key(job, number) for number in (1, 2, 3)]
    await store.create_job(job, keys)
    tell(store, keys[0], a_try(reward=1.0))
    tell(store, keys[1], a_try(reward=None))
    await store.flush()


async def taken(store: Store, settings: Settings, job_id: str | None, op: Op) -> tuple[bool, str]:
    """Ask, have a worker take it, and say what became of it."""
    worker = Worker(store=store, settings=settings)
    op_id = await store.put_op(job_id, op)
    await store.write(ops.begin_worker, worker.worker_id, this_process(), "1", is_alive)
    found = await store.write(ops.take_op, worker.worker_id, is_alive)
    assert found is not None
    await worker._carry_out(found)
    view = await store.ask(health.op, op_id)
    assert view is not None
    assert view.op.applied is not None
    return view.op.applied, view.op.detail


async def test_a_resting_jobs_budget_is_changed_and_it_cannot_be_stopped(settings: Settings):
    async with Store.open(settings.store) as store:
        await a_job_that_rests(store)
        done = await taken(store, settings, "one-id", SetBudgetOp(limit="usd", value=3.0))
        assert done[0] is True
        (event,) = await store.events("one-id")
        assert event.body == BudgetRaised(limit="usd", before=None, after=3.0)
        applied, why = await taken(store, settings, "one-id", StopOp())
        assert (applied, "it is pending" in why) == (False, True)


async def test_what_is_graded_is_not_tried_again(settings: Settings):
    async with Store.open(settings.store) as store:
        await a_job_that_rests(store)
        applied, why = await taken(store, settings, "one-id", RetryOp(trial_id="one-t1"))
        assert (applied, "sealed" in why) == (False, True)
        applied, why = await taken(store, settings, "one-id", RetryOp(outcomes=("cancelled",)))
        assert (applied, "no such trial" in why) == (False, True)
        assert [row.state for row in await store.trials("one-id")] == ["ended", "ended", "pending"]


async def test_a_job_that_somebody_runs_is_left_to_them(settings: Settings):
    async with Store.open(settings.store) as store:
        await a_job_that_rests(store)
        await store.claim_job("one-id", this_process())
        for op in (ResumeOp(), RetryOp()):
            applied, why = await taken(store, settings, "one-id", op)
            assert (applied, "works on it" in why) == (False, True)


async def test_what_a_dead_worker_began_is_not_begun_twice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    def never(*_: Any, **__: Any) -> int:
        raise AssertionError("begun again")

    monkeypatch.setattr("mechagym.web.worker.spawn", never)
    async with Store.open(settings.store) as store:
        await a_job_that_rests(store)
        entry = {"name": "one", "agents": ["oracle"]}
        assert await taken(store, settings, None, StartOp(entry=entry)) == (True, "job one")


def test_a_start_is_frozen_with_all_that_holds_here(settings: Settings, home: Path):
    (home / "here" / "tasks").mkdir()
    entry = {"sources": ["tasks", "terminal-bench@2.0"], "agents": ["oracle@1", "nop"]}
    op = asked(StartOp(entry=entry))
    assert isinstance(op.op, StartOp)
    told = frozen(op.op, op, with_saved(settings, {"concurrent": "7", "sandbox": "local"}))
    assert told.sources == (str(home / "here" / "tasks"), "terminal-bench@2.0")
    assert (told.concurrent, told.sandbox) == (7, "local")
    assert told.name == f"{op.at:%Y%m%d-%H%M%S}-oracle-op7"
    assert told == frozen(op.op, op, with_saved(settings, {"concurrent": "7", "sandbox": "local"}))
    odd: tuple[dict[str, Any], ...] = (
        {"agents": []},
        {"agents": ["oracle"], "repeats": "many"},
        {"odd": 1},
    )
    for wrong in odd:
        with pytest.raises(ConfigError):
            frozen(StartOp(entry=wrong), op, settings)


def test_names_of_others_are_never_options():
    assert command_of(CheckOp(model="--deep"))[-2:] == ("--", "--deep")
    assert command_of(SelfTestOp(sandbox="--image"))[-2:] == ("--", "--image")
    assert command_of(CheckOp()) == ("models", "check", "--json")
    assert command_of(ReapOp()) == ("clean", "--json")


def test_saved_settings_lie_between_files_and_defaults(settings: Settings):
    held = with_saved(settings, {"concurrent": "9", "store": "x", "sandbox": "", "gone": "1"})
    assert (held.concurrent, held.store) == (9, settings.store)
    assert with_saved(settings, {"concurrent": "none"}).concurrent == settings.concurrent
    rows = {each.key: each for each in effective(settings, {"concurrent": "9"})}
    assert (rows["concurrent"].value, rows["concurrent"].source) == ("9", "saved setting")
    with pytest.raises(ConfigError, match="concurrent"):
        checked("concurrnet", "3")
    for key, value in (("concurrent", "0"), ("sandbox", " ")):
        with pytest.raises(ConfigError):
            checked(key, value)
    assert held.sandbox == settings.sandbox
