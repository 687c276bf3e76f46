"""The programs of the mini machine that read and change the content of files, and move them."""

import posixpath
import re
from collections.abc import AsyncIterator

from mechagym.testing.memory.builtins import say
from mechagym.testing.memory.files import Folder, Link, Node, Tree, fault
from mechagym.testing.memory.kernel import Program
from mechagym.testing.memory.listing import LISTING, parted, walk
from mechagym.testing.memory.shell import Shell

_MODE = re.compile(r"([ugoa]*)([-+=])([rwxXst]*)")
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111, "X": 0o111}
_WHO = {"u": 0o700, "g": 0o070, "o": 0o007, "a": 0o777}


async def inputs(shell: Shell, paths: list[str]) -> AsyncIterator[bytes]:
    """The bytes of files, or of standard input."""
    for path in paths or ["-"]:
        if path != "-" and not path.startswith("/dev/"):
            yield bytes(shell.kernel.tree.file(shell.path(path)).data)
            continue
        source = shell.process.fds[0][0] if path in ("-", "/dev/stdin") else shell.opened(path)
        while data := await source.read(64 * 1024):
            yield data
            await shell.process.breathe()


async def cat(shell: Shell, argv: list[str]) -> int:
    """Join files."""
    async for data in inputs(shell, parted(argv)[1]):
        await shell.process.write(data)
    return 0


async def lines_of(shell: Shell, paths: list[str]) -> list[bytes]:
    """All lines, with their ends."""
    return b"".join([data async for data in inputs(shell, paths)]).splitlines(keepends=True)


async def head(shell: Shell, argv: list[str]) -> int:
    """The first lines or bytes: reads no more than it needs."""
    flags, paths, value = parted(argv, "nc")
    left = int(value or re.sub(r"\D", "", flags) or 10)
    async for data in inputs(shell, paths):
        if "c" in flags:
            piece = data[:left]
            left -= len(piece)
        else:
            rows = data.splitlines(keepends=True)[:left]
            piece, left = b"".join(rows), left - sum(row.endswith(b"\n") for row in rows)
        await shell.process.write(piece)
        if left <= 0:
            break
    return 0


async def tail(shell: Shell, argv: list[str]) -> int:
    """The last lines or bytes."""
    flags, paths, value = parted(argv, "nc")
    count = int(value.lstrip("+") or re.sub(r"\D", "", flags) or 10)
    if "c" in flags:
        data = b"".join([data async for data in inputs(shell, paths)])
        await shell.process.write(data[-count:])
    else:
        rows = await lines_of(shell, paths)
        await shell.process.write(
            b"".join(rows[count - 1 :] if value.startswith("+") else rows[-count:])
        )
    return 0


async def wc(shell: Shell, argv: list[str]) -> int:
    """Count lines, words, bytes."""
    flags, paths, _ = parted(argv)
    data = b"".join([data async for data in inputs(shell, paths)])
    counts = {"l": data.count(b"\n"), "w": len(data.split()), "c": len(data)}
    shown = " ".join(str(n) for flag, n in counts.items() if not flags or flag in flags)
    return await say(shell, " ".join([shown, *paths]) + "\n")


async def grep(shell: Shell, argv: list[str]) -> int:
    """Lines that match: -q -v -i -c -F -o -x -E."""
    flags, rest, value = parted(argv, "e")
    pattern, paths = (value, rest) if value else (rest[0], rest[1:])
    text = re.escape(pattern) if "F" in flags else pattern.replace("\\|", "|")
    wanted = re.compile(
        text.encode("utf-8", "surrogateescape"), re.IGNORECASE if "i" in flags else 0
    )
    match = wanted.fullmatch if "x" in flags else wanted.search
    rows = [row.rstrip(b"\n") for row in await lines_of(shell, paths)]
    found = [row for row in rows if bool(match(row)) != ("v" in flags)]
    if "c" in flags:
        await say(shell, f"{len(found)}\n")
    elif "q" not in flags:
        hits = [m[0] for row in found for m in wanted.finditer(row)] if "o" in flags else found
        await shell.process.write(b"".join(row + b"\n" for row in hits))
    return 0 if found else 1


async def sort(shell: Shell, argv: list[str]) -> int:
    """Sort lines: -u -r -n."""
    flags, paths, _ = parted(argv)
    rows = [row.rstrip(b"\n") for row in await lines_of(shell, paths)]
    rows = list(dict.fromkeys(rows)) if "u" in flags else rows
    rows.sort(key=_number if "n" in flags else bytes, reverse="r" in flags)
    await shell.process.write(b"".join(row + b"\n" for row in rows))
    return 0


def _number(row: bytes) -> float:
    match = re.match(rb"\s*(-?\d+)", row)
    return float(match[1]) if match else 0.0


async def tr(shell: Shell, argv: list[str]) -> int:
    """Delete or replace characters, one for one."""
    flags, sets, _ = parted(argv)
    known = {"\\n": "\n", "\\0": "\0", "\\t": "\t"}
    first, *second = [known.get(s, s).encode() for s in sets]
    async for data in inputs(shell, []):
        if "d" in flags:
            await shell.process.write(data.translate(None, first))
        else:
            to = (second[0] + second[0][-1:] * len(first))[: len(first)]
            await shell.process.write(data.translate(bytes.maketrans(first, to)))
    return 0


async def tee(shell: Shell, argv: list[str]) -> int:
    """Copy input to files and on."""
    flags, paths, _ = parted(argv)
    files = [shell.kernel.tree.create(shell.path(path)) for path in paths]
    for file in files:
        file.data[:] = file.data if "a" in flags else b""
    async for data in inputs(shell, []):
        for file in files:
            file.data += data
        await shell.process.write(data)
    return 0


async def mkdir(shell: Shell, argv: list[str]) -> int:
    """Make folders: -p -m."""
    flags, paths, mode = parted(argv, "m")
    for path in map(shell.path, paths):
        if "p" in flags:
            shell.kernel.tree.make_folders(path)
        else:
            shell.kernel.tree.add(path, Folder())
        if mode:
            shell.kernel.tree.find(path).mode = int(mode, 8)
    return 0


async def rm(shell: Shell, argv: list[str]) -> int:
    """Remove: -r -f; `rmdir`, `unlink`."""
    flags, paths, _ = parted(argv)
    for path in map(shell.path, paths):
        if argv[0].endswith("rmdir"):
            if shell.kernel.tree.folder(path).children:
                raise fault(39, path)
            flags = "r"
        try:
            shell.kernel.tree.remove(path, recursive="r" in flags or "R" in flags)
        except (FileNotFoundError, NotADirectoryError):
            if "f" not in flags:
                raise
    return 0


async def touch(shell: Shell, argv: list[str]) -> int:
    """Make files."""
    for path in parted(argv)[1]:
        shell.kernel.tree.create(shell.path(path))
    return 0


async def ln(shell: Shell, argv: list[str]) -> int:
    """Links: -s -f."""
    flags, paths, _ = parted(argv)
    tree, source = shell.kernel.tree, paths[0]
    target = _into(tree, shell.path(paths[1] if len(paths) > 1 else "."), source)
    if "f" in flags and _there(tree, target):
        tree.remove(target)
    tree.add(target, Link(target=source) if "s" in flags else tree.find(shell.path(source)))
    return 0


async def chmod(shell: Shell, argv: list[str]) -> int:
    """Change modes: octal or symbolic, -R; `chown` changes nothing here."""
    words = [w for w in argv[1:] if w not in ("--", "-R")]
    for path in words[1:]:
        top = shell.kernel.tree.find(shell.path(path))
        for _, node in walk(path, top) if "-R" in argv else [(path, top)]:
            if not isinstance(node, Link) and not argv[0].endswith("chown"):
                node.mode = _mode(node, words[0])
    return 0


def _mode(node: Node, text: str) -> int:
    if text.isdecimal():
        return int(text, 8)
    mode = node.mode
    for who, how, what in _MODE.findall(text):
        mask = 0
        for letter in who or "a":
            mask |= _WHO[letter]
        bits = 0
        for letter in what:
            if letter != "X" or isinstance(node, Folder) or mode & 0o111:
                bits |= _BITS.get(letter, 0) & mask
        mode = mode | bits if how == "+" else mode & ~bits if how == "-" else mode & ~mask | bits
    return mode


async def mv(shell: Shell, argv: list[str]) -> int:
    """Move, or copy: `cp -r -a -p`."""
    flags, paths, _ = parted(argv)
    tree = shell.kernel.tree
    for source in paths[:-1]:
        copies = argv[0].endswith("cp")
        node = tree.find(shell.path(source), follow=copies and "a" not in flags)
        if copies:
            if isinstance(node, Folder) and not set(flags) & set("raR"):
                raise fault(21, source)
            node = (
                node
                if isinstance(node, Link)
                else Tree(Folder(children={"x": node})).copy().find("/x")
            )
        target = _into(tree, shell.path(paths[-1]), source)
        if source.endswith("/.") and isinstance(node, Folder):
            tree.make_folders(shell.path(paths[-1])).children.update(node.children)
            continue
        if _there(tree, target):
            tree.remove(target, recursive=True)
        tree.add(target, node)
        if not copies:
            tree.remove(shell.path(source), recursive=True)
    return 0


def _into(tree: Tree, target: str, source: str) -> str:
    if isinstance(tree.get(target), Folder):
        return posixpath.join(target, posixpath.basename(source.rstrip("/")))
    return target


def _there(tree: Tree, path: str) -> bool:
    try:
        tree.find(path, follow=False)
    except OSError:
        return False
    return True


FILE_TOOLS: dict[str, Program] = {
    **LISTING,
    **dict.fromkeys(("rm", "rmdir", "unlink"), rm),
    **dict.fromkeys(("mv", "cp"), mv),
    **dict.fromkeys(("chmod", "chown"), chmod),
    "cat": cat, "head": head, "tail": tail, "wc": wc, "grep": grep, "sort": sort, "tr": tr,
    "tee": tee, "mkdir": mkdir, "touch": touch, "ln": ln,
}  # fmt: skip
