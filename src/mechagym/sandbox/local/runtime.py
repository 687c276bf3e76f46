"""The programs of the host that a box needs: an OCI runtime that works here, and a static init."""

import os
import shutil
from pathlib import Path

RUNTIMES = ("crun", "runc")
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
_INITS = (
    "/usr/bin/tini-static",
    "/usr/bin/docker-init",
    "/usr/libexec/docker/docker-init",
    "/usr/local/bin/docker-init",
    "/usr/local/bin/tini-static",
    "/sbin/docker-init",
)
_PT_INTERP = 3
TUN = "/dev/net/tun"


def find(name: str) -> str | None:
    """A program by name, also where an ordinary user's PATH does not look."""
    return shutil.which(name) or shutil.which(name, path=_SBIN)


def runtimes(wanted: str | None = None) -> list[str]:
    """The runtimes that are installed, in the order to try them; `wanted`: this one alone."""
    names = (wanted,) if wanted else RUNTIMES
    return [path for name in names if (path := find(name)) is not None]


def way_out() -> tuple[str | None, str]:
    """slirp4netns if it can work here; else None and why not, with what to do."""
    program = find("slirp4netns")
    if program is None:
        return None, "slirp4netns is not installed: apt-get install slirp4netns"
    if not os.access(TUN, os.R_OK | os.W_OK):
        return None, f"{TUN} is not this user's to open: as root: chmod 666 {TUN}"
    return program, program


def static_init() -> str | None:
    """A `tini` that needs no libraries, since it runs in whatever image."""
    return next((path for path in _INITS if _is_static(Path(path))), None)


def _is_static(path: Path) -> bool:
    """Whether an ELF file asks for no loader."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    if head[:4] != b"\x7fELF" or len(head) < 64:
        return False
    start, size = int.from_bytes(head[32:40], "little"), int.from_bytes(head[54:56], "little")
    count = int.from_bytes(head[56:58], "little")
    kinds = [head[start + n * size : start + n * size + 4] for n in range(count)]
    return _PT_INTERP not in {int.from_bytes(kind, "little") for kind in kinds}
