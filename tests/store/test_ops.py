"""Ops: kept once, taken once, ended once, and told of under their own subject."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mechagym.errors import StoreError
from mechagym.events import OpAsked, OpTaken, ReapOp, SetBudgetOp, StartOp, StopOp
from mechagym.records import new_id
from mechagym.store import Store, ops, saved, this_process
from mechagym.store.owner import is_alive
from mechagym.store.views import dashboard, health
from tests.store.makers import a_store_with


async def a_worker(store: Store, *, dead: bool = False) -> str:
    owner = this_process()
    worker_id = new_id()
    if dead:
        owner = replace(owner, started="long ago")
    await store.write(ops.begin_worker, worker_id, owner, "1", is_alive)
    return worker_id


async def test_an_op_of_no_job_is_taken_by_one_worker_and_tells_of_itself(url: str):
    async with Store.open(url) as store:
        asked = await store.put_op(None, StartOp(entry={"agents": ["oracle"]}), author="me")
        first, second = await a_worker(store), await a_worker(store)
        taken = await store.write(ops.take_op, first, is_alive)
        assert taken is not None
        assert (taken.op_id, taken.op) == (asked, StartOp(entry={"agents": ["oracle"]}))
        assert await store.write(ops.take_op, second, is_alive) is None
        await store.end_op(asked, applied=False, detail="no such agent")
        await store.end_op(asked, applied=True)  # what ended stays as it is
        view = await store.ask(health.op, asked)
        assert view is not None
        assert (view.state, view.op.detail) == ("refused", "no such agent")
        told = [event.body for event in await store.events(f"op-{asked}")]
        assert told == [
            OpAsked(op_id=asked, op="start", author="me"),
            OpTaken(op_id=asked, op="start", applied=False, detail="no such agent"),
        ]


async def test_what_a_dead_worker_held_is_taken_again(url: str):
    async with Store.open(url) as store:
        asked = await store.put_op(None, ReapOp())
        alive, dead = await a_worker(store), await a_worker(store, dead=True)
        assert await store.write(ops.take_op, dead, is_alive)
        taken = await store.write(ops.take_op, alive, is_alive)
        assert taken is not None
        assert taken.op_id == asked
        assert len(await store.ask(health.processes)) == 2
        await a_worker(store)
        assert [each.alive for each in await store.ask(health.processes)] == [True, True]
        await store.write(ops.end_worker, alive)
        assert [view.op.worker_id for view in await store.ask(health.waiting_ops)] == [None]


async def test_a_running_job_takes_its_own_and_a_worker_those_of_one_that_rests(url: str):
    async with Store.open(url) as store:
        await a_store_with(store)
        worker = await a_worker(store)
        await store.claim_job("job-id", this_process())
        asked = await store.put_op("job-id", SetBudgetOp(limit="usd", value=2.0))
        assert await store.write(ops.take_op, worker, is_alive) is None
        assert await store.pending_ops("job-id") == [(asked, SetBudgetOp(limit="usd", value=2.0))]
        await store.release_job("job-id", "stopped")
        taken = await store.write(ops.take_op, worker, is_alive)
        assert taken is not None
        assert taken.op_id == asked


async def test_one_key_is_one_op(url: str):
    async with Store.open(url) as store:
        await a_store_with(store)
        first = await store.put_op("job-id", StopOp(), request_key="k")
        assert await store.put_op("job-id", StopOp(), request_key="k") == first
        with pytest.raises(StoreError) as refusal:
            await store.put_op("job-id", StopOp(drain=True), request_key="k")
        assert refusal.value.reason == "key_reused"
        assert len(await store.pending_ops("job-id")) == 1


async def test_who_is_not_there_to_take_an_op_is_seen(url: str, monkeypatch: pytest.MonkeyPatch):
    async with Store.open(url) as store:
        await store.put_op(None, ReapOp())
        assert [view.state for view in await store.ask(health.waiting_ops)] == ["asked"]
        monkeypatch.setattr(dashboard, "UNTAKEN", timedelta())
        assert [view.state for view in await store.ask(health.waiting_ops)] == ["untaken"]
        assert [need.kind for need in await store.ask(dashboard.attention)] == ["untaken"]
        await store.write(ops.take_op, await a_worker(store), is_alive)
        assert [view.state for view in await store.ask(health.waiting_ops)] == ["asked"]


async def test_a_setting_is_saved_and_forgotten(url: str):
    async with Store.open(url) as store:
        await store.write(saved.save_setting, "concurrent", "3")
        await store.write(saved.save_setting, "concurrent", "5")
        assert await store.ask(health.settings) == {"concurrent": "5"}
        await store.write(saved.save_setting, "concurrent", None)
    async with Store.open(url) as store:
        assert await store.ask(health.settings) == {}
