"""What a box's network namespace is joined to: nothing, the world by slirp4netns, or our egress
proxy.

A box always has a namespace of its own with a loopback. `public` adds a user-mode way out;
`allowlist` adds a listener on the box's own loopback whose connections our process accepts from
outside, and no other route. A door is on that listener too.
"""

import os
import socket
import subprocess

import anyio
import anyio.to_thread
from anyio.abc import SocketListener, TaskGroup

from mechagym.errors import LimitRefused, SandboxError
from mechagym.sandbox.base import BoxSpec, NetworkPolicy
from mechagym.sandbox.egress import Front
from mechagym.sandbox.local import runtime
from mechagym.sandbox.local.keeping import StepError
from mechagym.sandbox.local.plant import Plant

PORT = 61_128
ADDRESS = f"http://127.0.0.1:{PORT}"
_SLIRP_DNS = "10.0.2.3"


def first_files(hostname: str, policy: NetworkPolicy) -> dict[str, str]:
    """The files of a machine's own under `/etc`."""
    return {
        "/etc/hostname": f"{hostname}\n",
        "/etc/hosts": f"127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t{hostname}\n",
        "/etc/resolv.conf": resolver(policy),
    }


def resolver(policy: NetworkPolicy) -> str:
    """`/etc/resolv.conf` under a policy: without a way out there is nobody to ask."""
    return f"nameserver {_SLIRP_DNS}\n" if policy.mode == "public" else ""


class Network:
    """The network of one box. `env`: what programs in it need to know."""

    def __init__(
        self, plant: Plant, spec: BoxSpec, *, box_id: str, pid: int, tasks: TaskGroup
    ) -> None:
        """`tasks` run what serves the box from outside."""
        self._plant = plant
        self._spec = spec
        self._box_id = box_id
        self._pid = pid
        self._tasks = tasks
        self._serving: anyio.CancelScope | None = None
        self._way_out: int | None = None
        self._slirp: subprocess.Popen[bytes] | None = None
        self.env: dict[str, str] = {}
        self.door: str | None = None
        self.policy: NetworkPolicy | None = None

    async def use(self, policy: NetworkPolicy) -> None:
        """Enforce another policy. Raises LimitRefused, SandboxError."""
        if policy == self.policy:
            return
        await self.close()
        if policy.mode == "public":
            await self._connect()
        if front := Front.of(self._spec, policy):
            await self._listen(front)
            self.door = ADDRESS if self._spec.door is not None else None
        self.policy = policy

    async def close(self) -> None:
        """Take every way out away."""
        if self._way_out is not None:
            os.close(self._way_out)
            self._way_out = None
        if self._slirp is not None:
            slirp, self._slirp = self._slirp, None
            await _ended(slirp)
        if self._serving is not None:
            self._serving.cancel()
            self._serving = None
        self.env, self.door, self.policy = {}, None, None

    async def _listen(self, front: Front) -> None:
        """Serve on a listener that the keeper opens inside."""
        try:
            _, (listener,) = await self._plant.keeper.ask("listen", pid=self._pid, port=PORT)
        except StepError as error:
            raise SandboxError(f"box {self._box_id}: {error.message}") from error
        inside = await SocketListener.from_socket(socket.socket(fileno=listener))
        scope = self._serving = anyio.CancelScope()

        async def serving() -> None:
            with scope:
                async with inside:
                    await front.serve(inside)

        self._tasks.start_soon(serving)
        self.env = front.env(ADDRESS)

    async def _connect(self) -> None:
        if self._plant.slirp is None:
            raise LimitRefused("a local box has no way out here", remedy=runtime.way_out()[1])
        theirs, self._way_out = os.pipe()
        ready, says_ready = os.pipe()
        argv = [self._plant.slirp, "--configure", "--mtu=65520", "--disable-host-loopback"]
        argv += ["--enable-sandbox", "--enable-seccomp"]
        argv += [f"--exit-fd={theirs}", f"--ready-fd={says_ready}"]
        if os.getuid() != 0:  # its sandbox finds the user namespace by a pid, not by a path
            argv += [str(self._pid), "tap0"]
        else:
            # its sandbox detaches the old root; where the host's mounts are shared, they would go
            # for everybody (a Docker engine's containers lost their root file systems)
            argv = ["unshare", "--mount", "--propagation=private", *argv]
            argv += ["--netns-type=path", f"/proc/{self._pid}/ns/net", "tap0"]
        try:
            self._slirp = await anyio.to_thread.run_sync(_start, argv, (theirs, says_ready))
            os.close(says_ready)
            says_ready = -1
            await anyio.wait_readable(ready)
            if os.read(ready, 1) != b"1":
                raise SandboxError(f"box {self._box_id}: slirp4netns gives no way out")
        finally:
            for descriptor in (theirs, ready, says_ready):
                if descriptor >= 0:
                    os.close(descriptor)


def _start(argv: list[str], files: tuple[int, ...]) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen(argv, stdin=quiet, stdout=quiet, stderr=quiet, pass_fds=files)


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Kill it: it keeps nothing."""
    ended = os.pidfd_open(process.pid)
    try:
        process.kill()
        with anyio.CancelScope(shield=True):
            await anyio.wait_readable(ended)
    finally:
        os.close(ended)
    process.wait()
