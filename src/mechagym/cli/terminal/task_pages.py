"""How tasks and datasets are shown."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from mechagym.cli.terminal.figures import counted, duration
from mechagym.cli.terminal.page import RED, Column, Page
from mechagym.config import Settings
from mechagym.tasks.dataset import Dataset
from mechagym.tasks.model import Environment, Task
from mechagym.tasks.needs import needs


def list_page(settings: Settings, datasets: Sequence[Dataset], *, as_json: bool) -> None:
    """Write the tasks of each dataset, then what is broken and why."""
    page = Page(settings.terminal)
    if as_json:
        page.json([_dataset_json(dataset) for dataset in datasets])
        return
    for dataset in datasets:
        version = f" at {dataset.version[:12]}" if dataset.version else ""
        page.note(f"{dataset.name}{version}: {counted(len(dataset.tasks), 'task')}")
        if dataset.tasks:
            page.table(LIST_COLUMNS, [_list_row(task) for task in dataset.tasks])
        for broken in dataset.broken:
            page.note(Text(f"broken  {broken.reason}", style=RED))


LIST_COLUMNS = (
    Column(name="task", cut=True),
    Column(name="difficulty"),
    Column(name="category", cut=True),
    Column(name="agent", align="right"),
    Column(name="needs", cut=True),
)


def task_page(settings: Settings, task: Task, *, as_json: bool) -> None:
    """Write all of one task: what it asks, in which machine, under which limits."""
    page = Page(settings.terminal)
    if as_json:
        page.json(_task_json(task))
        return
    page.line(Text(task.full_name or task.name, style="bold"))
    for name, value in _facts(task):
        if value:
            page.line(Text.assemble((f"{name:<12}", "dim"), value))
    for step in task.steps:
        page.line()
        page.line(Text(f"instruction{f' of {step.name}' if task.multi_step else ''}", style="dim"))
        page.line(step.instruction.strip())


def _facts(task: Task) -> list[tuple[str, str]]:
    machine = task.environment
    first = task.steps[0]
    return [
        ("folder", str(task.folder)),
        ("digest", task.digest[:16]),
        ("form", f"{task.form}, schema {task.schema_version}"),
        ("about", task.description),
        ("difficulty", str(task.metadata.get("difficulty", ""))),
        ("tags", ", ".join(map(str, task.metadata.get("tags") or task.keywords))),
        ("image", machine.docker_image or ("environment/Dockerfile" if task.dockerfile else "")),
        ("machine", limits_text(machine)),
        ("network", ", ".join((machine.network, *machine.allowed_hosts))),
        ("agent", _seconds(first.agent.timeout_s) + _user(first.agent.user)),
        ("verifier", f"{_seconds(first.verifier.timeout_s)}, {first.verifier.mode}"),
        ("steps", ", ".join(s.name for s in task.steps) if task.multi_step else ""),
        ("needs", ", ".join(needs(task))),
        ("unknown keys", ", ".join(task.unknown_keys)),
    ]


def limits_text(machine: Environment) -> str:
    """`1 cpu, 2 GiB memory, 10 GiB disk`; what is not limited is left out."""
    parts = []
    if machine.cpus is not None:
        parts.append(f"{machine.cpus:g} cpu")
    if machine.memory_mb is not None:
        parts.append(f"{_gibibytes(machine.memory_mb)} memory")
    if machine.storage_mb is not None:
        parts.append(f"{_gibibytes(machine.storage_mb)} disk")
    if machine.gpus:
        parts.append(f"{machine.gpus} gpu")
    return ", ".join(parts) or "no limits"


def _gibibytes(mib: int) -> str:
    return f"{mib / 1024:.3g} GiB" if mib >= 1024 else f"{mib} MiB"


def _list_row(task: Task) -> list[str]:
    meta = task.metadata
    return [
        task.name,
        str(meta.get("difficulty") or ""),
        str(meta.get("category") or ""),
        _seconds(task.steps[0].agent.timeout_s),
        ", ".join(needs(task)),
    ]


def _seconds(timeout_s: float | None) -> str:
    return "no limit" if timeout_s is None else duration(timeout_s)


def _user(name: str | None) -> str:
    return f", as {name}" if name else ""


def _dataset_json(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "source": dataset.source,
        "version": dataset.version,
        "digest": dataset.digest,
        "tasks": [_task_json(task) for task in dataset.tasks],
        "broken": [{"folder": str(b.folder), "reason": str(b.reason)} for b in dataset.broken],
        "skipped": [str(path) for path in dataset.skipped],
    }


def _task_json(task: Task) -> dict[str, Any]:
    first = task.steps[0]
    return {
        "task_id": task.task_id,
        "name": task.full_name or task.name,
        "folder": str(task.folder),
        "digest": task.digest,
        "schema_version": task.schema_version,
        "form": task.form,
        "description": task.description,
        "metadata": dict(task.metadata),
        "docker_image": task.environment.docker_image,
        "cpus": task.environment.cpus,
        "memory_mb": task.environment.memory_mb,
        "storage_mb": task.environment.storage_mb,
        "network": task.environment.network,
        "agent_timeout_s": first.agent.timeout_s,
        "verifier_timeout_s": first.verifier.timeout_s,
        "verifier_mode": first.verifier.mode,
        "steps": [{"name": s.name, "instruction": s.instruction} for s in task.steps],
        "needs": list(needs(task)),
        "unknown_keys": list(task.unknown_keys),
    }
