"""Several ways tried in forks of the box, verified side by side, and the best of them kept."""

from mechagym.agents.map.sampler.sampling import ForkSampler

__all__ = ["ForkSampler"]
