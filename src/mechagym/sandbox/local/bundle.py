"""The OCI bundle of a box, as data: what the runtime is told, by the runtime specification.

Pure but for two questions to the machine. The user namespace and the mounts of the root are the
keeper's; everything else that keeps a box in is said here: namespaces, the capabilities of a
default container, no new privileges, system calls, masked paths.
"""

import json
import platform
import resource
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from mechagym.records import Json

INIT = "/dev/mechagym-init"
"""A static init (tini) inside the box: reaps what nobody waits for. On `/dev`, so no image file is
touched.
"""

OPEN_FILES = 65_536

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ]
)
"""Docker's default: what images commonly need, and nothing over the host."""

OPEN_FILES = 65_536
"""Enough for any server, and few enough for programs that close them one by one."""

_MASKED = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/interrupts",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
]
_READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")
_ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who a process of a box is, as the box's own `/etc/passwd` says."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A read-only view of something of the host. `source` is a path that the keeper can reach."""

    source: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What differs from box to box. `root` is relative to the bundle's folder."""

    hostname: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = "/"
    root: str = "merged"
    binds: tuple[Bind, ...] = ()


def config(bundle: Bundle) -> str:
    """The whole `config.json`."""
    first = process(bundle.argv, User(), bundle.env, cwd=bundle.cwd)
    own = {
        "ociVersion": "1.0.2",
        "process": first,
        "root": {"path": bundle.root, "readonly": False},
        "hostname": bundle.hostname,
        "mounts": [*_mounts(), *map(_bind, bundle.binds)],
    }
    return f'{json.dumps(own)[:-1]}, "linux": {_linux()}}}'


@cache
def _linux() -> str:
    """What is the same for all boxes, and most of the text."""
    return json.dumps(
        {
            "namespaces": [{"type": name} for name in _NAMESPACES],
            "maskedPaths": _MASKED,
            "readonlyPaths": _READ_ONLY,
            "seccomp": seccomp(platform.machine()),
        }
    )


def process(argv: tuple[str, ...], user: User, env: dict[str, str], *, cwd: str) -> dict[str, Json]:
    """One process: the first of a box, or one started in it later. Only root holds capabilities."""
    held = list(CAPABILITIES) if user.uid == 0 else []
    files = open_files()
    variables = {"PATH": PATH, "HOME": user.home, **env}
    return {
        "terminal": False,
        "user": {
            "uid": user.uid,
            "gid": user.gid,
            "additionalGids": list(user.groups),
            "umask": 0o022,
        },
        "args": list(argv),
        "env": [f"{name}={value}" for name, value in variables.items()],
        "cwd": cwd,
        "capabilities": {
            "bounding": list(CAPABILITIES),
            "effective": held,
            "permitted": held,
            "inheritable": [],
            "ambient": [],
        },
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": files, "soft": files}],
        "noNewPrivileges": True,
    }


def seccomp(machine: str) -> dict[str, Any]:
    """Docker's default list for a process without CAP_SYS_ADMIN; data of containers/common
    (Apache-2.0).
    """
    text = resources.files("mechagym.sandbox.local").joinpath("seccomp.json").read_text("utf-8")
    profile: dict[str, Any] = json.loads(text)
    if machine in _ARCHITECTURES:
        profile["architectures"] = _ARCHITECTURES[machine]
    return profile


def open_files() -> int:
    """How many a process of a box may hold: enough for any server, if this process could have so
    many.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)


def _mounts() -> list[dict[str, Json]]:
    plain = ["nosuid", "noexec", "nodev"]
    return [
        _mount("/proc", "proc", plain),
        _mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount(
            "/dev/pts",
            "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        _mount("/dev/shm", "tmpfs", [*plain, "mode=1777", "size=65536k"]),  # noqa: S108 – in the box
        _mount("/dev/mqueue", "mqueue", plain),
        _mount("/sys", "sysfs", [*plain, "ro"]),
        _mount("/run", "tmpfs", ["nosuid", "nodev", "mode=755", "size=65536k"]),
    ]


def _mount(target: str, kind: str, options: list[str]) -> dict[str, Json]:
    return {"destination": target, "type": kind, "source": kind, "options": options}


def _bind(bind: Bind) -> dict[str, Json]:
    options = ["rbind", "ro", "nosuid", "nodev"]
    return {
        "destination": bind.target,
        "type": "bind",
        "source": bind.source,
        "options": options,
    }
