"""What the probe says on hosts that lack something, for real: each lack is made, not pretended."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mechagym.sandbox.local import LocalSandbox, keeping, runtime, steps
from mechagym.sandbox.local.keeper import ROOM
from mechagym.sandbox.local.plant import attempt
from tests.sandbox.local_parts import needs_parts

pytestmark = [pytest.mark.live, pytest.mark.must("sandbox-2")]
PROBE = (
    "import anyio, pathlib, sys\n"
    "from mechagym.sandbox.local import LocalSandbox\n"
    "probe = anyio.run(LocalSandbox(cache=pathlib.Path(sys.argv[1])).probe)\n"
    "print(probe.usable, '|', probe.reason, '|', probe.remedy)\n"
)


def probed(cache: Path, *prefix: str, env: dict[str, str] | None = None) -> str:
    argv = [*prefix, sys.executable, "-c", PROBE, str(cache)]
    known = {"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(sys.path), **(env or {})}
    done = subprocess.run(argv, env=known, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_user_namespaces(tmp_path):
    needs_parts()
    forbid = 'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"'
    said = probed(tmp_path, "unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh")
    assert said.startswith("False | no user namespace")
    assert "sysctl -w user.max_user_namespaces" in said


def test_in_a_place_where_mounts_are_forbidden(tmp_path):
    """As in a default container: no capability to mount or to make namespaces of that kind."""
    needs_parts()
    if os.getuid() != 0:
        pytest.skip("root only: it gives capabilities away")
    drop = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", "--no-new-privs"]
    filtered = 'echo 0 >/proc/sys/user/max_mnt_namespaces; exec "$@"'
    said = probed(
        tmp_path, "unshare", "--user", "--map-root-user", "sh", "-c", filtered, "sh", *drop
    )
    assert said.startswith("False | ")


@pytest.mark.parametrize("name", runtime.RUNTIMES)
async def test_each_runtime_works_also_with_hybrid_control_groups(tmp_path, name):
    needs_parts()
    if runtime.find(name) is None:
        pytest.skip(f"apt-get install {name}")
    sandbox = LocalSandbox(cache=tmp_path, runtime=name)
    probe = await sandbox.probe()
    await sandbox.aclose()
    assert probe.usable, probe.reason
    assert name in probe.evidence[0]


async def test_what_crun_makes_for_a_moment_stands_in_the_folder_of_its_box(tmp_path):
    needs_parts()
    crun, init = runtime.find("crun"), runtime.static_init()
    if crun is None or init is None:
        pytest.skip("apt-get install crun")
    keeper = keeping.start(tmp_path)
    wrapped = tmp_path / "crun"
    wrapped.write_text(
        f'#!/bin/sh\necho "${steps.CRUN_TEMP}" >{ROOM}/layers/told\nexec {crun} "$@"\n'
    )
    wrapped.chmod(0o755)
    await attempt(keeper, f"{ROOM}/crun", init)
    await keeper.close()
    assert (tmp_path / "layers/told").read_text().startswith(f"{ROOM}/boxes/try")


async def test_a_folder_that_cannot_be_written(tmp_path):
    needs_parts()
    (tmp_path / "file").write_text("")
    probe = await LocalSandbox(cache=tmp_path / "file" / "cache").probe()
    assert not probe.usable
    assert "file/cache" in (probe.reason or "")
