"""Reading and writing single files of the box, as the agent's user and byte for byte.

A file is written beside its place and renamed into it, so that nobody sees half of it; its mode
stays, and what a link points at is written, not the link.
"""

import posixpath
from dataclasses import dataclass
from typing import Literal

from mechagym.errors import BoxDied
from mechagym.sandbox.base import Box, ExecOptions

READ_BYTES = 10_000_000
FILE_S = 60.0

_LOOK = r"""
if [ -d "$1" ]; then echo folder; ls -A -- "$1" | head -n 200
elif [ -f "$1" ]; then echo file; wc -c < "$1"
elif [ -e "$1" ]; then echo special
else echo absent; fi
"""
_WRITE = r"""
path=$1
hops=0
while [ -L "$path" ] && [ $hops -lt 40 ]; do
  to=$(readlink "$path")
  case $to in /*) path=$to ;; *) path=${path%/*}/$to ;; esac
  hops=$((hops + 1))
done
if [ -d "$path" ]; then echo "$path is a folder" >&2; exit 21; fi
case $path in */*) mkdir -p "${path%/*}/" || exit 1 ;; esac
new=$path.map-new-$$
if [ -f "$path" ]; then cp -p "$path" "$new" || exit 1; fi
cat > "$new" || { rm -f "$new"; exit 1; }
mv -f "$new" "$path" 2>/dev/null && exit 0
cat "$new" > "$path"  # a file that is mounted can be written and not replaced
code=$?
rm -f "$new"
exit $code
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What stands at a path; `names` of a folder, at most 200. `special`: a device, a pipe."""

    kind: Literal["file", "folder", "special", "absent"]
    size_bytes: int = 0
    names: tuple[str, ...] = ()


def absolute(path: str, workdir: str) -> str:
    """A path of the model's as an absolute one; `..` is left to the box."""
    return posixpath.join(workdir, path)


async def look(box: Box, path: str) -> Look:
    """See what stands there."""
    result = await box.exec(("sh", "-c", _LOOK, "look", path), ExecOptions(timeout_s=FILE_S))
    kind, _, rest = result.text.partition("\n")
    match kind:
        case "file":
            return Look(kind="file", size_bytes=int(rest.strip() or 0))
        case "folder":
            return Look(kind="folder", names=tuple(rest.splitlines()))
        case "special":
            return Look(kind="special")
        case _:
            return Look(kind="absent")


async def read_bytes(box: Box, path: str, *, limit_bytes: int = READ_BYTES) -> bytes | None:
    """The beginning of a file; None where it cannot be read."""
    options = ExecOptions(timeout_s=FILE_S, limit_bytes=limit_bytes + 1)
    result = await box.exec(("head", "-c", str(limit_bytes), "--", path), options)
    return result.stdout if result.ok else None


async def write_bytes(box: Box, path: str, data: bytes) -> str:
    """Write a file; gives what went wrong, or nothing. Raises BoxDied."""
    options = ExecOptions(stdin=data, timeout_s=FILE_S)
    result = await box.exec(("sh", "-c", _WRITE, "write", path), options)
    if result.ok:
        return ""
    said = result.stderr.decode("utf-8", "replace").strip()
    return said or f"it could not be written (exit code {result.exit_code})"


async def existing(box: Box, paths: tuple[str, ...]) -> frozenset[str]:
    """Those of the paths where something stands."""
    if not paths:
        return frozenset()
    script = 'for p; do if [ -e "$p" ] || [ -L "$p" ]; then printf "%s\\n" "$p"; fi; done'
    options = ExecOptions(cwd="/", timeout_s=FILE_S)
    result = await box.exec(("sh", "-c", script, "existing", *paths), options)
    if result.exit_code is None:
        raise BoxDied("the box does not answer", reason="no_answer")
    return frozenset(result.text.splitlines())
