"""What was changed in a fork: found by lists of its files before and after, told by contents.

A fork is compared with itself as it was opened, since not every backend forks times to the
nanosecond, and some files (`/etc/hosts`) belong to the machine. Looked at are the places where work
leaves things, as `footprint` has them; caches do not count.
"""

import hashlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mechagym.agents.map.tools.footprint import CACHES, PLACES, apart
from mechagym.agents.map.types import Surroundings
from mechagym.errors import SandboxError
from mechagym.sandbox.base import MIB, Box, ExecOptions

LIST_BYTES = 32 * MIB
LIST_S = 60.0
AT_ONCE = 500
MOST_CHANGES = 20_000
CUT = "\x1e"
SCRATCH = ("/tmp", "/var/tmp")  # noqa: S108
_OPTIONS = ExecOptions(cwd="/", user="root", timeout_s=LIST_S, limit_bytes=LIST_BYTES)
Listing = Mapping[str, str]
"""Absolute path → mode, size and time of change; of a folder its mode alone."""

_STATES = r"""
stat -c '%f|%u:%g|%n' -- "$@" 2>/dev/null
printf '\036'
for p; do if [ -L "$p" ]; then printf '%s|%s\n' "$(readlink "$p")" "$p"; fi; done
printf '\036'
n=$#
for p; do if [ -f "$p" ] && [ ! -L "$p" ]; then set -- "$@" "$p"; fi; done
shift $n
if [ $# -gt 0 ]; then sha256sum "$@"; fi
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What stands at a path; `content` is a digest of a file, the target of a link."""

    path: str
    kind: Literal["file", "link", "folder", "special"]
    mode: int
    owner: str = ""
    content: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a fork has other than when it was opened. `size_bytes` of what it has."""

    entries: tuple[Entry, ...] = ()
    deleted: tuple[str, ...] = ()
    size_bytes: int = 0
    digest: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """All of them, sorted."""
        return tuple(sorted([entry.path for entry in self.entries] + list(self.deleted)))


async def list_files(box: Box, place: Surroundings) -> Listing:
    """List the places. Raises SandboxError where there is too much to compare."""
    roots = apart((place.workdir, place.home, *place.named, *PLACES))
    result = await box.exec(("sh", "-c", _script(roots, place.helper)), _OPTIONS)
    if result.timed_out or result.stdout_total > LIST_BYTES:
        raise SandboxError("there are too many files to compare", reason="too_many_files")
    listing: dict[str, str] = {}
    for line in result.text.split("\n"):
        mode, _, rest = line.partition("|")
        size, _, rest = rest.partition("|")
        when, _, path = rest.partition("|")
        if path:
            folder = int(mode, 16) & 0o170000 == 0o040000
            listing[path] = mode if folder else f"{mode}|{size}|{when}"
    return listing


async def changes_in(fork: Box, place: Surroundings, before: Listing) -> Changes:
    """What the fork changed since `before`. Raises SandboxError."""
    now = await list_files(fork, place)
    changed = sorted(path for path, row in now.items() if before.get(path) != row)
    if len(changed) > MOST_CHANGES:
        raise SandboxError("too many files were changed to compare", reason="too_many_files")
    entries = await entries_of(fork, changed)
    deleted = tuple(sorted(before.keys() - now.keys()))
    sizes = [now[path].split("|")[1] for path in changed if "|" in now[path]]
    return Changes(
        entries=entries,
        deleted=deleted,
        size_bytes=sum(map(int, sizes)),
        digest=digest_of(_lasting(entries, place), [p for p in deleted if _lasts(p, place)]),
    )


async def entries_of(box: Box, paths: Sequence[str]) -> tuple[Entry, ...]:
    """How these paths are now, sorted; what is not there is left out. Raises SandboxError."""
    found: list[Entry] = []
    for i in range(0, len(paths), AT_ONCE):
        argv = ("sh", "-c", _STATES, "states", *paths[i : i + AT_ONCE])
        result = await box.exec(argv, _OPTIONS)
        stats, links, sums = (result.text + CUT * 2).split(CUT)[:3]
        content = {path: target for target, path in _pairs(links, "|")}
        content |= {path: digest for digest, path in _pairs(sums, "  ")}
        for line in stats.splitlines():
            mode, _, rest = line.partition("|")
            owner, _, path = rest.partition("|")
            bits = int(mode, 16)
            kind = _KINDS.get(bits & 0o170000, "special")
            entry = Entry(
                path=path,
                kind=kind,
                mode=bits & 0o7777,
                owner=owner,
                content=content.get(path, ""),
            )
            if kind == "file" and not entry.content:
                raise SandboxError(f"{path} cannot be compared", reason="no_digest")
            found.append(entry)
    return tuple(sorted(found, key=lambda entry: entry.path))


def digest_of(entries: Iterable[Entry], deleted: Iterable[str]) -> str:
    """SHA-256 (hex) over what there is and what is gone, owners left out."""
    rows = [f"{e.kind} {e.mode:o} {e.content} {e.path}" for e in entries]
    rows += [f"deleted {path}" for path in deleted]
    return hashlib.sha256("\n".join(sorted(rows)).encode("utf-8", "surrogateescape")).hexdigest()


_KINDS: dict[int, Literal["file", "link", "folder", "special"]] = {
    0o100000: "file", 0o120000: "link", 0o040000: "folder",
}  # fmt: skip


def _pairs(text: str, separator: str) -> list[tuple[str, str]]:
    rows = (line.partition(separator) for line in text.splitlines())
    return [(left, right) for left, middle, right in rows if middle]


def _lasts(path: str, place: Surroundings) -> bool:
    """Whether a path is part of the work, and no scratch file whose name is chance."""
    kept = (place.workdir, *place.named)
    if any(path == root or path.startswith(f"{root.rstrip('/')}/") for root in kept):
        return True
    return not any(path.startswith(f"{root}/") for root in (*SCRATCH, place.home))


def _lasting(entries: Iterable[Entry], place: Surroundings) -> list[Entry]:
    return [entry for entry in entries if _lasts(entry.path, place)]


def _script(roots: Sequence[str], without: str) -> str:
    caches = " -o ".join(f"-name {shlex.quote(name)}" for name in CACHES)
    prune = rf"\( {caches} -o -path {shlex.quote(without)} \) -prune"
    words = " ".join(shlex.quote(root) for root in roots if root != "/")
    kinds = r"\( -type f -o -type l -o -type d \)"
    return f"""
set --
for root in {words}; do if [ -e "$root" ]; then set -- "$@" "$root"; fi; done
if [ $# -gt 0 ]; then
  find "$@" -xdev {prune} -o {kinds} -exec stat -c '%f|%s|%y|%n' {{}} + 2>/dev/null
fi
:
"""
