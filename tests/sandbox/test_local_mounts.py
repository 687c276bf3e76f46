"""The mounts of the host stay as they are, whatever a box has beside it.

slirp4netns detaches its old root when it locks itself in. Where the mounts of the host are shared,
as nearly everywhere, they would go for everybody: a Docker engine's containers lost their files.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mechagym.sandbox.local import runtime
from tests.sandbox.local_parts import needs_parts

# Alone: where somebody's container ends meanwhile, its mount goes from our copy of the mounts too.
pytestmark = [pytest.mark.live, pytest.mark.alone]
ON_A_HOST_OF_ITS_OWN = 'mount --make-rshared / && mount -t tmpfs shared $1 && exec $2 -c "$3" $4'
DRIVER = """
import sys
from pathlib import Path

import anyio

from mechagym.sandbox.base import BoxSpec, HostRoot, NetworkPolicy
from mechagym.sandbox.local import LocalSandbox

async def main(cache):
    sandbox = LocalSandbox(cache=Path(cache))
    spec = BoxSpec(image=HostRoot(), network=NetworkPolicy(mode="public"))
    before = mounts()
    async with sandbox.open(spec) as box:
        assert (await box.exec(["true"])).ok
        assert box.info.network == "public"
        assert set(mounts()) == set(before), set(mounts()) ^ set(before)
    await sandbox.aclose()
    assert set(mounts()) == set(before), set(mounts()) ^ set(before)
    print(len(before), "mounts")

def mounts():
    return Path("/proc/self/mountinfo").read_text().splitlines()

anyio.run(main, sys.argv[1])
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root has mounts to lose")
@pytest.mark.skipif(runtime.way_out()[0] is None, reason="apt-get install slirp4netns")
def test_a_way_out_detaches_no_mount_of_the_host(tmp_path: Path):
    """On a copy of the host's mounts, shared among themselves: should it happen, it happens there.

    One of them stands below a folder of ours, so that there is one that nobody else takes away.
    """
    needs_parts()
    shared = tmp_path / "shared"
    shared.mkdir()
    unshare = ["unshare", "--mount", "--propagation=private", "sh", "-c", ON_A_HOST_OF_ITS_OWN]
    done = subprocess.run(
        [*unshare, "sh", shared, sys.executable, DRIVER, tmp_path / "cache"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 1
