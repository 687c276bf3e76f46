"""Opening the input files in the box: those that the instruction names, and data beside them."""

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath

from mechagym.records.survey import Survey
from mechagym.records.testgen import InputFact
from mechagym.sandbox.base import Box, ExecOptions
from mechagym.testgen.facts import Opened, read_facts
from mechagym.testgen.paths import named_paths

MOST_FILES = 20
HEAD_BYTES = 64 * 1024
_DATA = re.compile(
    r"\.(?:csv|tsv|jsonl?|ndjson|ya?ml|toml|ics|xml|html?|db|sqlite3?|txt|log|ini|dat|parquet|xlsx"
    r"|ledger|gz|zip|png|jpe?g|wav)$",
    re.IGNORECASE,
)
_TIMEOUT_S = 20.0
_LIST = r"""
for path in "$@"; do
    if [ -f "$path" ]; then printf 'file %s\n' "$path"
    elif [ -d "$path" ]; then printf 'folder %s\n' "$path"
        for inner in "$path"/* "$path"/*/*; do [ -f "$inner" ] && printf 'inner %s\n' "$inner"; done
    fi
done
:
"""


class Present:
    """Which of the named paths are in the box: `files` to open, in order, and all that exist."""

    def __init__(self, listing: str) -> None:
        rows = [line.partition(" ") for line in listing.splitlines()]
        self.existing = frozenset(path for kind, _, path in rows if kind in {"file", "folder"})
        self.files = [path for kind, _, path in rows if kind == "file"]
        self.inner = [path for kind, _, path in rows if kind == "inner"]


async def look(box: Box, paths: Sequence[str]) -> Present:
    """See which paths exist. Raises SandboxError."""
    if not paths:
        return Present("")
    result = await box.exec(("sh", "-c", _LIST, "sh", *paths), ExecOptions(timeout_s=_TIMEOUT_S))
    return Present(result.text)


async def open_inputs(box: Box, instruction: str, survey: Survey | None) -> tuple[InputFact, ...]:
    """Open the input files, at most 20 of them, named ones first. Raises SandboxError."""
    workdir = survey.workdir if survey else box.info.workdir
    present = await look(box, named_paths(instruction, workdir))
    beside = [
        file.path
        for file in (survey.files if survey else ())
        if not file.is_folder and _DATA.search(file.path)
    ]
    inner = [path for path in present.inner if _DATA.search(path)]
    paths = list(dict.fromkeys([*present.files, *inner, *beside]))[:MOST_FILES]
    facts = [await _open(box, path) for path in paths]
    return tuple(fact for fact in facts if fact is not None)


async def _open(box: Box, path: str) -> InputFact | None:
    """One file; None where it cannot be read."""
    quoted = shlex.quote(path)
    script = f"sha256sum < {quoted} && wc -c < {quoted} && head -c {HEAD_BYTES} {quoted}"
    options = ExecOptions(timeout_s=_TIMEOUT_S, limit_bytes=HEAD_BYTES * 2)
    result = await box.exec(("sh", "-c", script), options)
    digest, _, rest = result.stdout.partition(b"\n")
    size, _, head = rest.partition(b"\n")
    if not result.ok or not size.strip().isdigit():
        return None
    read = read_facts(Opened(path=path, head=head, size_bytes=int(size)))
    return InputFact(
        path=path,
        sha256=digest.split()[0].decode("ascii", "replace"),
        format=read.format,
        shape=read.shape,
        sample=read.sample,
    )


def missing_outputs(instruction: str, present: Present, workdir: str) -> tuple[str, ...]:
    """Named files that are not there yet, below the working directory: what the work is to make."""
    root = workdir.rstrip("/") + "/"
    return tuple(
        path
        for path in named_paths(instruction, workdir)
        if path not in present.existing and path.startswith(root) and PurePosixPath(path).suffix
    )
