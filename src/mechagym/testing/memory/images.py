"""What a mini machine starts from: an empty root, or a Dockerfile read simply."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from mechagym.sandbox.base import BuildImage, HostRoot, Image, RegistryImage
from mechagym.testing.memory.files import File, Folder, Link, Tree
from mechagym.testing.memory.kernel import PROGRAM
from mechagym.testing.memory.programs import PROGRAMS

FOLDERS = ("/app", "/etc", "/home", "/root", "/tmp", "/usr/bin", "/usr/local/bin", "/var", "/opt")  # noqa: S108
PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(slots=True, kw_only=True)
class Root:
    """The state that an image gives a box. `runs` are the commands that are still to be run."""

    tree: Tree
    workdir: str = "/app"
    env: dict[str, str] = field(default_factory=dict)
    user: str = "root"


def bare_root() -> Root:
    """An empty root with the usual folders and the programs."""
    tree = Tree()
    for folder in FOLDERS:
        tree.make_folders(folder)
    tree.folder("/tmp").mode = 0o777  # noqa: S108 (of the mini machine)
    for program in PROGRAMS:
        tree.add(f"/usr/bin/{program}", File(mode=0o755, data=bytearray(PROGRAM)))
    tree.add("/bin", Link(target="usr/bin"))
    tree.create("/etc/passwd").data += b"root:x:0:0:root:/root:/bin/sh\n"
    tree.make_folders("/proc/net")
    tree.create("/proc/net/route").data += b"Iface\tDestination\tGateway\n"  # and no route at all
    return Root(tree=tree, env={"PATH": PATH, "HOME": "/root", "HOSTNAME": "memory"})


def digest_of(image: Image) -> str:
    """What tells two images apart."""
    match image:
        case RegistryImage():
            return f"memory:{image.reference}"
        case BuildImage() | HostRoot():
            return f"memory:{image.digest}"


def instructions(image: Image) -> list[tuple[str, str]]:
    """The lines of the Dockerfile as (WORD, rest); none for an image without one."""
    if isinstance(image, RegistryImage) or image.context is None:
        return []
    text = (image.context / image.dockerfile).read_text(encoding="utf-8")
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    lines = re.sub(r"\\\r?\n", " ", text).splitlines()
    split = (line.strip().split(None, 1) for line in lines if line.strip())
    return [(words[0].upper(), words[1] if len(words) > 1 else "") for words in split]


def words_of(rest: str) -> list[str]:
    """The arguments of an instruction, as JSON or as words, flags left out."""
    if rest.startswith("["):
        return [str(word) for word in json.loads(rest)]
    return [word for word in shlex.split(rest) if not word.startswith("--")]


def variables_of(rest: str) -> dict[str, str]:
    """`ENV A=b C="d e"` or `ENV A b`."""
    if "=" not in rest.split(None, 1)[0]:
        name, _, value = rest.partition(" ")
        return {name: value.strip()}
    return dict(word.partition("=")[::2] for word in shlex.split(rest))


def copy_in(tree: Tree, source: Path, target: str) -> None:
    """Put a file or folder of the host at `target`; what stands there is replaced, not followed."""
    if source.is_symlink():
        _clear(tree, target)
        tree.add(target, Link(target=str(source.readlink())))
    elif source.is_dir():
        node = _there(tree, target)
        if not isinstance(node, Folder):
            _clear(tree, target)
            tree.make_folders(target)
        tree.find(target).mode = source.stat().st_mode & 0o7777
        for child in sorted(source.iterdir()):
            copy_in(tree, child, f"{target.rstrip('/')}/{child.name}")
    else:
        put_bytes(tree, source.read_bytes(), target, source.stat().st_mode & 0o7777)


def put_bytes(tree: Tree, data: bytes, target: str, mode: int = 0o644) -> None:
    """Put bytes as a file."""
    _clear(tree, target)
    tree.make_folders(target.rpartition("/")[0])
    tree.add(target, File(mode=mode, data=bytearray(data)))


def _clear(tree: Tree, target: str) -> None:
    if _there(tree, target) is not None:
        tree.remove(target, recursive=True)


def _there(tree: Tree, target: str) -> object | None:
    try:
        return tree.find(target, follow=False)
    except FileNotFoundError:
        return None
