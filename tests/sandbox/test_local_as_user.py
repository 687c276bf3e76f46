"""The same tests of local boxes, run by an ordinary user of this host who has nothing but
subordinate ids.
"""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.local_parts import needs_parts

USER = "mechagym-test"
HERE = Path(__file__).parent
PROJECT = HERE.parent.parent
SUITES = (
    "test_local_box.py",
    "test_local_conformance.py",
    "test_local_forks.py",
    "test_local_host_base.py",
    "test_local_leftovers.py",
    "test_local_network.py",
)

pytestmark = [
    pytest.mark.live,
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


def run_as(user: pwd.struct_passwd, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a program as the user with this interpreter's packages, in an otherwise empty
    environment.
    """
    env = {
        "HOME": user.pw_dir,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join([str(PROJECT), *filter(None, sys.path)]),
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
def interpreter(user: pwd.struct_passwd) -> str:
    """One that the user may run and that has our packages: this one, or the system's of the same
    version.
    """
    wanted = f"python3.{sys.version_info.minor}"
    for candidate in (sys.executable, shutil.which(wanted, path="/usr/bin:/usr/local/bin")):
        if candidate:
            try:
                done = run_as(user, candidate, "-c", "import mechagym.sandbox.local, pytest, anyio")
            except PermissionError:
                continue
            if done.returncode == 0:
                return candidate
    pytest.skip(f"an ordinary user can run no {wanted} with our packages")


@pytest.mark.parametrize("suite", SUITES)
def test_an_ordinary_user_gets_the_same(
    user: pwd.struct_passwd, interpreter: str, suite: str
) -> None:
    done = run_as(
        user,
        interpreter,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--rootdir={PROJECT}",
        f"--basetemp={user.pw_dir}/pytest",
        str(HERE / suite),
    )
    assert done.returncode == 0, (done.stdout[-6000:], done.stderr[-2000:])
    assert " passed" in done.stdout


def test_without_subordinate_ids_it_says_what_to_do(
    user: pwd.struct_passwd, interpreter: str
) -> None:
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
        said = run_as(user, interpreter, "-c", script)
    finally:
        table.write_text(before)
    assert "False" in said.stdout, said
    assert "/etc/subuid" in said.stdout
    assert f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {USER}" in said.stdout
