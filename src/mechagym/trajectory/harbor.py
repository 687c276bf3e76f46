"""Our records in Harbor's words: the dicts of its `config.json`, `lock.json` and `result.json`.

Pure folds. Ids are UUIDs there, so ours are hashed into one; costs are summed over all tries,
everything else is the counted try's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from mechagym.events import AgentSpent, Event, JobEnded, JobStarted
from mechagym.records import (
    ErrorRecord,
    Json,
    Outcome,
    Phase,
    PhaseTime,
    Spend,
    StepRecord,
    TrialKey,
    TrialRecord,
    TryRecord,
    Verdict,
)
from mechagym.trajectory.atif import prompt_tokens
from mechagym.trajectory.files import safe_name

KNOWN_ENVIRONMENTS = frozenset({"docker", "podman", "apple-container"})
Dict = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSheet:
    """What a folder says of its job beside its trials.

    `config` is ours, kept whole in `config.json`; `task_folders`: from a task's digest.
    """

    job_id: str = ""
    name: str = ""
    config: Mapping[str, Json] = field(default_factory=dict)
    repeats: int = 1
    concurrent: int = 4
    retries: int = 2
    timeout_multiplier: float = 1.0
    sandbox: str = "docker"
    task_folders: Mapping[str, Path] = field(default_factory=dict)


def uuid_of(own_id: str) -> UUID:
    """The same UUID for the same id of ours, always."""
    return uuid5(NAMESPACE_URL, f"mechagym:{own_id}")


def job_config(sheet: JobSheet, keys: Sequence[TrialKey], folder: Path) -> Dict:
    """`config.json` of a job; Harbor ignores the part that is ours."""
    agents = {(key.agent, key.model): _agent(key) for key in keys}
    tasks = {key.task_digest: _task(sheet, key) for key in keys}
    return {
        "job_name": sheet.name or folder.name,
        "jobs_dir": str(folder.parent),
        "n_attempts": max(1, sheet.repeats),
        "n_concurrent_trials": max(1, sheet.concurrent),
        "timeout_multiplier": sheet.timeout_multiplier,
        "retry": {"max_retries": sheet.retries},
        "environment": _environment(sheet.sandbox),
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


def trial_config(sheet: JobSheet, key: TrialKey, folder: Path) -> Dict:
    """`config.json` of a trial."""
    return {
        "task": _task(sheet, key),
        "trial_name": folder.name,
        "trials_dir": str(folder.parent),
        "timeout_multiplier": sheet.timeout_multiplier,
        "agent": _agent(key),
        "environment": _environment(sheet.sandbox),
        "verifier": {},
        "job_id": str(uuid_of(key.job_id)),
    }


def trial_lock(sheet: JobSheet, key: TrialKey) -> Dict:
    """`lock.json` of a trial."""
    digest = key.task_digest.removeprefix("sha256:").lower()
    task = _task(sheet, key)
    return {
        "schema_version": 2,
        "task": {"name": key.task, "type": "local", "digest": f"sha256:{digest.zfill(64)}"} | task,
        "timeout_multiplier": sheet.timeout_multiplier,
        "agent": _agent(key),
        "environment": _environment(sheet.sandbox),
        "verifier": {},
    }


def trial_result(
    sheet: JobSheet, record: TrialRecord, events: Sequence[Event], folder: Path
) -> Dict:
    """`result.json` of a trial."""
    key, counted = record.key, record.counted
    config = trial_config(sheet, key, folder)
    return {
        "id": str(uuid_of(key.trial_id)),
        "task_name": key.task,
        "trial_name": folder.name,
        "trial_uri": folder.absolute().as_uri(),
        "task_id": {"path": config["task"]["path"]},
        "source": key.dataset or None,
        "task_checksum": key.task_digest,
        "config": config,
        "agent_info": _agent_info(key),
        "agent_result": _agent_result(record, events),
        "verifier_result": _verdict(counted.verdict),
        "exception_info": _exception(counted.error, counted.ended_at),
        "started_at": record.tries[0].started_at.isoformat(),
        "finished_at": counted.ended_at.isoformat(),
        "environment_setup": _span(counted.phases, Phase.IMAGE, Phase.START),
        "agent_setup": _span(counted.phases, Phase.PREPARE),
        "agent_execution": _span(counted.phases, Phase.AGENT),
        "verifier": _span(counted.phases, Phase.VERIFY),
        "step_results": [_step(step) for step in counted.steps] or None,
    }


def job_result(
    sheet: JobSheet, records: Sequence[TrialRecord], events: Sequence[Event], at: datetime
) -> Dict:
    """`result.json` of a job, from its trials' records and its own events, as of `at`."""
    began = [event.at for event in events if isinstance(event.body, JobStarted)]
    ended = [event.at for event in events if isinstance(event.body, JobEnded)]
    counts = [event.body.trials for event in events if isinstance(event.body, JobStarted)]
    started = min([*began, *(record.tries[0].started_at for record in records)], default=at)
    total = max([*counts, len(records)])
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


def metrics(record: TrialRecord) -> Dict:
    """`metrics.json` of a trial: ours, all tries with their phases and costs."""
    return {
        "trial_id": record.key.trial_id,
        "outcome": record.outcome.value,
        "graded": record.graded,
        "reward": record.reward,
        "spend": _spend(record.spend),
        "tries": [
            {
                "number": attempt.number,
                "outcome": attempt.outcome.value,
                "started_at": attempt.started_at.isoformat(),
                "wall_s": (attempt.ended_at - attempt.started_at).total_seconds(),
                "phases": [
                    {"phase": time.phase.value, "duration_s": time.duration_s}
                    for time in attempt.phases
                ],
                "turns": attempt.turns,
                "error": attempt.error.reason if attempt.error else None,
                "spend": _spend(attempt.spend),
            }
            for attempt in record.tries
        ],
    }


def _task(sheet: JobSheet, key: TrialKey) -> Dict:
    path = sheet.task_folders.get(key.task_digest) or Path(key.dataset, key.task)
    return {"path": str(path), "source": key.dataset or None}


def _agent(key: TrialKey) -> Dict:
    name, _, version = key.agent.partition("@")
    return {"name": name, "model_name": _model(key.model), "kwargs": {"version": version}}


def _agent_info(key: TrialKey) -> Dict:
    name, _, version = key.agent.partition("@")
    provider, colon, model = (key.model or "").partition(":")
    info = {"name": model if colon else provider, "provider": provider if colon else None}
    return {
        "name": name,
        "version": version or "unknown",
        "model_info": info if key.model else None,
    }


def _model(model: str | None) -> str | None:
    """`provider:name` is `provider/name` there."""
    return model.replace(":", "/", 1) if model else None


def _environment(sandbox: str) -> Dict:
    if sandbox in KNOWN_ENVIRONMENTS:
        return {"type": sandbox}
    return {"import_path": f"mechagym.sandbox:{safe_name(sandbox)}"}


def _spend(spend: Spend) -> Dict:
    usage = spend.usage
    return {
        **{name: getattr(usage, name) for name in type(usage).__dataclass_fields__},
        "cost_usd": spend.cost_usd,
        "imputed_usd": spend.imputed_nano / 1e9,
        "unpriced_calls": spend.unpriced_calls,
    }


def _tokens(spend: Spend) -> Dict:
    usage = spend.usage
    return {
        "n_input_tokens": prompt_tokens(usage),
        "n_cache_tokens": usage.cache_read,
        "n_output_tokens": usage.output + usage.reasoning,
        "cost_usd": spend.cost_usd,
    }


def _agent_result(record: TrialRecord, events: Sequence[Event]) -> Dict:
    by_model: dict[str, Spend] = {}
    for event in events:
        if isinstance(event.body, AgentSpent):
            model = event.body.model or record.key.model or "unknown"
            by_model[model] = by_model.get(model, Spend()) + event.body.spend
    return _tokens(record.spend) | {
        "model_usage": {model: _tokens(spend) for model, spend in by_model.items()} or None,
        "metadata": {
            "outcome": record.outcome.value,
            "graded": record.graded,
            "tries": len(record.tries),
            "turns": record.counted.turns,
            "claim": record.counted.claim,
            "imputed_usd": record.spend.imputed_nano / 1e9,
        },
    }


def _verdict(verdict: Verdict | None) -> Dict | None:
    return {"rewards": dict(verdict.rewards)} if verdict else None


def _exception(error: ErrorRecord | None, at: datetime) -> Dict | None:
    if error is None:
        return None
    return {
        "exception_type": error.type,
        "exception_message": error.message,
        "exception_traceback": error.trace or "",
        "occurred_at": at.isoformat(),
    }


def _step(step: StepRecord) -> Dict:
    return {"step_name": step.name, "verifier_result": _verdict(step.verdict)}


def _span(times: Iterable[PhaseTime], *phases: Phase) -> Dict | None:
    """From the first start to the last end of some phases."""
    found = [time for time in times if time.phase in phases]
    if not found:
        return None
    ends = [time.started_at + timedelta(seconds=time.duration_s) for time in found]
    started = min(time.started_at for time in found)
    return {"started_at": started.isoformat(), "finished_at": max(ends).isoformat()}


def _stats(records: Sequence[TrialRecord], total: int) -> Dict:
    spend = sum((record.spend for record in records), Spend())
    groups: dict[str, list[TrialRecord]] = {}
    for record in records:
        info = _agent_info(record.key)
        model = (info["model_info"] or {}).get("name")
        parts = [info["name"], model, record.key.dataset or "adhoc"]
        groups.setdefault("__".join(part for part in parts if part), []).append(record)
    return _tokens(spend) | {
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
