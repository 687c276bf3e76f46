"""The programs of the mini machine that look at its tree: ls, stat, find, readlink, tar."""

import io
import posixpath
import re
import stat
import tarfile
from collections.abc import Iterator
from fnmatch import fnmatchcase

from mechagym.testing.memory.builtins import say
from mechagym.testing.memory.files import File, Folder, Link, Node, fault
from mechagym.testing.memory.kernel import Program
from mechagym.testing.memory.shell import Shell

_KINDS = {File: (stat.S_IFREG, "f"), Folder: (stat.S_IFDIR, "d"), Link: (stat.S_IFLNK, "l")}


def parted(argv: list[str], valued: str = "") -> tuple[str, list[str], str]:
    """Split into flags (joined), operands, and the value of the last flag that takes one."""
    flags = value = ""
    rest: list[str] = []
    words = argv[1:]
    while words:
        word = words.pop(0)
        if word == "--":
            return flags, rest + words, value
        if word[:1] == "-" and len(word) > 1:
            flags += word[1:]
            if word[1] in valued and valued:
                value = word[2:] or (words.pop(0) if words else "")
        else:
            rest.append(word)
    return flags, rest, value


async def ls(shell: Shell, argv: list[str]) -> int:
    """Names, one a line: -a -A -d."""
    flags, paths, _ = parted(argv)
    for path in paths or ["."]:
        node = shell.kernel.tree.find(shell.path(path), follow=False)
        node = node if "d" in flags else shell.kernel.tree.find(shell.path(path))
        names = [path]
        if isinstance(node, Folder) and "d" not in flags:
            hidden = "a" in flags or "A" in flags
            names = sorted(name for name in node.children if hidden or name[0] != ".")
        await say(shell, "".join(f"{name}\n" for name in names))
    return 0


async def readlink(shell: Shell, argv: list[str]) -> int:
    """Where a link points."""
    node = shell.kernel.tree.find(shell.path(parted(argv)[1][0]), follow=False)
    return await say(shell, f"{node.target}\n") if isinstance(node, Link) else 1


async def stat_(shell: Shell, argv: list[str]) -> int:
    """`stat [-L] -c FORMAT PATH…` with %f %s %Y %Z %n %a %F."""
    flags, paths, form = parted(argv, "c")
    status = 0
    for path in paths:
        try:
            node = shell.kernel.tree.find(shell.path(path), follow="L" in flags)
        except OSError:
            status = 1
            continue
        size = len(node.data) if isinstance(node, File) else 0
        when = str(int(node.mtime)) if isinstance(node, File) else "0"
        kind = _KINDS[type(node)][0]
        values = {"%f": f"{kind | node.mode:x}", "%a": f"{node.mode & 0o7777:o}", "%n": path}
        values |= {"%s": str(size), "%Y": when, "%Z": when}
        await say(shell, re.sub("%[a-zA-Z]", lambda m: values.get(m[0], "?"), form) + "\n")  # noqa: B023
    return status


def walk(path: str, node: Node) -> Iterator[tuple[str, Node]]:
    """A node and all below it, sorted."""
    yield path, node
    if isinstance(node, Folder):
        for name in sorted(node.children):
            yield from walk(posixpath.join(path, name), node.children[name])


async def find(shell: Shell, argv: list[str]) -> int:
    """`find PATH… [-name P] [-type K] [( … -o … )] [-exec CMD {} +]`."""
    words = argv[1:]
    tests = next((i for i, w in enumerate(words) if w[0] in "-(!"), len(words))
    roots, rest = words[:tests] or ["."], words[tests:]
    command: list[str] = []
    if "-exec" in rest:
        at = rest.index("-exec")
        rest, command = rest[:at], rest[at + 1 :]
    found = [
        path
        for root in roots
        for path, node in walk(root, shell.kernel.tree.find(shell.path(root), follow=False))
        if _matches(path, node, rest)
    ]
    if not command:
        return await say(shell, "".join(f"{path}\n" for path in found))
    if command[-1] == "+":
        return await shell.command(command[:-2] + found) if found else 0
    for path in found:
        await shell.command([path if word == "{}" else word for word in command[:-1]])
    return 0


def _matches(path: str, node: Node, tests: list[str]) -> bool:
    good, alternatives = True, []
    words = [word for word in tests if word not in ("(", ")", "-xdev", "-print")]
    while words:
        match words:
            case ["-o", *words]:
                alternatives.append(good)
                good = True
            case ["-name", pattern, *words]:
                good = good and fnmatchcase(posixpath.basename(path), pattern)
            case ["-type", kind, *words]:
                good = good and _KINDS[type(node)][1] == kind
            case _:
                raise fault(22, words[0])
    return good or any(alternatives)


async def tar(shell: Shell, argv: list[str]) -> int:
    """`tar -cf - PATH…`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in argv[3:]:
            add_to(archive, path, shell.kernel.tree.find(shell.path(path), follow=False))
    await shell.process.write(buffer.getvalue())
    return 0


def add_to(archive: tarfile.TarFile, name: str, top: Node) -> None:
    """Put a tree into an archive; a second name of a file becomes a hard link."""
    names: dict[int, str] = {}
    for path, node in walk(name, top):
        info = tarfile.TarInfo(path)
        info.mode = node.mode & 0o7777
        data = b""
        match node:
            case Folder():
                info.type = tarfile.DIRTYPE
            case Link():
                info.type, info.linkname = tarfile.SYMTYPE, node.target
            case File() if id(node) in names:
                info.type, info.linkname = tarfile.LNKTYPE, names[id(node)]
            case File():
                names[id(node)] = path
                data, info.size = bytes(node.data), len(node.data)
                info.mtime = int(node.mtime)
        archive.addfile(info, io.BytesIO(data))


LISTING: dict[str, Program] = {
    "ls": ls, "readlink": readlink, "stat": stat_, "find": find, "tar": tar,
}  # fmt: skip
