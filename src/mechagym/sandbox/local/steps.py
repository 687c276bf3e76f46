"""What the keeper does for a request, each in a process of its own: mounts, runtimes, namespaces.

All paths are relative to the keeper's room. A step takes the request and the open files that came
with it, and returns a JSON value and open files to send back; OSError and StepFailed carry the
reason.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mechagym.sandbox.local import archive, flatten, skeleton, syscalls, unpacking

Request = dict[str, Any]
Answer = tuple[Any, list[int]]

_TRIES, _PAUSE_S = 20, 0.05

LOW_FILES = 32
"""Files that a child must not inherit are moved above this number."""


CGROUPS = "/sys/fs/cgroup"
HYBRID = f"{CGROUPS}/unified"

CRUN_TEMP = "_LIBCONTAINER_STATEDIR"
"""Where crun makes a file to run its own protected copy from; else `/tmp`, whatever TMPDIR says,
where the file stays if crun is killed at it.
"""

SIZED = "sized"
"""Below it the disks of boxes stand, in the keeper's mount namespace; gone with the keeper."""

FLAT = "flat"
"""In a box's folder: the layers of its ancestors as one."""

THAW = {"freezer.state": b"THAWED", "cgroup.freeze": b"0"}
"""What to write to a freezer, by the name of its file."""


class StepFailed(Exception):
    """A step that could not be done; the text is for a person."""


def start(request: Request, files: list[int]) -> Answer:
    """Mount the root of a box in a private namespace and start its first process; returns its pid.

    The first `stdio` files become 0, 1, 2, … of that process; then comes a disk, if it is `sized`,
    and `detached` mounts of the folders to show, where we may not reach them ourselves; the rest
    are doors of control groups.
    """
    box, wanted = f"boxes/{request['box']}", request["stdio"]
    stdio, rest = files[:wanted], files[wanted:]
    if request["sized"]:
        Path(request["home"]).mkdir()
        syscalls.attach(rest.pop(0), request["home"])
    for number in range(len(request["trees"])):
        uppers = [Path(upper, str(number)) for upper in request["flatten"]]
        flatten.flatten(uppers, Path(box, FLAT, str(number)))
    shown, doors = rest[: request["detached"]], rest[request["detached"] :]
    _enter_cgroups(doors)
    syscalls.unshare(syscalls.CLONE_NEWNS)
    mount_trees(box, request)
    for number, source in enumerate(request["mounts"]):
        place = f"{box}/mount{number}"
        if number in request["private"]:
            Path(place).touch()
        else:
            Path(place).mkdir()
        if shown:
            syscalls.attach(shown[number], place)
        else:
            syscalls.mount(source, place, flags=syscalls.MS_BIND)
    _lay(request["lay"], f"{request['home']}/upper/0")
    syscalls.unmount(SIZED)  # the disks of others; one's own lives on below the root
    _take_stdio(stdio)
    argv = [
        *_runtime(request, box),
        "run",
        "--detach",
        f"--bundle={box}",
        f"--pid-file={Path.cwd()}/{box}/pid",
    ]
    _run([*argv, f"--preserve-fds={wanted - 3}", request["box"]], Path(box, "runtime.log"))
    return int(Path(box, "pid").read_text(encoding="utf-8")), []


def mount_trees(box: str, request: Request) -> None:
    """Mount each tree of the root, the outermost first, below `merged`."""
    merged, home = Path(box, "merged"), request["home"]
    merged.mkdir(exist_ok=True)
    for number, tree in enumerate(request["trees"]):
        upper, work = f"{home}/upper/{number}", f"{home}/work/{number}"
        for folder in (upper, work):
            Path(folder).mkdir(parents=True, exist_ok=True)
        lowers = [f"{layer}/{number}" for layer in request["layers"]]
        lowers = [lower for lower in lowers if Path(lower).is_dir()] + tree["bases"]
        _match(lowers[0], upper)
        data = f"lowerdir={':'.join(lowers)},upperdir={upper},workdir={work},volatile,userxattr"
        target = f"{merged}{tree['target']}".rstrip("/")
        syscalls.mount("overlay", target, kind="overlay", flags=syscalls.MS_NODEV, data=data)


def _lay(files: dict[str, str], upper: str) -> None:
    """Write the files that every machine has of its own, over those of the image."""
    for path, text in files.items():
        place = Path(upper + path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")


def _match(lower: str, upper: str) -> None:
    """The root folder of a mount shows the upper's mode and owner: give it those of the lower."""
    at = Path(lower).stat()
    Path(upper).chmod(at.st_mode & 0o7777)


def execute(request: Request, files: list[int]) -> Answer:
    """Start a further process in a living box; the first three files are its stdio, the rest as in
    `start`.
    """
    box = f"boxes/{request['box']}"
    about = Path(Path.cwd(), box, f"process-{os.getpid()}.json")
    about.write_text(json.dumps(request["process"]), encoding="utf-8")
    _enter_cgroups(files[3:])
    log = Path(box, "runtime.log")
    told = log.stat().st_size if log.exists() else 0
    syscalls.unshare(syscalls.CLONE_NEWNS)
    _take_stdio(files[:3])
    try:
        _run(
            [*_runtime(request, box), "exec", "--detach", f"--process={about}", request["box"]],
            log,
            told,
        )
    finally:
        about.unlink()
    return None, []


def write(request: Request, files: list[int]) -> Answer:
    """Extract our tar stream (files[0]) in a box at `target`."""
    archive.confine(request["pid"])
    archive.extract(files[0], request["target"])
    return None, []


def read(request: Request, files: list[int]) -> Answer:
    """Tar `source` of a box into files[0]; ENOENT where it is absent."""
    archive.confine(request["pid"])
    with open(files[0], "wb", buffering=0) as stream:  # noqa: PTH123 – a descriptor
        archive.pack(request["source"], stream)
    return None, []


def look(request: Request, _: list[int]) -> Answer:
    """Read small files of a box (`/etc/passwd`); None for one that is absent."""
    root = os.open(f"/proc/{request['pid']}/root", os.O_PATH)
    return [_head(root, path) for path in request["paths"]], []


def listen(request: Request, _: list[int]) -> Answer:
    """A listening socket on the loopback of a box's network namespace."""
    syscalls.enter(f"/proc/{request['pid']}/ns/net", syscalls.CLONE_NEWNET)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", request["port"]))
    listener.listen(128)
    return None, [listener.detach()]


def unpack(request: Request, files: list[int]) -> Answer:
    """Unpack a layer's tar stream (files[0]) to the folder `target`, ids and whiteouts as in the
    image.
    """
    with open(files[0], "rb", buffering=0) as stream:  # noqa: PTH123 – a descriptor
        return unpacking.unpack(stream, Path(request["target"], "0")), []


def attempt(request: Request, _: list[int]) -> Answer:
    """Run a bundle on an empty root to its end: does this runtime work here?"""
    box = f"boxes/{request['box']}"
    syscalls.unshare(syscalls.CLONE_NEWNS)
    Path(box, "empty/0").mkdir(parents=True)
    tree = {"target": "/", "bases": []}
    mount_trees(box, {"home": box, "layers": [f"{box}/empty"], "trees": [tree]})
    null, log = os.open(os.devnull, os.O_RDWR), Path(box, "runtime.log")
    _take_stdio([null, null, os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)])
    _run([*_runtime(request, box), "run", f"--bundle={box}", request["box"]], log)
    return None, []


def show_host(request: Request, _: list[int]) -> Answer:
    """Write the layer that shows the host's root to the folder `target`."""
    skeleton.make(Path(request["target"]), request["folders"])
    return None, []


def weigh(request: Request, _: list[int]) -> Answer:
    """What each layer takes on disk, in bytes; looked up once, then noted beside its trees."""
    return {layer: _weight(Path(layer)) for layer in request["layers"]}, []


def _weight(layer: Path) -> int:
    note = layer / "bytes"
    with suppress(OSError, ValueError):
        return int(note.read_text(encoding="utf-8"))
    found: dict[int, int] = {}
    for folder, _, names in os.walk(layer):
        for name in (".", *names):
            with suppress(FileNotFoundError):
                at = os.lstat(f"{folder}/{name}")
                found[at.st_ino] = at.st_blocks * 512
    with suppress(OSError):
        note.write_text(str(sum(found.values())), encoding="utf-8")
    return sum(found.values())


def remove(request: Request, _: list[int]) -> Answer:
    """Remove boxes with all their files."""
    for box in request["boxes"]:
        clear_box(box)
    for folder in request.get("folders", ()):
        shutil.rmtree(folder, ignore_errors=True)
    return None, []


def move(request: Request, _: list[int]) -> Answer:
    """Rename a finished folder to its place; where somebody was quicker, theirs stays."""
    source, target = Path(request["source"]), Path(request["target"])
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(source, ignore_errors=True)
    return None, []


def thaw(freezer: int) -> None:
    """Let a frozen box go on, by its freezer's open file; one that is gone is no error."""
    name = os.readlink(f"/proc/self/fd/{freezer}").rpartition("/")[2]  # noqa: PTH115
    with suppress(OSError):
        os.write(freezer, THAW[name])


def kill_others() -> int:
    """Kill every other process of this user namespace, so all of every box, and say how many there
    were.
    """
    ours, found = os.stat("/proc/self/ns/user").st_ino, 0  # noqa: PTH116
    for name in os.listdir("/proc"):  # noqa: PTH208
        with suppress(OSError):
            if not name.isdecimal() or int(name) == os.getpid():
                continue
            if os.stat(f"/proc/{name}/ns/user").st_ino == ours:  # noqa: PTH116
                os.kill(int(name), signal.SIGKILL)
                found += 1
    return found


def clear_box(box: str, *, keep_owner: bool = False) -> None:
    """Remove the folder of a box that runs no more; the note whose it is goes last.

    `keep_owner`: the note stays, for the reaper, who may remove control groups.
    """
    folder, disk = Path("boxes", box), Path(SIZED, box)
    if disk.is_dir():
        with suppress(OSError):
            syscalls.unmount(str(disk))
        disk.rmdir()
    for _ in range(_TRIES):  # a runtime that was cut off may still write
        for entry in folder.glob("*"):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != "owner.json":
                entry.unlink(missing_ok=True)
        if keep_owner:
            return
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE_S)


STEPS: dict[str, Callable[[Request, list[int]], Answer]] = {
    step.__name__: step
    for step in (
        attempt,
        start,
        execute,
        write,
        read,
        look,
        listen,
        unpack,
        show_host,
        weigh,
        remove,
        move,
    )
}


def _runtime(request: Request, box: str) -> list[str]:
    whole = f"{Path.cwd()}/{box}"  # crun changes its directory before it opens these
    argv = [request["runtime"], f"--root={whole}/run", f"--log={whole}/runtime.log"]
    # groups are entered before; runc leaves alone what it may not touch, crun has to be told
    return [*argv, "--cgroup-manager=disabled"] if argv[0].endswith("crun") else argv


def _run(argv: list[str], log: Path, told: int = 0) -> None:
    """Run the runtime, in a mount namespace of this step; its last words, from byte `told` of its
    log, are the reason of a failure.
    """
    if argv[0].endswith("crun") and Path(HYBRID).is_dir():
        # it refuses both versions side by side, though it is to touch neither: show it none
        syscalls.mount("tmpfs", CGROUPS, kind="tmpfs", flags=syscalls.MS_RDONLY)
    env = {"PATH": os.defpath, CRUN_TEMP: str(log.parent.absolute())}
    if subprocess.run(argv, check=False, close_fds=False, env=env).returncode:
        said = log.read_bytes()[told:].decode("utf-8", "replace").strip() if log.exists() else ""
        once = "\n".join(dict.fromkeys(said.splitlines()))  # some log what they also print
        raise StepFailed(once[-2000:] or f"{argv[0]} failed and says nothing")


def _head(root: int, path: str) -> str | None:
    try:
        descriptor = syscalls.open_within(root, path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 – a descriptor
        return file.read(100_000).decode("utf-8", "surrogateescape")


def _enter_cgroups(files: list[int]) -> None:
    """Join each: opened by one who may, so that we may."""
    for descriptor in files:
        os.write(descriptor, b"0")
        os.close(descriptor)


def _take_stdio(files: list[int]) -> None:
    """Make the files 0, 1, 2, … of this process, and of the runtime it starts."""
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, LOW_FILES) for descriptor in files]
    for number, descriptor in enumerate(high):
        os.dup2(descriptor, number, inheritable=True)
