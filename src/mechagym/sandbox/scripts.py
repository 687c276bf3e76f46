"""How a task's scripts get into a box and are started there: the same for solutions and for tests.

Real scripts have no shebang or one on a later line, no x bit, need bash, or run where there is
none. The box may have been left by a hostile agent, so what stands at the target is removed first,
be it a link or a folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mechagym.errors import SandboxError
from mechagym.sandbox.base import Box, ExecOptions

# A folder that stays is a mount point: good enough when it is empty. Only builtins look at what is
# left, since `rm` and `ls` may be the agent's.
_CLEAR = """
for path in "$@"; do
    parent=${path%/*}
    if [ -L "$parent" ] || [ -f "$parent" ]; then rm -f -- "$parent"; fi
    rm -rf -- "$path" 2>/dev/null
    for left in "$path"/* "$path"/.[!.]* "$path"/..?*; do
        if [ -e "$left" ] || [ -L "$left" ]; then echo "$left is still there"; exit 1; fi
    done
    if [ -L "$path" ] || [ -f "$path" ]; then echo "$path is still there"; exit 1; fi
done
"""
_MAKE = 'umask 022; mkdir -p -- "$FRESH" "$WORKDIR" && chown -- "$OWNER" "$FRESH"'
_RUNNABLE = """
find "$1" -name '*.sh' -exec chmod a+rx {} + 2>/dev/null || chmod -R a+rx -- "$1"
"""
# given the x bit, `bash -c` obeys a shebang, and where there is none it is the interpreter itself
_START = """
exec 2>&1
if ! command -v bash >/dev/null; then exec sh "$1"
elif [ -x "$1" ]; then exec bash -c '"$0"' "$1"
else exec bash "$1"
fi
"""
_SHELL = 'command -v bash >/dev/null && exec bash -c "$1"; exec sh -c "$1"'
# an agent may have removed the working directory itself
_ROOT = ExecOptions(user="root", cwd="/", timeout_s=60.0)


def start(path: str) -> tuple[str, ...]:
    """The command that starts a script of the box; its standard error joins its standard output."""
    return ("sh", "-c", _START, "sh", path)


def shell(command: str) -> tuple[str, ...]:
    """The command that runs a line of shell of the task's: by bash where there is one."""
    return ("sh", "-c", _SHELL, "sh", command)


async def clear(box: Box, *paths: str) -> None:
    """Remove files, links and folders as root. Raises SandboxError where something is left."""
    await _clear(box, _CLEAR, paths, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """A folder to be made empty for a user of the box, whatever stood there."""

    path: str
    owner: str


async def renew(box: Box, fresh: Fresh, *also: str) -> None:
    """Make a folder afresh, and clear other paths, in one go. Raises SandboxError.

    The working directory is made too where an agent removed it: scripts could not start without.
    """
    env = {"OWNER": fresh.owner, "FRESH": fresh.path, "WORKDIR": box.info.workdir}
    await _clear(box, _CLEAR + _MAKE, (*also, fresh.path), env)


async def lay(box: Box, folders: Sequence[Path], target: str) -> None:
    """Put folders of the host over each other at `target`, which is clear, scripts executable."""
    for folder in folders:
        await box.put(folder, target)
    if not all(_runnable(folder) for folder in folders):
        await box.exec(("sh", "-c", _RUNNABLE, "sh", target), _ROOT)


def _runnable(folder: Path) -> bool:
    """Whether all scripts of a folder have the x bit already; `put` keeps it."""
    return all(path.stat().st_mode & 0o111 == 0o111 for path in folder.rglob("*.sh"))


async def _clear(box: Box, script: str, paths: Sequence[str], env: dict[str, str]) -> None:
    result = await box.exec(("sh", "-c", script, "sh", *paths), replace(_ROOT, env=env))
    if not result.ok:
        said = (result.stdout + result.stderr).decode("utf-8", "replace").strip()
        raise SandboxError(
            f"box {box.info.box_id}: cannot clear {' and '.join(paths)}: {said or 'no answer'}",
            reason="not_cleared",
        )
