"""Writing into a folder that others wrote into: whole files only, and never outside.

A file gets a temporary name, is flushed and renamed, so that a reader sees the old or the new one,
also after a kill. The file that seals a folder is forced to the disk as well (`durable`); after a
power cut an earlier one may be empty, which `is_filled` tells, and is made again. What an agent
left in the way (a link, a folder of that name) is replaced, never followed.
"""

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import to_json

from mechagym.trajectory.redact import Redactor

CHUNK_BYTES = 1024 * 1024
MAX_NAME = 120
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def safe_name(name: str) -> str:
    """A name that is one component of a path, on every system, and never hidden."""
    plain = _UNSAFE.sub("_", name)
    if len(plain) > MAX_NAME:
        plain = f"{plain[: MAX_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return f"_{plain[1:]}" if plain[:1] in ("", ".") else plain


def write_file(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Put a whole file at `path`, making its folder where needed. Raises OSError."""
    _write(path, (data,), durable=durable)


def _write(path: Path, chunks: Iterable[bytes], *, durable: bool = False) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        file = _fresh(part)
        try:
            for chunk in chunks:
                left = memoryview(chunk)
                while left:
                    left = left[os.write(file, left) :]
            if durable:
                os.fsync(file)
        finally:
            os.close(file)
        try:
            part.replace(path)  # also over a link: the link is replaced
        except IsADirectoryError:
            shutil.rmtree(path)
            part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # of a write: it knows no name
            error.filename = str(path)
        raise


def _fresh(part: Path) -> int:
    """Open a new file and return its descriptor; what a killed writer left is dropped."""
    for _ in range(3):
        try:
            return os.open(part, _NEW, 0o644)
        except FileNotFoundError:
            part.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            clear(part)
    raise FileExistsError(f"{part} is written by somebody else")


def write_text(path: Path, text: str, redactor: Redactor) -> None:
    """Put a redacted text at `path`."""
    write_file(path, redactor.text(text).encode("utf-8", "replace"))


def write_json(path: Path, value: Any, redactor: Redactor, *, durable: bool = False) -> None:
    """Put a redacted JSON value at `path`."""
    data = _dump(value)
    if redactor.data(data) is not data:
        data = _dump(redactor.value(value))
    write_file(path, data, durable=durable)


def _dump(value: Any) -> bytes:
    try:
        return to_json(value, indent=2) + b"\n"
    except ValueError:  # lone surrogates, of broken UTF-8
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
        return text.encode("utf-8", "replace") + b"\n"


def is_whole_json(path: Path) -> bool:
    """Whether a JSON object that we wrote is there to its end; not parsed, so this is quick."""
    try:
        with path.open("rb") as file:
            file.seek(-3, os.SEEK_END)
            return file.read() == b"\n}\n"
    except OSError:
        return False


def is_filled(path: Path) -> bool:
    """Whether a file is there and not empty."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def clear(path: Path) -> None:
    """Remove what is at `path`: a folder with all in it, a link itself."""
    try:
        path.unlink()
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):  # the latter is macOS's word for a folder
        shutil.rmtree(path)


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
            with path.open("rb") as source:
                _write(path, redactor.stream().through(_chunks(source)))


def _holds_secret(path: Path, redactor: Redactor) -> bool:
    tail = b""
    with path.open("rb") as source:
        for chunk in _chunks(source):
            data = tail + chunk
            if redactor.data(data) is not data:
                return True
            tail = data[-redactor.longest_bytes :]
    return False


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: source.read(CHUNK_BYTES), b"")


def folders_in(folder: Path) -> set[str]:
    """The names of the real folders in a folder; links to folders are none."""
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}


def publish(source: Path, target: Path) -> None:
    """Make `target` show the regular files below `source`, by hard links where that works."""
    for here, folders, names in os.walk(source, followlinks=False):
        place = target / Path(here).relative_to(source)
        place.mkdir()
        folders.sort()
        for name in sorted(names):
            path = Path(here, name)
            if stat.S_ISREG(path.lstat().st_mode):
                _show(path, place / name)


def _show(path: Path, place: Path) -> None:
    try:
        place.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, place, follow_symlinks=False)
