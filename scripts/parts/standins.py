"""Stand-ins for base images, for an engine that cannot pull them.

They carry the names that the FROM lines of tasks ask for, a label that says what they are, and the
digest of their recipe: each is built once per recipe. An image under such a name that is not ours
is the real thing, and kept.
"""

import hashlib
import json
import os
import shlex
import shutil
import tempfile
from pathlib import Path

from parts import debian, engine
from parts.commands import run

RELEASE = "bookworm"
BOOTSTRAP = f"debootstrap --variant=minbase {RELEASE}"
PLAIN_SETTINGS = (
    "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    'CMD ["bash"]',
)
PLAIN = "\n".join((BOOTSTRAP, *PLAIN_SETTINGS))
APT_INSTALL = (
    "RUN apt-get update -q && apt-get install -y -q --no-install-recommends {} "
    "&& rm -rf /var/lib/apt/lists/*\n"
)
LIBRARIES = (
    "ca-certificates libbz2-1.0 libexpat1 libffi8 liblzma5 libncursesw6 libreadline8 libsqlite3-0 "
    "libssl3 libuuid1 netbase tzdata zlib1g"
)
COPIED_PYTHON = (
    f"FROM debian:{RELEASE}-slim\n"
    + APT_INSTALL.format(LIBRARIES)
    + "COPY python/ /usr/local/\n"
    + "RUN ldconfig && python3 -m ensurepip --default-pip && ln -sf python3 /usr/local/bin/python\n"
    + 'CMD ["python3"]\n'
)
DEBIAN_PYTHON = (
    f"FROM debian:{RELEASE}-slim\n"
    + APT_INSTALL.format("ca-certificates netbase python3 python3-pip python3-venv")
    + 'RUN ln -s /usr/bin/python3 /usr/local/bin/python\nCMD ["python3"]\n'
)
FULL_PYTHON = f"FROM python:3.13-slim-{RELEASE}\n" + APT_INSTALL.format(
    "curl file g++ gcc git libc6-dev libsqlite3-dev make patch procps unzip wget xz-utils"
)


def build_all() -> list[str]:
    """Build the stand-ins that are not there yet, each on the one before."""
    python = copied_python()
    slim = f"# {python}\n{COPIED_PYTHON}" if python else DEBIAN_PYTHON
    images = (
        (f"debian:{RELEASE}-slim", PLAIN),
        (f"python:3.13-slim-{RELEASE}", slim),
        (f"python:3.13-{RELEASE}", FULL_PYTHON),
    )
    digest = ""
    for name, recipe in images:
        digest = hashlib.sha256((digest + recipe).encode()).hexdigest()[:16]
        if stands(name, digest):
            continue
        labels = {"mechagym.standin": "1", "mechagym.recipe": digest}
        with tempfile.TemporaryDirectory(prefix="mechagym-standin-", dir="/var/tmp") as folder:
            if recipe == PLAIN:
                fault = bootstrap(name, Path(folder), labels)
            else:
                copied = python if recipe == slim else None
                fault = build(name, recipe, Path(folder), labels, copied)
        if fault:
            return [fault]
    return []


def stands(name: str, digest: str) -> bool:
    """Whether an image has that name and is not an outdated stand-in of ours."""
    status, body = engine.ask(f"/images/{name}/json")
    if status != 200:
        return False
    labels = json.loads(body)["Config"].get("Labels") or {}
    return "mechagym.standin" not in labels or labels.get("mechagym.recipe") == digest


LEFT_BEHIND = shutil.ignore_patterns(
    "__pycache__", "test", "tests", "*.a", "config-*", "site-packages"
)


def copied_python() -> Path | None:
    """The prefix of a CPython of this host that an image can take: one that pyenv built."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for minor in ("3.13", "3.12"):
        found = sorted(root.glob(f"versions/{minor}.*/bin/python{minor}"))
        if found and debian.os_release("VERSION_CODENAME") == RELEASE:
            return found[-1].parent.parent
    return None


def bootstrap(name: str, folder: Path, labels: dict[str, str]) -> str | None:
    """Make the plain Debian image from the packages of the host's own mirror."""
    root = folder / "root"
    settings = [*PLAIN_SETTINGS, *(f"LABEL {key}={value}" for key, value in labels.items())]
    changes = " ".join(f"--change {shlex.quote(line)}" for line in settings)
    script = (
        f"{BOOTSTRAP} {root} {debian.mirror()}"
        f" && rm -rf {root}/var/cache/apt/archives/*.deb {root}/var/lib/apt/lists/*"
        f" && tar -C {root} -c . | docker import {changes} - {name}"
    )
    show = f"making the image {name}: {BOOTSTRAP}"
    return run(["bash", "-euo", "pipefail", "-c", script], show=show)


def build(
    name: str, recipe: str, context: Path, labels: dict[str, str], python: Path | None
) -> str | None:
    """Build an image by its Dockerfile, with the host's network: apt works as it does here."""
    (context / "Dockerfile").write_text(recipe)
    if python:
        shutil.copytree(python, context / "python", symlinks=True, ignore=LEFT_BEHIND)
    flags = [f"--label={key}={value}" for key, value in labels.items()]
    argv = ["docker", "build", "-q", "--network=host", *flags, "-t", name, str(context)]
    return run(argv, show=f"making the image {name}", env={"DOCKER_BUILDKIT": "0"})
