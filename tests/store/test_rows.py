"""Rows are folds of events; jobs, ops and lists on top of them."""

from dataclasses import replace
from datetime import timedelta

import anyio
import pytest

from mechagym.errors import JobLocked, StoreError
from mechagym.events import (
    AgentSpent,
    BoxOpened,
    MessageSaid,
    PhaseEnded,
    StopOp,
    TrialEnded,
    TryStarted,
)
from mechagym.records import (
    BoxInfo,
    Outcome,
    Phase,
    Spend,
    TrialRecord,
    Usage,
    Verdict,
    new_id,
    now,
)
from mechagym.store import (
    OwnerRow,
    Store,
    TrialFilter,
    TrialPage,
    this_process,
)
from tests.store.makers import a_job, a_key, a_store_with, a_try, tell

DEAD = OwnerRow(pid=1, started="long ago", place="another boot", host="elsewhere")


async def test_a_trial_goes_from_pending_to_ended(url: str):
    async with Store.open(url) as store:
        (key,) = await a_store_with(store)
        (row,) = await store.trials(key.job_id)
        assert (row.key, row.state, row.outcome, row.reward) == (key, "pending", None, None)
        store.emitter(key.trial_id, try_number=1)(TryStarted(number=1, owner_pid=1, label="l"))
        await store.flush()
        (row,) = await store.trials(key.job_id)
        assert (row.state, row.tries, row.started_at is not None) == ("running", 0, True)
        record = a_try(1)
        tell(store, key, record)
        await store.flush()
        (row,) = await store.trials(key.job_id)
        assert (row.state, row.outcome, row.reward) == ("ended", Outcome.PASSED, 1.0)
        assert (row.graded, row.tries, row.tokens, row.duration_s) == (True, 1, 17, 1.0)
        assert await store.record(key.trial_id) == TrialRecord(key=key, tries=(record,))
        assert await store.records(key.job_id) == [TrialRecord(key=key, tries=(record,))]


async def test_every_try_is_kept_and_its_cost_counts(url: str):
    async with Store.open(url) as store:
        (key,) = await a_store_with(store)
        tries = (a_try(1, reward=None), a_try(2, reward=None), a_try(3, reward=0.0))
        tell(store, key, *tries)
        await store.flush()
        (row,) = await store.trials(key.job_id)
        assert (row.tries, row.billed_nano, row.tokens) == (3, 3_000, 51)
        assert (row.outcome, row.reward) == (Outcome.FAILED, 0.0)
        record = await store.record(key.trial_id)
        assert record is not None
        assert record.tries == tries
        assert record.spend.billed_nano == row.billed_nano


async def test_what_was_not_graded_has_no_reward(url: str):
    async with Store.open(url) as store:
        (key,) = await a_store_with(store)
        tell(store, key, a_try(1, reward=None))
        await store.flush()
        (row,) = await store.trials(key.job_id)
        assert (row.outcome, row.graded, row.reward) == (Outcome.INFRA_ERROR, False, None)


async def test_a_refused_trial_ends_without_a_try(url: str):
    async with Store.open(url) as store:
        (key,) = await a_store_with(store)
        store.emitter(key.trial_id)(TrialEnded(outcome=Outcome.REFUSED, tries=0))
        await store.flush()
        (row,) = await store.trials(key.job_id)
        assert (row.state, row.outcome, row.tries) == ("ended", Outcome.REFUSED, 0)
        assert await store.record(key.trial_id) is None


async def test_a_sealed_trial_stays_sealed_until_it_is_reopened(url: str):
    async with Store.open(url) as store:
        (key,) = await a_store_with(store)
        tell(store, key, a_try(1, reward=0.0))
        late = store.emitter(key.trial_id, try_number=2)
        late(TryStarted(number=2, owner_pid=1, label="late"))
        await store.flush()
        assert [row.state for row in await store.trials(key.job_id)] == ["ended"]
        await store.reopen_trials([key.trial_id])
        (row,) = await store.trials(key.job_id)
        assert (row.state, row.outcome, row.reward, row.tries) == ("pending", None, None, 1)
        assert await store.records(key.job_id) == []
        tell(store, key, a_try(2))
        await store.flush()
        (row,) = await store.trials(key.job_id)
        assert (row.outcome, row.tries, row.billed_nano) == (Outcome.PASSED, 2, 2_000)


async def test_events_of_unknown_subjects_change_no_row(url: str):
    async with Store.open(url) as store:
        ghost = a_key(a_job("ghost"))
        tell(store, ghost, a_try())
        await store.flush()
        assert len(await store.events(ghost.trial_id)) == 3
        assert await store.record(ghost.trial_id) is None


async def test_jobs_are_found_by_name_and_id(url: str):
    async with Store.open(url) as store:
        await a_store_with(store, trials=3, name="first")
        job = a_job("second", created_at=now() + timedelta(seconds=1))
        await store.create_job(job, [])
        assert [(found.name, found.trials) for found in await store.jobs()] == [
            ("second", 0),
            ("first", 3),
        ]
        assert await store.find_job("second") == await store.find_job("second-id") == job
        assert await store.find_job("third") is None
        with pytest.raises(StoreError, match="second") as failure:
            await store.create_job(replace(job, job_id="other"), [])
        assert failure.value.reason == "job_exists"
        await store.add_trials(job.job_id, [a_key(job, 1), a_key(job, 2)])
        assert [row.key.task for row in await store.trials(job.job_id)] == ["task-1", "task-2"]


async def test_a_job_has_one_live_owner(url: str):
    async with Store.open(url) as store:
        await a_store_with(store)
        await store.claim_job("job-id", this_process())
        stranger = replace(this_process(), place="another machine", host="far")
        with pytest.raises(JobLocked) as locked:
            await store.claim_job("job-id", stranger)
        assert str(this_process().pid) in locked.value.message
        assert this_process().host in locked.value.message
        with pytest.raises(JobLocked):
            await store.remove_job("job-id")
        await store.claim_job("job-id", this_process())  # our own: fine
        await store.release_job("job-id", "finished")
        await store.claim_job("job-id", stranger)
        found = await store.find_job("job")
        assert found is not None
        assert found.owner == stranger
        with pytest.raises(StoreError, match="no-such-job"):
            await store.claim_job("no-such-job", stranger)


async def test_what_a_dead_process_left_is_pending_again(url: str):
    async with Store.open(url) as store:
        keys = await a_store_with(store, trials=3)
        await store.claim_job("job-id", DEAD)
        tell(store, keys[0], a_try())
        for key in keys[1:]:
            store.emitter(key.trial_id)(TryStarted(number=1, owner_pid=1, label=""))
        await store.flush()
        assert await store.reconcile() == []  # its heartbeat is fresh
        await _silence(store)
        assert sorted(await store.reconcile()) == [key.trial_id for key in keys[1:]]
        states = [row.state for row in await store.trials("job-id")]
        assert states == ["ended", "pending", "pending"]
        found = await store.find_job("job")
        assert found is not None
        assert (found.state, found.owner) == ("interrupted", None)


async def test_claiming_takes_over_from_the_dead(url: str):
    box = BoxInfo(backend="docker", box_id="b", image="i")
    async with Store.open(url) as store:
        (key,) = await a_store_with(store)
        await store.claim_job("job-id", replace(this_process(), started="earlier"))  # pid reused
        emit = store.emitter(key.trial_id, try_number=1)
        emit(TryStarted(number=1, owner_pid=1, label=""))
        emit(BoxOpened(box=box))
        emit(PhaseEnded(phase=Phase.START, duration_s=0.5))
        emit(AgentSpent(spend=Spend(usage=Usage(output=3), billed_nano=700)))
        emit(AgentSpent(spend=Spend(billed_nano=70)))
        await store.claim_job("job-id", this_process())
        (row,) = await store.trials("job-id")
        assert (row.state, row.tries, row.billed_nano, row.tokens) == ("pending", 1, 770, 3)
        record = await store.record(key.trial_id)
        assert record is not None
        (lost,) = record.tries
        assert (lost.outcome, lost.box) == (Outcome.INFRA_ERROR, box)
        assert [time.phase for time in lost.phases] == [Phase.START]
        assert lost.error is not None
        assert lost.error.reason == "process_died"
        assert lost.ended_at >= lost.started_at
        await store.claim_job("job-id", this_process())  # told once
        assert [event.body.kind for event in await store.events(key.trial_id)].count(
            "try_ended"
        ) == 1
        tell(store, key, a_try(2))
        await store.flush()
        (row,) = await store.trials("job-id")
        assert (row.outcome, row.tries, row.billed_nano) == (Outcome.PASSED, 2, 1_770)


async def test_a_running_job_of_a_live_process_is_left_alone(url: str):
    async with Store.open(url) as store:
        (key,) = await a_store_with(store)
        await store.claim_job("job-id", this_process())
        store.emitter(key.trial_id)(TryStarted(number=1, owner_pid=1, label=""))
        await store.flush()
        async with Store.open(url) as other:
            assert await other.reconcile() == []
        assert [row.state for row in await store.trials("job-id")] == ["running"]


async def _silence(store: Store) -> None:
    """Make every heartbeat two minutes old."""
    from mechagym.store.tables import jobs

    old = jobs.update().values(heartbeat_at=now() - timedelta(minutes=2))
    await store._database.write(lambda c: c.execute(old))


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_heartbeats_are_kept_up(url: str, monkeypatch: pytest.MonkeyPatch, busy: bool):
    monkeypatch.setattr("mechagym.store.journal.BEAT_S", 0.2)
    async with Store.open(url) as store:
        await a_store_with(store)
        await store.claim_job("job-id", DEAD)
        await _silence(store)
        with anyio.fail_after(20):
            while await _silent_s(store) > 60:
                if busy:
                    store.emitter("job-id")(MessageSaid(text="busy"))
                await anyio.sleep(0.02)


async def _silent_s(store: Store) -> float:
    found = await store.find_job("job")
    assert found is not None
    assert found.heartbeat_at is not None
    return (now() - found.heartbeat_at).total_seconds()


async def test_an_event_that_no_row_can_show_holds_up_nobody(
    url: str, caplog: pytest.LogCaptureFixture
):
    async with Store.open(url) as store:
        first, second = await a_store_with(store, trials=2)
        empty = replace(a_try(), verdict=Verdict(rewards={}))
        tell(store, first, empty, seal=False)
        tell(store, second, a_try())
        await store.flush()
        assert [row.state for row in await store.trials("job-id")] == ["running", "ended"]
        assert len(await store.events(first.trial_id)) == 2
    assert "event try_ended of job-t1 has no row" in caplog.text


async def test_ops_are_taken_once_and_in_order(url: str):
    async with Store.open(url) as store, Store.open(url) as page:
        await a_store_with(store)
        first = await page.put_op("job-id", StopOp(drain=True), author="me")
        second = await page.put_op("job-id", StopOp())
        assert await store.pending_ops("job-id") == [
            (first, StopOp(drain=True)),
            (second, StopOp()),
        ]
        await store.end_op(first, applied=True, detail="draining")
        assert [op_id for op_id, _ in await store.pending_ops("job-id")] == [second]
        await store.end_op(second, applied=False, detail="too late")
        assert await store.pending_ops("job-id") == []
        with pytest.raises(StoreError):
            await page.put_op("no-such-job", StopOp())


async def test_removing_a_job_removes_all_of_it(url: str):
    from sqlalchemy import func, select

    from mechagym.store.tables import metadata

    shared = MessageSaid(text="x" * 100_000)
    async with Store.open(url) as store:
        for name in ("kept", "gone"):
            (key,) = await a_store_with(store, name=name)
            tell(store, key, a_try())
            store.emitter(key.trial_id)(shared)
            store.emitter(key.trial_id)(MessageSaid(text=name * 50_000))
            await store.put_op(f"{name}-id", StopOp())
        await store.remove_job("gone-id")
        assert await store.find_job("gone") is None
        assert [e.body for e in await store.events("kept-t1")][-2:] == [
            shared,
            MessageSaid(text="kept" * 50_000),
        ]

        def sizes(connection):
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar()
                for table in metadata.sorted_tables
                if not table.name.startswith("testgen_")
            }

        found = await store._database.read(sizes)
        assert found == {
            "events": 6, "jobs": 1, "ops": 1, "settings": 0, "trials": 1, "tries": 1, "usage": 1,
            "tasks": 1, "workers": 0,
        }  # fmt: skip


async def test_trials_are_searched_filtered_and_sorted(url: str):
    async with Store.open(url) as store:
        keys = await a_store_with(store, trials=20)
        for number, key in enumerate(keys, 1):
            tell(store, key, a_try(1, reward=float(number % 2), nano=number * 10))
        await store.flush()
        dear = TrialPage(order="cost", limit=3)
        rows = await store.search_trials(TrialFilter(outcome=Outcome.FAILED), dear)
        assert [row.billed_nano for row in rows] == [200, 180, 160]
        cheap = TrialPage(order="cost", descending=False, limit=2, offset=1)
        rows = await store.search_trials(TrialFilter(job_id="job-id"), cheap)
        assert [row.billed_nano for row in rows] == [20, 30]
        assert await store.count_trials(TrialFilter(outcome=Outcome.PASSED)) == 10
        by_text = TrialFilter(text="task-1")
        assert await store.count_trials(by_text) == 11
        assert await store.count_trials(TrialFilter(text="%")) == 0
        assert await store.search_trials(TrialFilter(task="nope"), TrialPage()) == []


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("wanted", [TrialFilter(), TrialFilter(job_id="job-id")], ids=str)
async def test_pages_of_equal_rows_never_overlap(url: str, wanted: TrialFilter, descending: bool):
    async with Store.open(url) as store:
        keys = await a_store_with(store, trials=20)
        for number, key in enumerate(keys, 1):
            tell(store, key, a_try(1, reward=float(number % 2)))
        await store.flush()
        page = TrialPage(order="outcome", descending=descending, limit=7)
        pages = [
            await store.search_trials(wanted, replace(page, offset=offset)) for offset in (0, 7, 14)
        ]
        seen = [row.key.trial_id for page in pages for row in page]
        assert sorted(seen) == sorted(key.trial_id for key in keys)


@pytest.mark.parametrize("wanted", [TrialFilter(), TrialFilter(job_id="job-id")], ids=str)
async def test_what_has_no_reward_is_listed_last(url: str, wanted: TrialFilter):
    async with Store.open(url) as store:
        keys = await a_store_with(store, trials=4)
        for key, reward in zip(keys, (None, 1.0, 0.0, None), strict=True):
            tell(store, key, a_try(1, reward=reward))
        await store.flush()
        for descending, expected in (
            (True, [1.0, 0.0, None, None]),
            (False, [0.0, 1.0, None, None]),
        ):
            page = TrialPage(order="reward", descending=descending)
            found = await store.search_trials(wanted, page)
            assert [row.reward for row in found] == expected


async def test_ten_thousand_trials_are_one_query(url: str):
    async with Store.open(url) as store:
        job = a_job()
        keys = [a_key(job, n, trial_id=new_id()) for n in range(10_000)]
        await store.create_job(job, keys)
        assert [row.key for row in await store.trials(job.job_id)] == keys
