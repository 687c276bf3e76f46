"""The same tests of local boxes, run by an ordinary user of this host who has nothing but
subordinate ids.
"""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

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
    pytest.param("test_local_leftovers.py", marks=pytest.mark.alone),
)

pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("the ordinary user, who is one"),
    pytest.mark.skipif(os.getuid() != 0, reason="only root can make a user"),
]


@pytest.fixture(scope="module")
def user() -> Iterator[pwd.struct_passwd]:
    needs_parts()
    try:
        known = pwd.getpwnam(USER)
    except KeyError:
        subprocess.run(["useradd", "--create-home", USER], check=True, capture_output=True)
        known = pwd.getpwnam(USER)
        yield known
        subprocess.run(["userdel", "--remove", USER], check=False, capture_output=True)
    else:
        yield known


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the user runs: an interpreter, where it finds its packages, and our tests."""

    python: str
    path: tuple[str, ...]
    project: Path = PROJECT


def run_as(
    user: pwd.struct_passwd, *argv: str, path: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a program as the user in an otherwise empty environment."""
    env = {
        "HOME": user.pw_dir,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        argv,
        env=env,
        cwd=user.pw_dir,
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
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
        return run_as(user, place.python, "-c", imports, path=place.path).returncode == 0
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
    shutil.copytree(HERE.parent, project / "tests", dirs_exist_ok=True)
    shutil.copy(PROJECT / "pyproject.toml", project)
    return Place(python=f"{env}/bin/python", path=(str(project),), project=project)


@pytest.mark.parametrize("suite", SUITES)
def test_an_ordinary_user_gets_the_same(user: pwd.struct_passwd, place: Place, suite: str) -> None:
    done = run_as(
        user,
        place.python,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--rootdir={place.project}",
        f"--basetemp={user.pw_dir}/pytest",
        str(place.project / "tests" / "sandbox" / suite),
        path=place.path,
    )
    assert done.returncode == 0, (done.stdout[-6000:], done.stderr[-2000:])
    assert " passed" in done.stdout


def test_without_subordinate_ids_it_says_what_to_do(user: pwd.struct_passwd, place: Place) -> None:
    table = Path("/etc/subuid")
    before = table.read_text()
    script = (
        "import anyio, pathlib\n"
        "from mechagym.sandbox.local import LocalSandbox\n"
        "probe = anyio.run(LocalSandbox(cache=pathlib.Path.home() / 'none').probe)\n"
        "print(probe.usable, probe.reason, probe.remedy)\n"
    )
    table.write_text("".join(line for line in before.splitlines(keepends=True) if USER not in line))
    try:
        said = run_as(user, place.python, "-c", script, path=place.path)
    finally:
        table.write_text(before)
    assert "False" in said.stdout, said
    assert "/etc/subuid" in said.stdout
    assert f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {USER}" in said.stdout
