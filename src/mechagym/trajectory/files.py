"""Writing into a folder that others wrote into: whole files only, and never outside.

A file gets a temporary name, is flushed to the disk and renamed, so that a reader sees the old or
the new one. What an agent left in the way (a link, a folder of that name) is replaced, never
followed.
"""

import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mechagym.trajectory.redact import Redactor

CHUNK_BYTES = 1024 * 1024
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def safe_name(name: str) -> str:
    """A name that is one component of a path, on every system, and never hidden."""
    plain = _UNSAFE.sub("_", name)[:120]
    return f"_{plain[1:]}" if plain[:1] in ("", ".") else plain


def write_file(path: Path, data: bytes) -> None:
    """Put a whole file at `path`. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)
            clear(path, keep_file=True)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str, redactor: Redactor) -> None:
    """Put a redacted text at `path`."""
    write_file(path, redactor.text(text).encode("utf-8", "replace"))


def write_json(path: Path, value: Any, redactor: Redactor) -> None:
    """Put a redacted JSON value at `path`."""
    text = json.dumps(redactor.value(value), indent=2, ensure_ascii=False, default=str)
    write_file(path, text.encode("utf-8", "replace"))


def read_json(path: Path) -> Any:
    """What stands in a JSON file; None where there is none, or a torn one."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def clear(path: Path, *, keep_file: bool = False) -> None:
    """Remove what is at `path`; `keep_file` leaves a regular file, which a rename replaces."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        shutil.rmtree(path)
    elif not (keep_file and stat.S_ISREG(mode)):
        path.unlink()


def regular_files(folder: Path) -> Iterator[Path]:
    """The regular files below a folder, in order; links are not followed and not listed."""
    for here, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(here, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def scrub(folder: Path, redactor: Redactor) -> None:
    """Redact the files below a folder in place."""
    if not redactor.longest_bytes:
        return
    for path in regular_files(folder):
        if _holds_secret(path, redactor):
            stream = redactor.stream()
            with path.open("rb") as source:
                done = [stream.feed(chunk) for chunk in iter(lambda: source.read(CHUNK_BYTES), b"")]
            write_file(path, b"".join([*done, stream.finish()]))


def _holds_secret(path: Path, redactor: Redactor) -> bool:
    tail = b""
    with path.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            data = tail + chunk
            if redactor.data(data) is not data:
                return True
            tail = data[-redactor.longest_bytes :]
    return False


def publish(source: Path, target: Path) -> None:
    """Make `target` show the regular files below `source`, by hard links where that works."""
    clear(target)
    for path in regular_files(source):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.hardlink_to(path)
        except OSError:
            shutil.copyfile(path, place, follow_symlinks=False)
