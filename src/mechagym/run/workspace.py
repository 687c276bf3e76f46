"""What the agent changed in its working directory: two lists of files, before and after, compared.

Evidence, not proof: the lists are made with the box's own `find` and `stat`, which the agent may
have replaced. Nothing that decides the reward rests on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SCRIPT = r"""cd -- "$HERE" && find . -xdev \( -type f -o -type l \) \
    -exec stat -c '%f %s %Y %Z %n' {} + 2>/dev/null; cd /"""
"""To be run with the working directory in HERE; `parse` reads what it prints."""

Listing = Mapping[str, str]
"""Path relative to the working directory → mode, size and times as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Paths relative to the working directory, sorted."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def present(self) -> tuple[str, ...]:
        """The added and the changed ones: what can be copied."""
        return tuple(sorted(self.added + self.changed))


def parse(text: str) -> Listing:
    """Read `mode size mtime ctime ./path` lines.

    A line that is none (a cut) is passed over, and so is a path that leads out: `find` prints none,
    but it may be the agent's.
    """
    rows = (line.split(" ", 4) for line in text.splitlines())
    return {row[4][2:]: " ".join(row[:4]) for row in rows if len(row) == 5 and _inside(row[4])}


def _inside(path: str) -> bool:
    return path.startswith("./") and ".." not in path.split("/")


def compare(before: Listing, after: Listing) -> Changes:
    """What came, what changed, what went."""
    return Changes(
        added=tuple(sorted(after.keys() - before.keys())),
        changed=tuple(sorted(p for p in after.keys() & before.keys() if after[p] != before[p])),
        removed=tuple(sorted(before.keys() - after.keys())),
    )
