"""The programs of the mini machine that look at its tree: ls, stat, find, readlink, tar."""

import errno
import io
import posixpath
import re
import stat
import tarfile
from collections.abc import Iterator
from fnmatch import fnmatchcase

from mechagym.testing.memory.builtins import say
from mechagym.testing.memory.files import MAX_LINKS, File, Folder, Link, Node, Tree, fault
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
    """Where a link points; `-f`: where a path leads, its last part may be missing."""
    flags, paths, _ = parted(argv)
    if "f" in flags:
        return await say(shell, f"{_real(shell.kernel.tree, shell.path(paths[0]))}\n")
    node = shell.kernel.tree.find(shell.path(paths[0]), follow=False)
    return await say(shell, f"{node.target}\n") if isinstance(node, Link) else 1


def _real(tree: Tree, path: str) -> str:
    """A path without links and dots. Raises OSError where more than its last part is missing."""
    at, links = "/", 0
    todo = path.split("/")[::-1]
    while todo:
        name = todo.pop()
        here = posixpath.normpath(posixpath.join(at, name))
        try:
            node: Node | None = tree.find(here, follow=False)
        except OSError:
            if todo:
                raise
            node = None
        if isinstance(node, Link):
            links += 1
            if links > MAX_LINKS:
                raise fault(errno.ELOOP, path)
            at = "/" if node.target.startswith("/") else at
            todo += node.target.split("/")[::-1]
        else:
            at = here
    return at


async def stat_(shell: Shell, argv: list[str]) -> int:
    """`stat [-L] -c FORMAT PATH…` with %f %s %Y %Z %z %i %n %a %F."""
    flags, paths, form = parted(argv, "c")
    status = 0
    for path in paths:
        try:
            node = shell.kernel.tree.find(shell.path(path), follow="L" in flags)
        except OSError:
            status = 1
            continue
        size = len(node.data) if isinstance(node, File) else 0
        size = len(node.target) if isinstance(node, Link) else size
        when = str(int(node.mtime)) if isinstance(node, File) else "0"
        kind = _KINDS[type(node)][0]
        values = {"%f": f"{kind | node.mode:x}", "%a": f"{node.mode & 0o7777:o}", "%n": path}
        values |= {"%s": str(size), "%Y": when, "%Z": when, "%i": str(id(node))}
        values |= dict.fromkeys(("%y", "%z"), str(node.mtime) if isinstance(node, File) else "0")
        await say(shell, re.sub("%[a-zA-Z]", lambda m: values.get(m[0], "?"), form) + "\n")  # noqa: B023
    return status


def walk(path: str, node: Node) -> Iterator[tuple[str, Node]]:
    """A node and all below it, sorted."""
    yield path, node
    if isinstance(node, Folder):
        for name in sorted(node.children):
            yield from walk(posixpath.join(path, name), node.children[name])


async def find(shell: Shell, argv: list[str]) -> int:
    """`find PATH… [-maxdepth N] TESTS [-exec CMD {} +]`, tests as `Tests` has them."""
    words = argv[1:]
    tests = next((i for i, w in enumerate(words) if w[0] in "-(!"), len(words))
    roots, rest = words[:tests] or ["."], words[tests:]
    deepest = 99
    if "-maxdepth" in rest:
        at = rest.index("-maxdepth")
        deepest = int(rest[at + 1])
        del rest[at : at + 2]
    command: list[str] = []
    if "-exec" in rest:
        at = rest.index("-exec")
        rest, command = rest[:at], rest[at + 1 :]
    found: list[str] = []
    for root in roots:
        top = shell.kernel.tree.find(shell.path(root), follow=False)
        found += _found(root, top, rest, deepest=deepest)
    if not command:
        return await say(shell, "".join(f"{path}\n" for path in found))
    if command[-1] == "+":
        return await shell.command(command[:-2] + found) if found else 0
    for path in found:
        await shell.command([path if word == "{}" else word for word in command[:-1]])
    return 0


def _found(path: str, node: Node, tests: list[str], *, deepest: int) -> list[str]:
    """The node and those below it that pass the tests; what is pruned is left out whole."""
    look = Tests(path, node, [word for word in tests if word not in ("-xdev", "-print")])
    found = [path] if look.hold() and not look.pruned else []
    if isinstance(node, Folder) and not look.pruned and deepest > 0:
        for name in sorted(node.children):
            below = posixpath.join(path, name)
            found += _found(below, node.children[name], tests, deepest=deepest - 1)
    return found


class Tests:
    """`-name P`, `-path P`, `-type K`, `-prune`, with `-o`, `!` and parentheses, of one node."""

    __test__ = False

    def __init__(self, path: str, node: Node, words: list[str]) -> None:
        self._path, self._node, self._words = path, node, words
        self.pruned = False

    def hold(self) -> bool:
        """Whether the rest of the words, up to a closing parenthesis, is true."""
        good, some = True, False
        while self._words:
            match self._words.pop(0):
                case ")":
                    break
                case "-o":
                    good, some = True, some or good
                    if some:
                        self._skip()
                        break
                case word:
                    good = self._one(word, live=good) and good
        return some or good

    def _one(self, word: str, *, live: bool) -> bool:
        match word:
            case "(":
                return self.hold()
            case "!":
                return not self._one(self._words.pop(0), live=live)
            case "-prune":
                self.pruned = self.pruned or live
                return True
            case "-name":
                return fnmatchcase(posixpath.basename(self._path), self._words.pop(0))
            case "-path":
                return fnmatchcase(self._path, self._words.pop(0))
            case "-type":
                return _KINDS[type(self._node)][1] == self._words.pop(0)
            case _:
                raise fault(22, word)

    def _skip(self) -> None:
        """Pass over what need not be tested: up to where this parenthesis closes."""
        depth = 1
        while self._words and depth:
            depth += {"(": 1, ")": -1}.get(self._words.pop(0), 0)


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
