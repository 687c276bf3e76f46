"""The folder of a build context without what `.dockerignore` leaves out."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mechagym.sandbox.docker.context import Ignore


@contextmanager
def cleaned(folder: Path, context: Path) -> Iterator[Path]:
    """The folder itself, or where there is anything to leave out a copy for the time being."""
    file = context / ".dockerignore"
    if not file.is_file():
        yield folder
        return
    ignore = Ignore(file.read_text(encoding="utf-8", errors="replace"))

    def leave_out(parent: str, names: list[str]) -> set[str]:
        at = Path(parent).relative_to(context)
        return {name for name in names if ignore.leaves_out((at / name).as_posix())}

    with tempfile.TemporaryDirectory(prefix="mechagym-context-") as temporary:
        copy = Path(temporary, "context")
        shutil.copytree(folder, copy, symlinks=True, ignore=leave_out)
        yield copy
