"""What holds in a box, proved from inside it."""

from mechagym.events import NetworkProved
from mechagym.sandbox.base import Box, NetworkPolicy


async def prove_network(box: Box, policy: NetworkPolicy) -> list[NetworkProved]:  # noqa: ARG001
    """Try the policy from inside the box; each probe with what was expected and seen."""
    return []
