"""Small files fetched by the box's own `tar`: 5 ms where the archive API takes 40.

The engine packs an archive in a process of its own, which costs as much as a command does; logs
and rewards are mostly a few kilobytes. What is larger, absent, or in a box without `tar`, is the
engine's to say. The bytes are believed as little as any that come out of a box.
"""

import posixpath

from mechagym.sandbox.base import MIB, ExecOptions, ExecResult

MOST_BYTES = MIB
FETCH_S = 5.0
_END = bytes(1024)
_PACK = 'tar -cf - -C "$1" -- "$2" 2>/dev/null | head -c "$3"'

OPTIONS = ExecOptions(cwd="/", limit_bytes=MOST_BYTES, timeout_s=FETCH_S)


def packing(path: str) -> tuple[str, ...]:
    """The command that prints the file or folder at an absolute path (not `/`) as an archive."""
    folder, name = posixpath.split(path)
    return ("sh", "-c", _PACK, "sh", folder, name, str(MOST_BYTES + 1))


def archive(result: ExecResult) -> bytes | None:
    """The archive that was printed; None where it is not whole."""
    whole = result.ok and result.stdout_total <= MOST_BYTES and result.stdout.endswith(_END)
    return result.stdout if whole else None
