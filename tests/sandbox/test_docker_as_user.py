"""Docker for an ordinary user who may use its socket, and neither enter namespaces nor be root."""

import os
import pwd
from collections.abc import Iterator

import pytest

from tests.sandbox.as_user import Place, new_user, place_for, run_suite

GROUP = "docker"

pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.getuid() != 0, reason="only root can make a user"),
]


@pytest.fixture(scope="module")
def user() -> Iterator[pwd.struct_passwd]:
    with new_user("mechagym-docker", "--groups", GROUP) as made:
        yield made


@pytest.fixture(scope="module")
def place(user: pwd.struct_passwd) -> Place:
    return place_for(user, "mechagym.sandbox.docker")


def test_the_user_gets_a_way_into_boxes(user: pwd.struct_passwd, place: Place):
    done = run_suite(user, place, ["sandbox/test_docker_ways.py"])
    assert done.returncode == 0, (done.stdout[-6000:], done.stderr[-2000:])
    assert "13 passed, 1 skipped" in done.stdout  # all but what needs root


@pytest.mark.must("llm-12")
def test_a_file_of_the_users_own_is_shown_to_a_box_alone(user: pwd.struct_passwd, place: Place):
    done = run_suite(user, place, ["sandbox/test_private_mounts.py"], only="docker")
    assert done.returncode == 0, (done.stdout[-6000:], done.stderr[-2000:])
    assert "1 passed" in done.stdout


@pytest.mark.alone
@pytest.mark.must("llm-32", "llm-33")
def test_nothing_but_the_gateway_and_the_list_in_a_job_of_the_user(
    user: pwd.struct_passwd, place: Place
):
    """Whole jobs, whose agents call their model, with a service of the host beside, for whose port
    the user has the one right that it needs.
    """
    port = "+net_bind_service"
    become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"]
    become += ["--inh-caps", port, "--ambient-caps", port]
    done = run_suite(user, place, ["flow/test_ways_out_live.py"], prefix=become, only="docker")
    assert done.returncode == 0, (done.stdout[-6000:], done.stderr[-2000:])
    assert "2 passed" in done.stdout
