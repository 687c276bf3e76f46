"""What changed in the box: its files are listed before and after, and the lists compared.

Looked at are the places where work leaves things: the working directory, the home directory, the
folders of temporary files and of settings, and what the instruction names. Caches that programs
keep for themselves do not count.
"""

import posixpath
import shlex
from collections.abc import Iterable, Mapping

from mechagym.sandbox.base import MIB, Box, ExecOptions

PLACES = ("/tmp", "/var/tmp", "/etc", "/srv", "/var/www", "/usr/local/bin")  # noqa: S108
CACHES = ("__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".cache", "node_modules")
LIST_S = 30.0
LIST_BYTES = 16 * MIB

Listing = Mapping[str, str]
"""Absolute path → inode, mode, size and time of change, as text."""


class Footprint:
    """The list of one box as it was last seen."""

    def __init__(self, box: Box, *, roots: Iterable[str], without: str) -> None:
        """`roots` are absolute; `without` is our own folder."""
        self._box = box
        self._script = _script(apart(roots), without)
        self.seen: Listing = {}

    async def look(self) -> tuple[str, ...]:
        """See what is other than when it was last looked at: sorted absolute paths."""
        before, self.seen = self.seen, await self._list()
        now = self.seen
        changed = {path for path in now if before.get(path) != now[path]}
        return tuple(sorted(changed | (before.keys() - now.keys())))

    async def note(self, paths: tuple[str, ...]) -> None:
        """See anew how single files are: their change is known, and is not to be found again."""
        if not paths:
            return
        shown = "stat -c '%i|%f|%s|%z|%n' \"$@\" 2>/dev/null"
        options = ExecOptions(cwd="/", timeout_s=LIST_S)
        result = await self._box.exec(("sh", "-c", shown, "note", *paths), options)
        self.seen = {**self.seen, **_read(result.text)}

    async def _list(self) -> Listing:
        options = ExecOptions(cwd="/", timeout_s=LIST_S, limit_bytes=LIST_BYTES)
        result = await self._box.exec(("sh", "-c", self._script), options)
        return _read(result.text)


def _read(text: str) -> Listing:
    rows = (line.split("|", 4) for line in text.split("\n"))
    return {row[4]: "|".join(row[:4]) for row in rows if len(row) == 5}


def _script(roots: list[str], without: str) -> str:
    """One `find`; a root that is no folder there is passed over, `/` is looked at from above."""
    caches = " -o ".join(f"-name {shlex.quote(name)}" for name in CACHES)
    prune = rf"\( {caches} -o -path {shlex.quote(without)} \) -prune"
    words = " ".join(map(shlex.quote, roots))
    return f"""
deep=''
set --
for root in {words}; do
  if [ "$root" = / ]; then deep=1; elif [ -e "$root" ]; then set -- "$@" "$root"; fi
done
show() {{
  find "$@" {prune} -o \\( -type f -o -type l \\) \\
    -exec stat -c '%i|%f|%s|%z|%n' {{}} + 2>/dev/null
}}
[ $# -gt 0 ] && show "$@" -xdev
[ -n "$deep" ] && show / -xdev -maxdepth 2
:
"""


def apart(roots: Iterable[str]) -> list[str]:
    """Each place once: what lies in another one is left out; `/` stands beside them."""
    paths = sorted({posixpath.normpath(root) for root in roots})
    return [
        path
        for path in paths
        if not any(path != other != "/" and path.startswith(f"{other}/") for other in paths)
    ]
