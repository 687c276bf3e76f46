"""Files as answers: attachments under a harmless name, and pictures in a page of their own."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from mechagym.web.evidence import open_file, picture_type

CHUNK_BYTES = 64 * 1024
SANDBOX = {"content-security-policy": "sandbox; default-src 'none'"}


def download(folder: Path, file_id: str, *, as_picture: bool = False) -> Response | None:
    """A file of a trial's folder; None where there is none of this id, or it is no picture."""
    found = open_file(folder, file_id)
    if found is None:
        return None
    evidence, file = found
    start = file.read(16)
    kind = picture_type(start) if as_picture else None
    if as_picture and kind is None:
        file.close()
        return None
    headers = dict(SANDBOX)
    if kind is None:
        headers["content-disposition"] = _attachment(evidence.name)
    return StreamingResponse(
        _chunks(file, start), media_type=kind or "application/octet-stream", headers=headers
    )


def _attachment(name: str) -> str:
    """The last part of its name; what is not plain ASCII goes in the encoded form alone."""
    last = name.rpartition("/")[2]
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in last)
    full = quote(last.encode("utf-8", "surrogateescape"), safe="")
    return f"attachment; filename=\"{plain or 'file'}\"; filename*=UTF-8''{full}"


def _chunks(file: BinaryIO, start: bytes) -> Iterator[bytes]:
    with file:
        yield start
        while data := file.read(CHUNK_BYTES):
            yield data
