"""What a box's network namespace is joined to: nothing, the world by slirp4netns, or our egress proxy.

A box always has a namespace of its own with a loopback. `public` adds a user-mode way out; `allowlist` adds a
listener on the box's own loopback whose connections our process accepts from outside, and no other route.
"""

import os
from mechagym.errors import LimitRefused, SandboxError
from mechagym.sandbox.base import NetworkPolicy
from mechagym.sandbox.local.keeping import StepError
from mechagym.sandbox.local.plant import Plant


_SLIRP_DNS = "10.0.2.3"


def first_files(hostname: str, policy: NetworkPolicy) -> dict[str, str]:
    """The files of a machine's own under `/etc`."""
    return {
        "/etc/hostname": f"{hostname}\n",
        "/etc/hosts": f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n127.0.1.1\t{hostname}\n",
        "/etc/resolv.conf": resolver(policy),
    }


def resolver(policy: NetworkPolicy) -> str:
    """`/etc/resolv.conf` under a policy: without a way out there is nobody to ask."""
    return f"nameserver {_SLIRP_DNS}\n" if policy.mode == "public" else ""


class Network:
    """The network of one box. `env`: what programs in it need to know."""

    def __init__(self, plant: Plant, box_id: str, pid: int) -> None:
        self._plant = plant
        self._box_id = box_id
        self._pid = pid
        self._way_out: int | None = None
        self.env: dict[str, str] = {}
        self.policy = NetworkPolicy(mode="no-network")

    async def use(self, policy: NetworkPolicy) -> None:
        """Enforce another policy. Raises LimitRefused, SandboxError."""
        if policy == self.policy:
            return
        await self.close()
        match policy.mode:
            case "public":
                await self._connect()
            case "allowlist":
                raise LimitRefused("allowlist is not there yet")
            case "no-network":
                pass
        self.policy = policy

    async def close(self) -> None:
        """Take every way out away."""
        if self._way_out is not None:
            os.close(self._way_out)
            self._way_out = None
        self.policy = NetworkPolicy(mode="no-network")

    async def _connect(self) -> None:
        slirp = self._plant.slirp
        if slirp is None:
            raise LimitRefused(
                "a local box has no way out without slirp4netns",
                remedy="apt-get install slirp4netns",
            )
        theirs, self._way_out = os.pipe()
        try:
            await self._plant.keeper.ask(
                "connect", [theirs], box=self._box_id, pid=self._pid, slirp=slirp
            )
        except StepError as error:
            raise SandboxError(f"box {self._box_id}: {error.message}") from error
        finally:
            os.close(theirs)
