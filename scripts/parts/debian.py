"""The packages of Debian that we want, which of them are missing, and how to get them."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parts.commands import run

APT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
OS_RELEASE = Path("/etc/os-release")
APT_FOLDER = Path("/etc/apt")


def os_release(key: str) -> str:
    """A field of /etc/os-release, or nothing."""
    lines = OS_RELEASE.read_text().splitlines() if OS_RELEASE.exists() else []
    for line in lines:
        if line.startswith(key + "="):
            return line.partition("=")[2].strip('"')
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A Debian package, the file that shows it is there, and why it is wanted."""

    package: str
    shown_by: str
    why: str


DEMO = (
    Part(package="runc", shown_by="/usr/sbin/runc", why="runs the boxes of the local sandbox"),
    Part(package="tini", shown_by="/usr/bin/tini-static", why="is process 1 of a box"),
    Part(package="uidmap", shown_by="/usr/bin/newuidmap", why="lets ordinary users open boxes"),
    Part(package="slirp4netns", shown_by="/usr/bin/slirp4netns", why="gives a box a network"),
    Part(package="iproute2", shown_by="/sbin/ip", why="sets the network of a box up"),
    Part(package="nftables", shown_by="/usr/sbin/nft", why="enforces allowlists"),
    Part(package="git", shown_by="/usr/bin/git", why="is used by tasks and datasets"),
    Part(
        package="python3-venv",
        shown_by="/usr/bin/python3",
        why="runs mechagym and the tests of tasks",
    ),
    Part(package="gcc", shown_by="/usr/bin/gcc", why="is used by a bundled task"),
    Part(package="libc6-dev", shown_by="/usr/include/stdio.h", why="is used by a bundled task"),
    Part(package="make", shown_by="/usr/bin/make", why="is used by a bundled task"),
)
# The engine and its client are one package up to bookworm.
DOCKER_CLIENT = "docker.io" if os_release("VERSION_CODENAME") == "bookworm" else "docker-cli"
TEST = (
    *DEMO,
    Part(package="docker.io", shown_by="/usr/sbin/dockerd", why="is the Docker engine"),
    Part(package=DOCKER_CLIENT, shown_by="/usr/bin/docker", why="builds the base images"),
    Part(
        package="iptables", shown_by="/usr/sbin/iptables", why="is what the engine's networks need"
    ),
    Part(package="crun", shown_by="/usr/bin/crun", why="is the other OCI runtime"),
    Part(package="skopeo", shown_by="/usr/bin/skopeo", why="moves images without an engine"),
    Part(package="debootstrap", shown_by="/usr/sbin/debootstrap", why="makes the base images"),
    Part(package="busybox-static", shown_by="/bin/busybox", why="is all that one kind of box has"),
    Part(package="postgresql", shown_by="/usr/lib/postgresql", why="is the store's other database"),
)


def missing_of(parts: Sequence[Part]) -> list[Part]:
    """The parts that are not there.

    They are looked for where Debian puts them: boxes over the host's root see nothing else.
    """
    return [part for part in parts if not Path(part.shown_by).exists() or not has_venv(part)]


def has_venv(part: Part) -> bool:
    """Whether the Python that runs this can make virtual environments (Debian splits that off)."""
    if part.package != "python3-venv":
        return True
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        return False
    return True


def is_debian() -> bool:
    """Debian itself: others have other packages."""
    return os_release("ID") == "debian"


def how_to(missing: Sequence[Part]) -> str:
    """The one command that brings the missing parts, as far as it can be known."""
    names = " ".join(sorted({part.package for part in missing}))
    if shutil.which("apt-get"):
        return f"missing; install with:\n  sudo apt-get install --no-install-recommends {names}"
    return f"missing; install with your package manager (these are Debian's names):\n  {names}"


def install(missing: Sequence[Part]) -> list[str]:
    """Install from the sources that apt knows here."""
    for part in missing:
        print(f"installing {part.package}, which {part.why}")
    names = sorted({part.package for part in missing})
    argv = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *names]
    fault = run(["apt-get", "update", "-q"], show="apt-get update", env=APT)
    fault = fault or run(argv, show=" ".join(argv), env=APT)
    return [fault] if fault else []


def mirror() -> str:
    """The address of the Debian mirror that this host's own apt uses."""
    texts = [
        path.read_text()
        for pattern in ("sources.list", "sources.list.d/*.list", "sources.list.d/*.sources")
        for path in sorted(APT_FOLDER.glob(pattern))
    ]
    words = [word for text in texts for line in text.splitlines() for word in uris(line)]
    plain = [word.rstrip("/") for word in words if word.rstrip("/").endswith("/debian")]
    return (plain or words or [""])[0]


def uris(line: str) -> list[str]:
    """The addresses of one line of apt's sources, of the old or of the new form."""
    if line.startswith(("deb ", "URIs:")):
        return [word for word in line.split() if "://" in word]
    return []
