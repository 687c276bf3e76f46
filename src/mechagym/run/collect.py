"""Copying evidence out of the box: the agent's logs, declared artifacts, changed files.

Bounded in time and size; what fails is an event and a line in the manifest, never the end of the
trial.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import anyio

from mechagym.errors import MechagymError
from mechagym.events import ArtifactCollected, Emit
from mechagym.run.workspace import Changes
from mechagym.sandbox.base import MIB, Box, ExecOptions, TransferCaps
from mechagym.sandbox.transfer import unpack
from mechagym.tasks.model import Artifact

COLLECT_S = 60.0
CAPS = TransferCaps(max_files=20_000, max_bytes=500 * MIB)
AGENT_LOGS = "/logs/agent"
CONVENTION = Artifact(source="/logs/artifacts", destination=".")
_CHANGED_MAX = 500
_CHANGED_BYTES = 32 * MIB
_PRESENT = 'for p in "$@"; do [ -e "$p" ] || [ -L "$p" ] && printf "%s\\n" "$p"; done; :'
_FILLED = '[ -n "$(ls -A "$1" 2>/dev/null)" ]'


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """An artifact that is now on the host, and where it lay in the box."""

    source: str
    path: Path


async def collect_logs(box: Box, trial_dir: Path, emit: Emit) -> None:
    """Copy what the agent left in its log folder to `agent/`."""
    with anyio.move_on_after(COLLECT_S):
        filled = await box.exec(["sh", "-c", _FILLED, "sh", AGENT_LOGS], ExecOptions(user="root"))
        if filled.ok:
            await _copy(box, AGENT_LOGS, trial_dir / "agent", emit)


async def collect_artifacts(
    box: Box, wanted: Sequence[Artifact], trial_dir: Path, emit: Emit
) -> list[Collected]:
    """Copy the declared artifacts that exist to `artifacts/`; a missing one is said, not an
    error.
    """
    done: list[Collected] = []
    with anyio.move_on_after(COLLECT_S):
        present = await _present(box, [a.source for a in wanted])
        for artifact in wanted:
            target = trial_dir / "artifacts" / place_of(artifact)
            if artifact.source not in present:
                if artifact is not CONVENTION:
                    emit(_refused(artifact.source, str(target), "not there"))
            elif await _copy(box, artifact.source, target, emit):
                done.append(Collected(source=artifact.source, path=target))
    return done


async def collect_changes(box: Box, changes: Changes, trial_dir: Path, emit: Emit) -> bool:
    """Write the list of changed files, and copy those that are there to `workspace/`, as one
    archive.

    Says whether all of them were copied.
    """
    trial_dir.mkdir(parents=True, exist_ok=True)
    listing = {"workdir": box.info.workdir, "added": changes.added, "changed": changes.changed}
    text = json.dumps(listing | {"removed": changes.removed}, indent=2)
    (trial_dir / "workspace.json").write_text(text, encoding="utf-8", errors="replace")
    paths = [f"./{path}" for path in changes.present]
    if not paths:
        return True
    target = trial_dir / "workspace"
    options = ExecOptions(user="root", timeout_s=COLLECT_S, limit_bytes=_CHANGED_BYTES)
    packed = await box.exec(["tar", "-cf", "-", *paths[:_CHANGED_MAX]], options)
    whole = packed.ok and len(paths) <= _CHANGED_MAX and packed.stdout_total <= _CHANGED_BYTES
    if not whole:
        emit(
            _refused(box.info.workdir, str(target), f"{len(paths)} changed files: too many to keep")
        )
        return False
    report = await unpack([packed.stdout], target, CAPS)
    emit(
        ArtifactCollected(
            source=box.info.workdir,
            target=str(target),
            files=report.files,
            size_bytes=report.size_bytes,
            refused=report.refused,
        )
    )
    return not report.refused


def place_of(artifact: Artifact) -> Path:
    """Where an artifact goes under `artifacts/`: its destination, else its path in the box."""
    return _inside(artifact.destination or artifact.source)


def with_convention(declared: Iterable[Artifact]) -> list[Artifact]:
    """The declared artifacts and the folder that is always looked at."""
    unique = {(a.source, a.destination): a for a in declared}
    return [replace(a) for a in unique.values()] + [CONVENTION]


def _inside(path: str) -> Path:
    parts = [p for p in PurePosixPath(path).parts if p not in ("/", "..", ".")]
    return Path(*parts) if parts else Path()


async def _present(box: Box, sources: list[str]) -> set[str]:
    result = await box.exec(["sh", "-c", _PRESENT, "sh", *sources], ExecOptions(user="root"))
    return set(result.text.splitlines())


async def _copy(box: Box, source: str, target: Path, emit: Emit) -> bool:
    try:
        report = await box.get(source, target, CAPS)
    except FileNotFoundError:
        emit(_refused(source, str(target), "not there"))
        return False
    except (MechagymError, OSError) as error:
        emit(_refused(source, str(target), str(error)))
        return False
    emit(
        ArtifactCollected(
            source=source,
            target=str(target),
            files=report.files,
            size_bytes=report.size_bytes,
            refused=report.refused,
        )
    )
    return True


def _refused(source: str, target: str, why: str) -> ArtifactCollected:
    return ArtifactCollected(source=source, target=target, refused=(f"{source}: {why}",))
