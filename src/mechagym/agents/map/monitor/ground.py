"""Where an action may reach: the writable roots, the tripwire folders, and paths as the box has
them.

Paths are compared by components, never as text, after the box itself has resolved them: what a
link points at is what counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from posixpath import join, normpath
from typing import Literal

from mechagym.agents.map.paths import looks_like_file, named
from mechagym.agents.map.types import Surroundings
from mechagym.errors import SandboxError
from mechagym.records.checks import TRIPWIRES
from mechagym.sandbox.base import Box, ExecOptions

CACHES = ("/var/lib/apt/lists", "/var/cache")
SYSTEM = frozenset(
    {"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "root", "run"}
    | {"sbin", "srv", "sys", "usr", "var"}
)
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108
_LONGEST = 4_096
_AT_ONCE = 200

# What exists is resolved by the kernel's rules, `link/..` too; what does not stands behind it.
_RESOLVE = r"""
for p; do
  d=$p; t=''
  while ! [ -e "$d" ] && ! [ -L "$d" ]; do t=/${d##*/}$t; d=${d%/*}; d=${d:-/}; done
  r=$(readlink -f "$d") || r=$d
  k=absent
  if [ -z "$t" ]; then if [ -d "$r" ]; then k=folder; else k=file; fi; fi
  printf '%s\0%s\0' "$k" "$r$t"
done
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A path as the box has it, without links and `..`; `kind` is what stands there."""

    path: str
    kind: Literal["folder", "file", "absent"] = "absent"


Places = Mapping[str, Place]


async def resolve(box: Box, paths: Iterable[str], *, user: str | None = None) -> Places:
    """Ask the box where absolute paths lead: one command for all of them. Raises SandboxError."""
    asked = [path for path in dict.fromkeys(paths) if len(path) <= _LONGEST and "\0" not in path]
    places: dict[str, Place] = {}
    for i in range(0, len(asked), _AT_ONCE):
        part = asked[i : i + _AT_ONCE]
        options = ExecOptions(cwd="/", user=user, timeout_s=20.0, limit_bytes=4 * 1024 * 1024)
        result = await box.exec(["sh", "-c", _RESOLVE, "resolve", *part], options)
        words = result.text.split("\0")[:-1]
        if not result.ok or len(words) != 2 * len(part):
            raise SandboxError("the box could not say where a path leads", reason="resolve")
        pairs = zip(part, words[::2], words[1::2], strict=True)
        places |= {path: Place(normpath(real), _KIND[kind]) for path, kind, real in pairs}
    return places


_KIND: dict[str, Literal["folder", "file", "absent"]] = {
    "folder": "folder", "file": "file", "absent": "absent",
}  # fmt: skip


def within(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it, by components."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """`roots` are writable, outermost ones only; `files` are single writable files in `/`.

    `tripwires` are out of reach, but for what is `exempt`: what the instruction itself names, and
    the outputs that we kept for the model.
    """

    workdir: str
    home: str
    roots: tuple[str, ...]
    files: frozenset[str]
    tripwires: tuple[str, ...]
    exempt: tuple[str, ...]

    def root_at(self, path: str) -> str | None:
        """The root that is the path, or lies within it."""
        return next((root for root in self.roots if within(root, path)), None)

    def may_write(self, path: str) -> bool:
        """Whether a path is strictly inside a root, or a file that is one by itself."""
        return path in self.files or any(self._inside(path, root) for root in self.roots)

    def is_cache(self, path: str) -> bool:
        """Whether a package manager's cache may go."""
        return any(within(path, cache) for cache in CACHES)

    def trips(self, *paths: str) -> bool:
        """Whether a path, as written or as resolved, is in a tripwire folder; a glob may match."""
        return any(
            (within(path, wire) or _matches(path, wire))
            and not any(within(path, free) for free in self.exempt)
            for path in paths
            for wire in self.tripwires
        )

    def _inside(self, path: str, root: str) -> bool:
        if path == root or not within(path, root):
            return False
        return root != "/" or path.split("/")[1] not in SYSTEM


async def survey_ground(box: Box, surroundings: Surroundings) -> Ground:
    """Find out, once, what the roots are in this box. Raises SandboxError."""
    told = [name.path for name in named(surroundings.instruction) if name.path.startswith("/")]
    fixed = [surroundings.workdir, *_TEMPORARY, surroundings.home]
    wires = [*TRIPWIRES, surroundings.helper]
    places = await resolve(box, [*fixed, *told, *wires])
    roots = {normpath(path) for path in fixed} | {places[path].path for path in fixed}
    files: set[str] = set()
    for path in told:
        folder = _folder(path, places[path])
        if folder == "/":
            files.add(places[path].path)
        else:
            roots.add(folder)
    return Ground(
        workdir=surroundings.workdir,
        home=surroundings.home,
        roots=_outermost(roots),
        files=frozenset(files),
        tripwires=tuple({*wires, *(places[wire].path for wire in wires)}),
        exempt=(*map(normpath, told), surroundings.outputs),
    )


def candidates(path: str) -> Sequence[str]:
    """What has to be resolved to judge a path: itself, and the folder that holds its name."""
    return (path, path.rstrip("/").rsplit("/", 1)[0] or "/")


def placed(path: str, places: Places, *, follow: bool) -> Place:
    """Where a path leads. Without `follow`, the name itself where it is a link: what `rm` takes."""
    place = places.get(path, Place(normpath(path)))
    name = path.rsplit("/", 1)[-1]
    if follow or name in ("", ".", ".."):
        return place
    folder = candidates(path)[1]
    own = normpath(join(places.get(folder, Place(normpath(folder))).path, name))
    return place if own == place.path else Place(own, "file")


def _folder(path: str, place: Place) -> str:
    if place.kind == "folder" or (place.kind == "absent" and not looks_like_file(path)):
        return place.path
    return place.path.rsplit("/", 1)[0] or "/"


def _outermost(roots: Iterable[str]) -> tuple[str, ...]:
    """Without those that lie in another: a part of the workspace is no root of its own."""
    every = sorted(roots)
    kept = [r for r in every if r == "/" or not any(r != o != "/" and within(r, o) for o in every)]
    return tuple(kept)


def _matches(pattern: str, wire: str) -> bool:
    """Whether a glob can give something in a tripwire folder."""
    parts, wires = pattern.split("/"), wire.split("/")
    if len(parts) < len(wires) or not any(char in pattern for char in "*?["):
        return False
    return all(fnmatchcase(name, part) for part, name in zip(parts, wires, strict=False))
