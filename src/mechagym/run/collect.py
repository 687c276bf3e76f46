"""Copying evidence out of the box: the agent's logs, declared artifacts, changed files.

Bounded in time and size; what fails is an event and a line in the manifest, never the end of the
trial.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import anyio
import anyio.to_thread

from mechagym.errors import MechagymError
from mechagym.events import ArtifactCollected, Emit
from mechagym.run.workspace import Changes
from mechagym.sandbox.base import MIB, Box, ExecOptions, TransferCaps, TransferReport
from mechagym.sandbox.transfer import unpack
from mechagym.tasks.model import Artifact
from mechagym.trajectory.files import clear, regular_files

COLLECT_S = 60.0
CAPS = TransferCaps(max_files=20_000, max_bytes=500 * MIB)
AGENT_LOGS = "/logs/agent"
CONVENTION = Artifact(source="/logs/artifacts", destination=".")
_CHANGED_MAX = 500
_CHANGED_BYTES = 32 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """An artifact that is now on the host, and where it lay in the box."""

    source: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Depot:
    """Where the evidence of one step in one box goes: `folder` is the step's on the host."""

    box: Box
    folder: Path
    emit: Emit

    async def logs(self) -> None:
        """Copy what the agent left in its log folder to `agent/`."""
        target = self.folder / "agent"
        with self._bounded(AGENT_LOGS, target):
            await self._copy(AGENT_LOGS, target)

    async def artifacts(
        self, wanted: Sequence[Artifact], present: AbstractSet[str]
    ) -> list[Collected]:
        """Copy the wanted artifacts that are present to `artifacts/`; a missing one is said."""
        done: list[Collected] = []
        with self._bounded("artifacts", self.folder / "artifacts"):
            for artifact in wanted:
                target = self.folder / "artifacts" / place_of(artifact)
                if artifact.service not in (None, "main"):
                    self._refuse(artifact.source, target, f"no way into service {artifact.service}")
                elif artifact.source not in present:
                    if artifact is not CONVENTION:
                        self._refuse(artifact.source, target, "not there, or an empty folder")
                elif await self._copy(artifact.source, target, artifact.exclude):
                    done.append(Collected(source=artifact.source, path=target))
        return done

    async def changes(self, changes: Changes) -> bool:
        """Write the list of changed files; copy those that are there to `workspace/`, as one
        archive. Say whether all of them were copied.
        """
        workdir, target = self.box.info.workdir, self.folder / "workspace"
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"workdir": workdir, **asdict(changes)}, indent=2)
        path = self.folder / "workspace.json"
        path.write_text(text, encoding="utf-8", errors="replace")
        paths = [f"./{path}" for path in changes.present]
        if not paths:
            return True
        options = ExecOptions(user="root", timeout_s=COLLECT_S, limit_bytes=_CHANGED_BYTES)
        packed = await self.box.exec(["tar", "-cf", "-", *paths[:_CHANGED_MAX]], options)
        if len(paths) > _CHANGED_MAX or packed.stdout_total > _CHANGED_BYTES or not packed.ok:
            self._refuse(workdir, target, f"{len(paths)} changed files could not be kept")
            return False
        report = await unpack([packed.stdout], target, CAPS)
        self._tell(workdir, target, report)
        return not report.refused

    @contextmanager
    def _bounded(self, source: str, target: Path) -> Iterator[None]:
        with anyio.move_on_after(COLLECT_S) as scope:
            yield
        if scope.cancelled_caught:
            self._refuse(source, target, f"not all was copied within {COLLECT_S:g} s")

    async def _copy(self, source: str, target: Path, exclude: Sequence[str] = ()) -> bool:
        try:
            report = await self.box.get(source, target, CAPS)
            if exclude and target.is_dir():
                report = await anyio.to_thread.run_sync(_without, report, target, exclude)
        except FileNotFoundError:
            self._refuse(source, target, "not there")
            return False
        except (MechagymError, OSError) as error:
            self._refuse(source, target, str(error))
            return False
        self._tell(source, target, report)
        return True

    def _tell(self, source: str, target: Path, report: TransferReport) -> None:
        self.emit(
            ArtifactCollected(
                source=source,
                target=str(target),
                files=report.files,
                size_bytes=report.size_bytes,
                refused=report.refused,
            )
        )

    def _refuse(self, source: str, target: Path, why: str) -> None:
        refused = (f"{source}: {why}",)
        self.emit(ArtifactCollected(source=source, target=str(target), refused=refused))


def place_of(artifact: Artifact) -> Path:
    """Where an artifact goes under `artifacts/`: its destination, else its path in the box."""
    return _inside(artifact.destination or artifact.source)


def with_convention(declared: Iterable[Artifact]) -> list[Artifact]:
    """The declared artifacts and the folder that is always looked at."""
    unique = {(a.source, a.destination): a for a in declared}
    return [*unique.values(), CONVENTION]


def _without(report: TransferReport, target: Path, exclude: Sequence[str]) -> TransferReport:
    """Drop what the patterns name, as `tar --exclude` would; the report is of what is left.

    A pattern is held against each end of a path below the artifact: `*.pyc`, `node_modules` and
    `build/cache` are found at any depth, a folder with all that is in it.
    """
    for here, folders, names in os.walk(target):
        for name in (*folders, *names):
            path = Path(here, name)
            parts = path.relative_to(target).parts
            ends = ["/".join(parts[first:]) for first in range(len(parts))]
            if any(fnmatchcase(end, pattern) for end in ends for pattern in exclude):
                clear(path)
        folders[:] = [name for name in folders if Path(here, name).is_dir()]
    left = [path.stat().st_size for path in regular_files(target)]
    return replace(report, files=len(left), size_bytes=sum(left))


def _inside(path: str) -> Path:
    parts = [p for p in PurePosixPath(path).parts if p not in ("/", "..", ".")]
    return Path(*parts) if parts else Path()
