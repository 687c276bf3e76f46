"""What a container is created with: the security of every box, in one place.

Capabilities: Docker's default fourteen less MKNOD (device nodes) and NET_RAW (spoofing on a shared
bridge; ping works without it). What stays is what package managers, servers and test scripts in
images need: change owners (CHOWN, FOWNER, FSETID, DAC_OVERRIDE, SETFCAP), become another user
(SETUID, SETGID, SETPCAP, AUDIT_WRITE), signal it (KILL), listen below 1024 (NET_BIND_SERVICE), and
chroot (SYS_CHROOT). The rest: no new privileges, the engine's seccomp list, no host namespace, no
socket, no swap, no log on disk.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mechagym.sandbox.base import MIB, BoxSpec, Limits
from mechagym.sandbox.owner import owner_labels

KEPT_CAPABILITIES = (
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL",
    "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
)  # fmt: skip
INIT = "/sbin/docker-init"
"""Where the engine puts its init (tini) in every container that asks for one."""


HOSTS = r"""[ -s /etc/hosts ] || printf '%s\tlocalhost\n' 127.0.0.1 ::1 >/etc/hosts
"""
"""Run in a box that is `offline`: the engine writes the names of the loopback into the others."""


Body = dict[str, Any]
"""A request in the engine's own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """Where a container is put: its network's name, its alias there, the host's processors, and
    further mounts in the engine's words.
    """

    image: str
    hostname: str
    network: str = "bridge"
    alias: str | None = None
    host_cpus: float | None = None
    mounts: tuple[dict[str, Any], ...] = ()


def box_body(spec: BoxSpec, placing: Placing) -> dict[str, Any]:
    """The request for a box: its main process is a shell on an attached stdin.

    When the controller is gone, the shell reads end of file and ends, and the engine removes
    the box. The image's ENTRYPOINT, CMD and HEALTHCHECK are not run.
    """
    body: dict[str, Any] = {
        **common(placing, owner_labels(spec.labels)),
        "Entrypoint": ["sh"],
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "Healthcheck": {"Test": ["NONE"]},
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": True,
        "StdinOnce": True,
    }
    if offline(spec):
        body["NetworkDisabled"] = True
    if spec.workdir:
        body["WorkingDir"] = spec.workdir
    if spec.user:
        body["User"] = spec.user
    body["HostConfig"] |= limits(spec.limits, placing.host_cpus)
    body["HostConfig"]["Mounts"] += [
        {"Type": "bind", "Source": str(m.source), "Target": m.target, "ReadOnly": True}
        for m in spec.mounts
    ]
    return body


def relay_body(box: str, image: str, argv: Sequence[str], labels: Mapping[str, str]) -> Body:
    """The request for what stands beside a box (a container's id), on the box's own network.

    It may do nothing, reads nothing but its stdin, and ends with that.
    """
    return {
        "Image": image,
        "User": "65534:65534",
        "WorkingDir": "/",
        "Entrypoint": list(argv),
        "Cmd": [],
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": dict(labels),
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "HostConfig": {
            "AutoRemove": True,
            "NetworkMode": f"container:{box}",
            "SecurityOpt": ["no-new-privileges"],
            "CapDrop": ["ALL"],
            "ReadonlyRootfs": True,
            "PidsLimit": 16,
            "LogConfig": {"Type": "none"},
        },
    }


def offline(spec: BoxSpec) -> bool:
    """Whether the engine need not attend to the network: more than half of what a start costs.

    The box has the loopback of its own namespace, as on the network `none`, but can be joined to
    no other; and the engine writes it no `/etc/hosts` (see `HOSTS`).
    """
    return spec.stays_offline and spec.network.mode != "public" and spec.compose is None


def common(placing: Placing, labels: Mapping[str, str]) -> dict[str, Any]:
    """What every container of ours has, sidecars too."""
    body: dict[str, Any] = {
        "Image": placing.image,
        "Hostname": placing.hostname,
        "Labels": dict(labels),
        "HostConfig": {
            "Init": True,
            "AutoRemove": True,
            "NetworkMode": placing.network,
            "SecurityOpt": ["no-new-privileges"],
            "CapDrop": ["ALL"],
            "CapAdd": list(KEPT_CAPABILITIES),
            "IpcMode": "private",
            "LogConfig": {"Type": "none"},
            "Mounts": list(placing.mounts),
        },
    }
    if placing.alias:
        ends = {placing.network: {"Aliases": [placing.alias]}}
        body["NetworkingConfig"] = {"EndpointsConfig": ends}
    return body


def limits(asked: Limits, host_cpus: float | None = None) -> dict[str, Any]:
    """The engine's words for limits. More processors than there are is no limit at all."""
    found: dict[str, Any] = {"PidsLimit": asked.pids}
    if asked.memory_mb is not None:
        found["Memory"] = found["MemorySwap"] = asked.memory_mb * MIB
    if asked.cpus is not None:
        cpus = min(asked.cpus, host_cpus) if host_cpus else asked.cpus
        found["NanoCpus"] = int(cpus * 1e9)
    return found
