"""The same tests of local boxes, run by an ordinary user of this host who has nothing but
subordinate ids.
"""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from mechagym.sandbox.local import cgroups
from tests.sandbox.as_user import Place, new_user, place_for, run_as, run_suite
from tests.sandbox.local_parts import needs_parts

USER = "mechagym-test"
SUITES = (
    "sandbox/test_local_box.py",
    "sandbox/test_local_conformance.py",
    "sandbox/test_local_forks.py",
    "sandbox/test_local_host_base.py",
    "sandbox/test_local_network.py",
    "sandbox/test_private_mounts.py",
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


@pytest.fixture(scope="module")
def place(user: pwd.struct_passwd) -> Place:
    return place_for(user, "mechagym.sandbox.local")


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
    done = run_suite(user, place, ["sandbox/test_local_leftovers.py"], only="not thousand")
    assert done.returncode == 0, (done.stdout[-6000:], done.stderr[-2000:])
    assert " passed" in done.stdout


@pytest.mark.alone
@pytest.mark.must("sandbox-5")
def test_limits_hold_in_groups_that_are_delegated(user: pwd.struct_passwd, place: Place) -> None:
    enter = 'while [ "$1" != -- ]; do echo 0 >"$1" || exit; shift; done; shift; exec "$@"'
    become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    with delegated_groups(user) as doors:
        prefix = ["sh", "-c", enter, "sh", *map(str, doors), "--", *become]
        done = run_suite(
            user, place, ["sandbox/test_local_box.py"], prefix=prefix, only="limits_hold"
        )
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
