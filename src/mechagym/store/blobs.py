"""Big payloads, as files named by the hash of their content.

A file is written whole, flushed and renamed before the row that names it is committed, so a row
never points at nothing; what a crash leaves behind is at most a file without a row.
"""

import hashlib
import os
import tempfile
from pathlib import Path

from mechagym.errors import StoreError

BIG_BYTES = 64 * 1024


class Blobs:
    """A folder of payloads. Without a folder (a shared database) everything stays in its row."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def put(self, text: str) -> str | None:
        """Keep a text and return its name; None where it should stay in the row."""
        if self._folder is None or len(text) <= BIG_BYTES // 4:
            return None
        data = text.encode()
        if len(data) <= BIG_BYTES:
            return None
        name = hashlib.sha256(data).hexdigest()
        path = self._path(self._folder, name)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(file.name).replace(path)
        return name

    def get(self, name: str) -> str:
        """Read a text back. Raises StoreError where its file is gone."""
        if self._folder is None:
            raise StoreError(f"store: payload {name} is kept beside another store")
        path = self._path(self._folder, name)
        try:
            return path.read_bytes().decode()
        except OSError as error:
            raise StoreError(
                f"store: the payload file {path} cannot be read: {error.strerror}",
                remedy="Restore it from a backup, or remove the job it belongs to.",
                reason="payload_missing",
            ) from error

    def remove(self, name: str) -> None:
        """Drop a text that no row names any more."""
        if self._folder is not None:
            self._path(self._folder, name).unlink(missing_ok=True)

    @staticmethod
    def _path(folder: Path, name: str) -> Path:
        return folder / name[:2] / name
