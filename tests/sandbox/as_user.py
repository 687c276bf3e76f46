"""Running tests of ours as an ordinary user of this host, made for it."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SYSTEM = "/usr/bin:/usr/local/bin"


@contextmanager
def new_user(name: str, *options: str) -> Iterator[pwd.struct_passwd]:
    """A user of this run alone: others may run these tests at the same time."""
    name = f"{name}-{os.getpid()}"
    subprocess.run(["useradd", "--create-home", *options, name], check=True, capture_output=True)
    try:
        yield pwd.getpwnam(name)
    finally:
        subprocess.run(["userdel", "--remove", name], check=False, capture_output=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the user runs: an interpreter, where it finds its packages, and our tests."""

    python: str
    path: tuple[str, ...]
    project: Path = PROJECT


def run_as(
    user: pwd.struct_passwd | None, home: str, argv: Sequence[str], path: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a program as the user (None: as us) in an otherwise empty environment."""
    env = {
        "HOME": home,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        argv,
        env=env,
        cwd=home,
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=os.getgrouplist(user.pw_name, user.pw_gid) if user else None,
        capture_output=True,
        text=True,
        check=False,
    )


def place_for(user: pwd.struct_passwd, imports: str) -> Place:
    """This interpreter or the system's of the same version, with our packages; where the user can
    reach none of that, an environment of the user's own. `imports`: what must be found there.
    """
    path = (str(PROJECT), *filter(None, sys.path))
    wanted = f"python3.{sys.version_info.minor}"
    for candidate in (sys.executable, shutil.which(wanted, path=SYSTEM)):
        if candidate and _works(user, found := Place(python=candidate, path=path), imports):
            return found
    own = _own_place(user)
    if not _works(user, own, imports):
        pytest.skip("an ordinary user can run no Python here: apt-get install python3-venv")
    return own


def _works(user: pwd.struct_passwd, place: Place, imports: str) -> bool:
    try:
        argv = [place.python, "-c", f"import tests, pytest, anyio, hypothesis, {imports}"]
        return run_as(user, user.pw_dir, argv, place.path).returncode == 0
    except PermissionError:
        return False


def _own_place(user: pwd.struct_passwd) -> Place:
    """Install the project for the system's Python below the user's home, with a copy of the
    tests.
    """
    env, project = Path(user.pw_dir, "env"), Path(user.pw_dir, "project")
    python = shutil.which("python3", path=SYSTEM) or "python3"
    subprocess.run([python, "-m", "venv", "--clear", str(env)], check=False)
    install = [f"{env}/bin/python", "-m", "pip", "install", "-qq", f"{PROJECT}[dev]"]
    if (env / "bin/pip").exists():
        subprocess.run(install, check=False)
    for folder in ("tests", "examples"):
        shutil.copytree(PROJECT / folder, project / folder, dirs_exist_ok=True)
    shutil.copy(PROJECT / "pyproject.toml", project)
    return Place(python=f"{env}/bin/python", path=(str(project),), project=project)


def run_suite(
    user: pwd.struct_passwd,
    place: Place,
    suites: Sequence[str],
    *,
    prefix: Sequence[str] = (),
    only: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run test files of ours as the user, who is become by the prefix where there is one."""
    argv = [
        *prefix,
        *(place.python, "-m", "pytest", "-q", "-k", only, "-o", f"cache_dir={user.pw_dir}/cache"),
        f"--rootdir={place.project}",
        f"--basetemp={user.pw_dir}/pytest",
        *(str(place.project / "tests" / suite) for suite in suites),
    ]
    return run_as(None if prefix else user, user.pw_dir, argv, place.path)
