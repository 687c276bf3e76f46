"""`read_file`: numbered lines; what is no text is named, and an image shown to who can see it."""

from mechagym.agents.map.arguments import ReadFile
from mechagym.agents.map.tools.files import READ_BYTES, Look, absolute, look, read_bytes
from mechagym.agents.map.tools.given import Given
from mechagym.sandbox.base import Box, ExecOptions

IMAGE_BYTES = 4_000_000
_IMAGES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}
_KINDS = {
    b"\x7fELF": "an ELF program or library",
    b"\x1f\x8b": "gzip data",
    b"PK\x03\x04": "a zip archive",
    b"SQLite format 3\0": "an SQLite database",
    b"%PDF": "a PDF document",
}


async def read_file(box: Box, asked: ReadFile, *, workdir: str, takes_images: bool) -> Given:
    """Read it, whole or the lines that are asked for."""
    path = absolute(asked.path, workdir)
    seen = await look(box, path)
    if seen.kind != "file":
        return _no_file(path, seen)
    if asked.start_line and asked.end_line and asked.end_line < asked.start_line:
        return Given.problem(f"end_line {asked.end_line} is before start_line {asked.start_line}")
    data = await _data(box, path, asked)
    if data is None:
        return Given.problem(f"{path}: it cannot be read")
    if kind := _image(data):
        fits = takes_images and seen.size_bytes <= IMAGE_BYTES
        text = f"{path}: {kind}, {seen.size_bytes} bytes" + ("" if fits else " (not shown)")
        return Given(text=text, image=data if fits else None, media_type=kind if fits else "")
    if b"\0" in data[:8_192]:
        return Given(text=f"{path}: {_kind(data)}, {seen.size_bytes} bytes: not shown as text")
    first = asked.start_line or 1
    notice = ""
    if seen.size_bytes > READ_BYTES and asked.start_line is None and asked.end_line is None:
        notice = (
            f"\n[the file has {seen.size_bytes} bytes; only the first {READ_BYTES} are here:"
            " ask for lines by start_line and end_line]"
        )
    return Given(text=_numbered(data.decode("utf-8", "replace"), first) + notice)


async def _data(box: Box, path: str, asked: ReadFile) -> bytes | None:
    if asked.start_line is None and asked.end_line is None:
        return await read_bytes(box, path)
    first = asked.start_line or 1
    script = 'tail -n "+$2" "$1"'
    if asked.end_line:
        script += f" | head -n {asked.end_line - first + 1}"
    options = ExecOptions(timeout_s=60.0, limit_bytes=READ_BYTES)
    result = await box.exec(("sh", "-c", script, "lines", path, str(first)), options)
    return result.stdout if result.ok else None


def _numbered(text: str, first: int) -> str:
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    if not lines:
        return "(no lines)" if first > 1 else "(empty file)"
    return "\n".join(f"{number:>6}\t{line}" for number, line in enumerate(lines, start=first))


def _no_file(path: str, seen: Look) -> Given:
    if seen.kind == "absent":
        return Given.problem(f"{path}: there is no such file")
    if seen.kind == "special":
        return Given.problem(f"{path} is no regular file: a device, a pipe or a socket")
    names = "\n".join(seen.names) or "(empty)"
    return Given.problem(f"{path} is a folder; in it:\n{names}")


def _image(data: bytes) -> str:
    found = next((kind for magic, kind in _IMAGES.items() if data.startswith(magic)), "")
    return "" if found == "image/webp" and data[8:12] != b"WEBP" else found


def _kind(data: bytes) -> str:
    return next((kind for magic, kind in _KINDS.items() if data.startswith(magic)), "binary data")
