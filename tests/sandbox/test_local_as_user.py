"""The same tests of local boxes, run by an ordinary user of this host who has nothing but
subordinate ids.
"""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from mechagym.sandbox.local import cgroups
from tests.sandbox.local_parts import needs_parts

USER = "mechagym-test"
HERE = Path(__file__).parent
PROJECT = HERE.parent.parent
SYSTEM = "/usr/bin:/usr/local/bin"
SUITES = (
    "test_local_box.py",
    "test_local_conformance.py",
    "test_local_forks.py",
    "test_local_host_base.py",
    "test_local_network.py",
)

pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.getuid() != 0, reason="only root can make a user"),
]


@pytest.fixture(scope="module")
def user() -> Iterator[pwd.struct_passwd]:
    needs_parts()
    with new_user(USER) as made:
        yield made


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
        extra_groups=[] if user else None,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def place(user: pwd.struct_passwd) -> Place:
    """This interpreter or the system's of the same version, with our packages; where the user can
    reach none of that, an environment of the user's own.
    """
    path = (str(PROJECT), *filter(None, sys.path))
    wanted = f"python3.{sys.version_info.minor}"
    for candidate in (sys.executable, shutil.which(wanted, path=SYSTEM)):
        if candidate and _works(user, found := Place(python=candidate, path=path)):
            return found
    own = _own_place(user)
    if not _works(user, own):
        pytest.skip("an ordinary user can run no Python here: apt-get install python3-venv")
    return own


def _works(user: pwd.struct_passwd, place: Place) -> bool:
    imports = "import mechagym.sandbox.local, tests.sandbox, pytest, anyio, hypothesis"
    try:
        argv = [place.python, "-c", imports]
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
    """Run some of our test files as the user, who is become by the prefix where there is one."""
    argv = [
        *prefix,
        *(place.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", only),
        f"--rootdir={place.project}",
        f"--basetemp={user.pw_dir}/pytest",
        *(str(place.project / "tests" / "sandbox" / suite) for suite in suites),
    ]
    return run_as(None if prefix else user, user.pw_dir, argv, place.path)


def test_an_ordinary_user_gets_the_same(user: pwd.struct_passwd, place: Place) -> None:
    """In one go: there is one user, and this runs beside other tests."""
    done = run_suite(user, place, SUITES)
    assert done.returncode == 0, (done.stdout[-6000:], done.stderr[-2000:])
    assert " passed" in done.stdout


@pytest.mark.alone
def test_an_ordinary_user_runs_bundled_tasks_without_an_engine(
    user: pwd.struct_passwd, place: Place
) -> None:
    """As `make demo` does, of which these are two tasks."""
    agents = ["-a", "oracle", "-a", "nop", "--sandbox", "local", "--base", "host"]
    tasks = [str(place.project / "examples" / "tasks"), "-t", "git-*", "-t", "ledger-*"]
    argv = [place.python, "-m", "mechagym", "run", *tasks, *agents]
    done = run_as(user, user.pw_dir, argv, place.path)
    assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-3000:])
    assert "oracle@0.1.0 tasks: 2 passed" in done.stdout, done.stdout
    assert "nop@0.1.0 tasks: 2 failed" in done.stdout, done.stdout


@pytest.mark.alone
def test_an_ordinary_user_leaves_nothing_either(user: pwd.struct_passwd, place: Place) -> None:
    done = run_suite(user, place, ["test_local_leftovers.py"], only="not thousand")
    assert done.returncode == 0, (done.stdout[-6000:], done.stderr[-2000:])
    assert " passed" in done.stdout


@pytest.mark.alone
@pytest.mark.must("sandbox-5")
def test_limits_hold_in_groups_that_are_delegated(user: pwd.struct_passwd, place: Place) -> None:
    enter = 'while [ "$1" != -- ]; do echo 0 >"$1" || exit; shift; done; shift; exec "$@"'
    become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    with delegated_groups(user) as doors:
        prefix = ["sh", "-c", enter, "sh", *map(str, doors), "--", *become]
        done = run_suite(user, place, ["test_local_box.py"], prefix=prefix, only="limits_hold")
    assert done.returncode == 0, (done.stdout[-6000:], done.stderr[-2000:])
    assert "1 passed" in done.stdout


@contextmanager
def delegated_groups(user: pwd.struct_passwd) -> Iterator[list[Path]]:
    """Control groups made for the user, as a service manager would; yields their doors."""
    parents = cgroups.parents()
    if not parents:
        pytest.skip("this root has no control groups to give away")
    groups = [parent / user.pw_name for parent in dict.fromkeys(parents.values())]
    for group in groups:
        group.mkdir()
        for path in (group, *group.iterdir()):
            os.chown(path, user.pw_uid, user.pw_gid)
    try:
        yield [group / cgroups.PROCS for group in groups]
    finally:
        for group in groups:
            for below in (*group.glob("*/"), group):
                anyio.run(cgroups.remove, below)


@pytest.mark.alone
def test_without_subordinate_ids_it_says_what_to_do(place: Place) -> None:
    script = (
        "import anyio, pathlib\n"
        "from mechagym.sandbox.local import LocalSandbox\n"
        "probe = anyio.run(LocalSandbox(cache=pathlib.Path.home() / 'none').probe)\n"
        "print(probe.usable, probe.reason, probe.remedy)\n"
    )
    with new_user("mechagym-bare", "-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0") as bare:
        said = run_as(bare, bare.pw_dir, [place.python, "-c", script], place.path).stdout
    assert said.startswith("False /etc/subuid has no range"), said
    mend = "usermod --add-subuids 100000-165535 --add-subgids 100000-165535"
    assert f"{mend} {bare.pw_name}" in said
