"""A file tree in memory: folders are dicts, links are text, and errors are those of a real one."""

import errno
import os
import posixpath
import time
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T", bound="Node")
MAX_LINKS = 40


@dataclass(slots=True, eq=False)
class Node:
    """What a name stands for. One node under two names is a hard link."""

    mode: int


@dataclass(slots=True, eq=False)
class File(Node):
    """A regular file."""

    mode: int = 0o644
    data: bytearray = field(default_factory=bytearray)
    mtime: float = field(default_factory=time.time)


@dataclass(slots=True, eq=False)
class Folder(Node):
    """A folder."""

    mode: int = 0o755
    children: dict[str, Node] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Link(Node):
    """A symbolic link."""

    mode: int = 0o777
    target: str = ""


class Tree:
    """All files of one machine. Paths are absolute; methods raise OSError as a kernel would."""

    def __init__(self, root: Folder | None = None) -> None:
        self.root = root or Folder()

    def copy(self) -> "Tree":
        """An equal, independent tree; hard links stay hard links."""
        return Tree(_copied(self.root, {}))

    def find(self, path: str, *, follow: bool = True) -> Node:
        """The node at a path; `follow` decides about a link in the last place."""
        return self._walk(path, follow=follow)[2]

    def get(self, path: str) -> Node | None:
        """The node at a path, links followed, or None."""
        try:
            return self.find(path)
        except OSError:
            return None

    def file(self, path: str) -> File:
        """The regular file at a path."""
        node = self.find(path)
        if isinstance(node, Folder):
            raise fault(errno.EISDIR, path)
        assert isinstance(node, File)
        return node

    def folder(self, path: str) -> Folder:
        """The folder at a path."""
        node = self.find(path)
        if not isinstance(node, Folder):
            raise fault(errno.ENOTDIR, path)
        return node

    def create(self, path: str) -> File:
        """The regular file at a path, made where it is missing; a link is followed."""
        parent, name, node = self._place(path, follow=True)
        if isinstance(node, Folder):
            raise fault(errno.EISDIR, path)
        if isinstance(node, File):
            return node
        return _added(parent, name, File())

    def add(self, path: str, node: Node) -> None:
        """Put a node where nothing stands yet."""
        parent, name, there = self._place(path, follow=False)
        if there is not None:
            raise fault(errno.EEXIST, path)
        _added(parent, name, node)

    def make_folders(self, path: str) -> Folder:
        """`mkdir -p`."""
        at = "/"
        for name in [p for p in path.split("/") if p]:
            at = posixpath.join(at, name)
            if self.get(at) is None:
                self.add(at, Folder())
        return self.folder(path)

    def remove(self, path: str, *, recursive: bool = False) -> None:
        """Take a name away; a link itself, not what it points to."""
        parent, name, node = self._place(path, follow=False)
        if node is None:
            raise fault(errno.ENOENT, path)
        if isinstance(node, Folder) and not recursive:
            raise fault(errno.EISDIR, path)
        del parent.children[name]

    def _place(self, path: str, *, follow: bool) -> tuple[Folder, str, Node | None]:
        try:
            return self._walk(path, follow=follow)
        except FileNotFoundError as missing:
            if not isinstance(missing.filename2, tuple):
                raise
            parent, name = missing.filename2
            return parent, name, None

    def _walk(self, path: str, *, follow: bool) -> tuple[Folder, str, Node]:
        """Resolve: the folder, the last name and the node, which may be the root itself."""
        todo = [p for p in reversed(path.split("/")) if p not in ("", ".")]
        trail: list[Folder] = [self.root]
        name, node, links = "", self.root, 0
        found: Node = node
        while todo:
            name = todo.pop()
            if not isinstance(found, Folder):
                raise fault(errno.ENOTDIR, path)
            if name == "..":
                trail = trail[:-1] or trail
                found = trail[-1]
                continue
            here = trail[-1]
            child = here.children.get(name)
            if child is None:
                raise _missing(path, here, name, last=not todo)
            if isinstance(child, Link) and (todo or follow):
                links += 1
                if links > MAX_LINKS:
                    raise fault(errno.ELOOP, path)
                if child.target.startswith("/"):
                    trail = [self.root]
                todo += [p for p in reversed(child.target.split("/")) if p not in ("", ".")]
                found = trail[-1]
                continue
            found = child
            if isinstance(child, Folder):
                trail.append(child)
        parent = trail[-2] if len(trail) > 1 and found is trail[-1] else trail[-1]
        return parent, name, found


def fault(number: int, path: str) -> OSError:
    """The error of a system call."""
    return OSError(number, os.strerror(number), path)


def _missing(path: str, parent: Folder, name: str, *, last: bool) -> OSError:
    error = fault(errno.ENOENT, path)
    if last:
        error.filename2 = (parent, name)  # where it could be created
    return error


def _added(parent: Folder, name: str, node: T) -> T:
    parent.children[name] = node
    return node


def _copied(node: T, done: dict[int, Node]) -> T:
    if id(node) in done:
        return done[id(node)]  # type: ignore[return-value]  # of the same class by construction
    twin: Node
    match node:
        case Folder():
            children = {name: _copied(child, done) for name, child in node.children.items()}
            twin = Folder(mode=node.mode, children=children)
        case File():
            twin = File(mode=node.mode, data=bytearray(node.data), mtime=node.mtime)
        case Link():
            twin = Link(target=node.target)
        case _:
            raise AssertionError(node)
    done[id(node)] = twin
    return twin  # type: ignore[return-value]
