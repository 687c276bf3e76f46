"""Names become objects here: agents, models and sandboxes, ours and those of others, by the same
way. One module for each kind of thing that is made.
"""

from mechagym.wiring.access import logins_of, open_access
from mechagym.wiring.agents import (
    agent_factory,
    agent_version,
    calls_models,
    check_agents,
    make_agent,
    needs_model,
    with_tools,
)
from mechagym.wiring.models import admission, catalogue, credentials, models_of, prices
from mechagym.wiring.plugins import names
from mechagym.wiring.protocols import wrapper
from mechagym.wiring.routing import select_models
from mechagym.wiring.sandboxes import AUTO, Chosen, made_sandbox, open_sandbox

__all__ = [
    "AUTO",
    "Chosen",
    "admission",
    "agent_factory",
    "agent_version",
    "calls_models",
    "catalogue",
    "check_agents",
    "credentials",
    "logins_of",
    "made_sandbox",
    "make_agent",
    "models_of",
    "names",
    "needs_model",
    "open_access",
    "open_sandbox",
    "prices",
    "select_models",
    "with_tools",
    "wrapper",
]
