"""A trial in Harbor's words: the dicts of its `config.json`, `lock.json` and `result.json`.

Pure folds. Ids are UUIDs there, so ours are hashed into one; costs are summed over all tries,
everything else is the counted try's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from mechagym.events import Event, spent_in
from mechagym.records import (
    ErrorRecord,
    Json,
    Phase,
    PhaseTime,
    Spend,
    StepRecord,
    TrialKey,
    TrialRecord,
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


def trial_config(sheet: JobSheet, key: TrialKey, folder: Path) -> Dict:
    """`config.json` of a trial."""
    return {
        "task": task_of(sheet, key),
        "trial_name": folder.name,
        "trials_dir": str(folder.parent),
        "timeout_multiplier": sheet.timeout_multiplier,
        "agent": agent_of(key),
        "environment": environment_of(sheet.sandbox),
        "verifier": {},
        "job_id": str(uuid_of(key.job_id)),
    }


def trial_lock(sheet: JobSheet, key: TrialKey) -> Dict:
    """`lock.json` of a trial."""
    digest = key.task_digest.removeprefix("sha256:").lower()
    task = task_of(sheet, key)
    return {
        "schema_version": 2,
        "task": {"name": key.task, "type": "local", "digest": f"sha256:{digest.zfill(64)}"} | task,
        "timeout_multiplier": sheet.timeout_multiplier,
        "agent": agent_of(key),
        "environment": environment_of(sheet.sandbox),
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
        "agent_info": agent_info_of(key),
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


def task_of(sheet: JobSheet, key: TrialKey) -> Dict:
    """Where the task came from."""
    path = sheet.task_folders.get(key.task_digest) or Path(key.dataset, key.task)
    return {"path": str(path), "source": key.dataset or None}


def agent_of(key: TrialKey) -> Dict:
    """The agent as it is configured; `provider:name` of a model is `provider/name` there."""
    name, _, version = key.agent.partition("@")
    return {"name": name, "model_name": _model(key.model), "kwargs": {"version": version}}


def agent_info_of(key: TrialKey) -> Dict:
    """The agent as it ran."""
    name, _, version = key.agent.partition("@")
    provider, colon, model = (key.model or "").partition(":")
    info = {"name": model if colon else provider, "provider": provider if colon else None}
    return {
        "name": name,
        "version": version or "unknown",
        "model_info": info if key.model else None,
    }


def _model(model: str | None) -> str | None:
    return model.replace(":", "/", 1) if model else None


def environment_of(sandbox: str) -> Dict:
    """Our backend, by a name that Harbor knows or an import path that says whose it is."""
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


def tokens_of(spend: Spend) -> Dict:
    """Tokens as Harbor counts them: input with what was cached, output with reasoning."""
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
        if spent := spent_in(event.body):
            model = getattr(event.body, "model", None) or record.key.model or "unknown"
            by_model[model] = by_model.get(model, Spend()) + spent
    return tokens_of(record.spend) | {
        "model_usage": {model: tokens_of(spend) for model, spend in by_model.items()} or None,
        "metadata": {
            "outcome": record.outcome.value,
            "graded": record.graded,
            "tries": len(record.tries),
            "turns": record.counted.turns,
            "claim": record.counted.claim,
            "agent": record.counted.agent_metadata,
            "imputed_usd": record.spend.imputed_nano / 1e9,
            "credential_exposed": any(one.credential_exposed for one in record.tries),
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
