"""A build context as a tar stream, with `.dockerignore` obeyed."""

import re
import tarfile
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from typing import IO

import anyio.to_thread

from mechagym.errors import ImageError

CHUNK = 1024 * 1024


class Ignore:
    """A `.dockerignore`: the last rule that matches a path, or a folder above it, decides."""

    def __init__(self, text: str) -> None:
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for raw in text.splitlines():
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            keeps = line.startswith("!")
            pattern = str(PurePosixPath("/", line.removeprefix("!").strip())).strip("/")
            if pattern:
                self._rules.append((keeps, re.compile(_expression(pattern))))

    def leaves_out(self, path: str) -> bool:
        """Whether a file or folder, relative to the context, is not sent."""
        out = False
        for keeps, pattern in self._rules:
            if pattern.match(path):
                out = not keeps
        return out

    @property
    def has_exceptions(self) -> bool:
        """Whether something below an ignored folder may come back."""
        return any(keeps for keeps, _ in self._rules)


async def packed(context: Path, dockerfile: str) -> AsyncIterator[bytes]:
    """Tar the context; the Dockerfile and the ignore file always go with it.

    Raises ImageError where a file cannot be read.
    """
    with tempfile.TemporaryFile() as file:
        await anyio.to_thread.run_sync(_pack, context, dockerfile, file)
        file.seek(0)
        while chunk := await anyio.to_thread.run_sync(file.read, CHUNK):
            yield chunk


def _pack(context: Path, dockerfile: str, file: IO[bytes]) -> None:
    own = context / f"{dockerfile}.dockerignore"
    path = own if own.is_file() else context / ".dockerignore"
    ignore = Ignore(path.read_text("utf-8") if path.is_file() else "")
    always = {dockerfile, ".dockerignore"}

    def add(folder: Path) -> None:
        for child in sorted(folder.iterdir()):
            name = child.relative_to(context).as_posix()
            out = name not in always and ignore.leaves_out(name)
            if not out:
                tar.add(child, name, recursive=False, filter=_as_root)
            walk = not out or ignore.has_exceptions or any(a.startswith(f"{name}/") for a in always)
            if child.is_dir() and not child.is_symlink() and walk:
                add(child)

    try:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            add(context)
    except OSError as error:
        raise ImageError(f"build context: {error.filename}: {error.strerror}") from error


def _as_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def _expression(pattern: str) -> str:
    """A pattern of Go's filepath.Match with `**`, as an expression that also matches all below."""
    found = ""
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            found, at = found + "(?:.*/)?", at + 3
        elif pattern.startswith("**", at):
            found, at = found + ".*", at + 2
        elif pattern[at] == "*":
            found, at = found + "[^/]*", at + 1
        elif pattern[at] == "?":
            found, at = found + "[^/]", at + 1
        elif pattern[at] == "[" and (end := pattern.find("]", at + 1)) > 0:
            found, at = found + pattern[at : end + 1], end + 1
        else:
            at += pattern[at] == "\\" and at + 1 < len(pattern)
            found, at = found + re.escape(pattern[at]), at + 1
    return f"{found}(?:/.*)?\\Z"
