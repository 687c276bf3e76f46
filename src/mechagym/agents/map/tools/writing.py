"""`write_file` and `edit_file`: bytes as given, and a true account of what changed."""

import difflib
import hashlib
from dataclasses import dataclass

from mechagym.agents.map.arguments import EditFile, WriteFile
from mechagym.agents.map.tools.files import READ_BYTES, absolute, look, read_bytes, write_bytes
from mechagym.agents.map.tools.given import Given
from mechagym.sandbox.base import Box

DIFF_CHARS = 2_000
DIFF_OF_BYTES = 1_000_000
NEAREST = 3
_FAR = 0.4
_LINES_COMPARED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """The text after an edit, or why there is none."""

    text: str = ""
    count: int = 0
    problem: str = ""


async def write_file(box: Box, asked: WriteFile, *, workdir: str) -> Given:
    """Write the whole file."""
    path = absolute(asked.path, workdir)
    data = asked.content.encode()
    seen = await look(box, path)
    if seen.kind in ("folder", "special"):
        return Given.problem(f"{path} is a {seen.kind} and no regular file")
    before = None
    if seen.kind == "file" and seen.size_bytes <= DIFF_OF_BYTES:
        before = await read_bytes(box, path)
    if problem := await write_bytes(box, path, data):
        return Given.problem(f"{path}: {problem}")
    changed = () if before == data else (path,)
    told = f"{path}: {len(data)} bytes written, sha256 {hashlib.sha256(data).hexdigest()}"
    if seen.kind == "absent":
        return Given(text=told, changed=changed)
    if before is None:
        return Given(text=f"{told}; it replaced {seen.size_bytes} bytes", changed=changed)
    return Given(text=f"{told}\n{diff(before, data)}", changed=changed)


async def edit_file(box: Box, asked: EditFile, *, workdir: str) -> Given:
    """Replace text in a file that holds it exactly once, or everywhere."""
    path = absolute(asked.path, workdir)
    seen = await look(box, path)
    if seen.kind != "file":
        return Given.problem(f"{path}: there is no regular file")
    if seen.size_bytes > READ_BYTES:
        return Given.problem(f"{path}: {seen.size_bytes} bytes are too many to edit by text")
    data = await read_bytes(box, path)
    try:
        text = (data or b"").decode()
    except UnicodeDecodeError:
        return Given.problem(f"{path}: it is not UTF-8 text")
    edited = edit(text, asked)
    if edited.problem:
        return Given.problem(f"{path}: {edited.problem}")
    after = edited.text.encode()
    if problem := await write_bytes(box, path, after):
        return Given.problem(f"{path}: {problem}")
    times = f"{edited.count} places" if edited.count > 1 else "1 place"
    told = f"{path}: {times} replaced\n{diff(data or b'', after)}"
    return Given(text=told, changed=() if after == data else (path,))


def edit(text: str, asked: EditFile) -> Edited:
    """Make the edit. Refused where the old text occurs not at all, or more than once unasked."""
    count = text.count(asked.old_text)
    if count == 0:
        lines = "\n".join(nearest(text, asked.old_text)) or "(the file has no line like it)"
        return Edited(problem=f"old_text does not occur; the nearest lines are:\n{lines}")
    if count > 1 and not asked.replace_all:
        return Edited(
            problem=f"old_text occurs {count} times; give more of what stands around it,"
            " or set replace_all"
        )
    return Edited(text=text.replace(asked.old_text, asked.new_text), count=count)


def nearest(text: str, wanted: str) -> list[str]:
    """The lines most like the first line with something in it, with their numbers, in order."""
    line = next((part.strip() for part in wanted.split("\n") if part.strip()), "")
    matcher = difflib.SequenceMatcher(b=line, autojunk=False)
    rated: list[tuple[float, int, str]] = []
    for number, there in enumerate(text.split("\n")[:_LINES_COMPARED], start=1):
        matcher.set_seq1(there.strip())
        if matcher.quick_ratio() > _FAR and (ratio := matcher.ratio()) > _FAR:
            rated.append((ratio, number, there))
    best = sorted(rated, key=lambda row: (-row[0], row[1]))[:NEAREST]
    return [f"{number:>6}\t{there}" for _, number, there in sorted(best, key=lambda row: row[1])]


def diff(before: bytes, after: bytes) -> str:
    """What changed, at most 2,000 characters; equal contents are said to be."""
    if before == after:
        return "the content is what it was"
    try:
        old, new = before.decode(), after.decode()
    except UnicodeDecodeError:
        return f"it replaced {len(before)} bytes that were no text"
    rows = difflib.unified_diff(old.split("\n"), new.split("\n"), "before", "after", "", "", 2, "")
    text = "\n".join(rows)
    if len(text) <= DIFF_CHARS:
        return text
    notice = f"\n[… the diff has {len(text)} characters …]"
    return text[: DIFF_CHARS - len(notice)] + notice
