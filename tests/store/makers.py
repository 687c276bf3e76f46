"""Values to keep in a store."""

from datetime import timedelta

from mechagym.events import TrialEnded, TryEnded, TryStarted
from mechagym.records import (
    ErrorRecord,
    Outcome,
    Spend,
    TrialKey,
    TryRecord,
    Usage,
    Verdict,
    new_id,
    now,
)
from mechagym.store import JobRow, Store


def a_job(name: str = "job", **changes: object) -> JobRow:
    values: dict[str, object] = {
        "job_id": f"{name}-id",
        "name": name,
        "config": "{}",
        "config_digest": "c0ffee",
        "folder": f"/jobs/{name}",
        "created_at": now(),
    }
    return JobRow(**(values | changes))  # type: ignore[arg-type]


def a_key(job: JobRow, number: int = 1, **changes: object) -> TrialKey:
    values: dict[str, object] = {
        "trial_id": f"{job.name}-t{number}",
        "trial_name": f"task-{number}__{new_id(7)}",
        "job_id": job.job_id,
        "dataset": "bench",
        "task": f"task-{number}",
        "task_digest": f"{number:064x}",
        "agent": "oracle@0.1.0",
        "model": None,
        "repeat": 1,
    }
    return TrialKey(**(values | changes))  # type: ignore[arg-type]


def a_try(number: int = 1, *, reward: float | None = 1.0, nano: int = 1_000) -> TryRecord:
    at = now()
    error = ErrorRecord(type="BoxDied", reason="BoxDied", message="gone", blame="sandbox")
    outcome = {None: Outcome.INFRA_ERROR, 1.0: Outcome.PASSED}.get(reward, Outcome.FAILED)
    return TryRecord(
        number=number,
        outcome=outcome,
        started_at=at,
        ended_at=at + timedelta(seconds=number),
        verdict=None if reward is None else Verdict(rewards={"reward": reward}),
        error=error if reward is None else None,
        spend=Spend(usage=Usage(input=10, cache_read=5, output=2), billed_nano=nano),
    )


async def a_store_with(store: Store, trials: int = 1, name: str = "job") -> list[TrialKey]:
    job = a_job(name)
    keys = [a_key(job, number) for number in range(1, trials + 1)]
    await store.create_job(job, keys)
    return keys


def tell(store: Store, key: TrialKey, *tries: TryRecord, seal: bool = True) -> None:
    """Emit what a trial's run would."""
    for record in tries:
        emit = store.emitter(key.trial_id, try_number=record.number)
        emit(TryStarted(number=record.number, owner_pid=1, label=f"{key.trial_id}.{record.number}"))
        emit(TryEnded(record=record))
    if seal:
        emit(TrialEnded(outcome=tries[-1].outcome, tries=len(tries)))
