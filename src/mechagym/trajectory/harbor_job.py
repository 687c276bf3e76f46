"""A job in Harbor's words: the dicts of its `config.json`, `lock.json` and `result.json`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from mechagym.events import Event, JobEnded, JobStarted
from mechagym.records import Outcome, Spend, TrialKey, TrialRecord, TryRecord
from mechagym.trajectory.files import safe_name
from mechagym.trajectory.harbor import (
    Dict,
    JobSheet,
    agent_info_of,
    agent_of,
    environment_of,
    task_of,
    tokens_of,
    trial_lock,
    uuid_of,
)


def job_config(sheet: JobSheet, keys: Sequence[TrialKey], folder: Path) -> Dict:
    """`config.json` of a job; Harbor ignores the part that is ours."""
    agents = {(key.agent, key.model): agent_of(key) for key in keys}
    tasks = {key.task_digest: task_of(sheet, key) for key in keys}
    return {
        "job_name": sheet.name or folder.name,
        "jobs_dir": str(folder.parent),
        "n_attempts": max(1, sheet.repeats),
        "n_concurrent_trials": max(1, sheet.concurrent),
        "timeout_multiplier": sheet.timeout_multiplier,
        "retry": {"max_retries": sheet.retries},
        "environment": environment_of(sheet.sandbox),
        "agents": list(agents.values()),
        "datasets": [],
        "tasks": list(tasks.values()),
        "mechagym": dict(sheet.config),
    }


def job_lock(sheet: JobSheet, keys: Sequence[TrialKey], created_at: datetime) -> Dict:
    """`lock.json` of a job: what it was resolved to."""
    return {
        "schema_version": 3,
        "created_at": created_at.isoformat(),
        "n_concurrent_trials": max(1, sheet.concurrent),
        "retry": {"max_retries": sheet.retries},
        "trials": [trial_lock(sheet, key) for key in keys],
    }


def job_result(
    sheet: JobSheet,
    records: Sequence[TrialRecord],
    *,
    events: Sequence[Event] = (),
    total: int = 0,
    at: datetime,
) -> Dict:
    """`result.json` of a job as of `at`: its trials' records, its own events, its trials in all."""
    began = [event.at for event in events if isinstance(event.body, JobStarted)]
    ended = [event.at for event in events if isinstance(event.body, JobEnded)]
    counts = [event.body.trials for event in events if isinstance(event.body, JobStarted)]
    total = max([total, len(records), *counts])
    started = min([*began, *(record.tries[0].started_at for record in records)], default=at)
    job_id = sheet.job_id or (records[0].key.job_id if records else sheet.name)
    return {
        "id": str(uuid_of(job_id)),
        "started_at": started.isoformat(),
        "updated_at": at.isoformat(),
        "finished_at": ended[-1].isoformat() if ended else None,
        "n_total_trials": total,
        "stats": _stats(records, total),
        "trial_results": [],
    }


def _stats(records: Sequence[TrialRecord], total: int) -> Dict:
    spend = sum((record.spend for record in records), Spend())
    groups: dict[str, list[TrialRecord]] = {}
    for record in records:
        info = agent_info_of(record.key)
        model = (info["model_info"] or {}).get("name")
        parts = [info["name"], model, record.key.dataset or "adhoc"]
        groups.setdefault("__".join(part for part in parts if part), []).append(record)
    return tokens_of(spend) | {
        "n_completed_trials": len(records),
        "n_errored_trials": sum(record.counted.error is not None for record in records),
        "n_running_trials": 0,
        "n_pending_trials": total - len(records),
        "n_cancelled_trials": sum(record.outcome is Outcome.CANCELLED for record in records),
        "n_retries": sum(len(record.tries) - 1 for record in records),
        "evals": {name: _eval(group) for name, group in groups.items()},
    }


def _eval(records: Sequence[TrialRecord]) -> Dict:
    """One cell of agent × model × dataset. The mean is over graded trials only."""
    rewards: dict[str, dict[str, list[str]]] = {}
    failures: dict[str, list[str]] = {}
    graded = [record.reward for record in records if record.reward is not None]
    for record in records:
        name, counted = safe_name(record.key.trial_name), record.counted
        for criterion, value in _rewards(counted).items():
            rewards.setdefault(criterion, {}).setdefault(str(float(value)), []).append(name)
        if counted.error:
            failures.setdefault(counted.error.type, []).append(name)
    return {
        "n_trials": len(graded),
        "n_errors": sum(map(len, failures.values())),
        "metrics": [{"mean": sum(graded) / len(graded)}] if graded else [],
        "pass_at_k": {},
        "reward_stats": rewards,
        "exception_stats": failures,
    }


def _rewards(attempt: TryRecord) -> Mapping[str, float]:
    return attempt.verdict.rewards if attempt.verdict else {}
