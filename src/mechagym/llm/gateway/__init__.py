"""The gateway: the only way to a model for agents that run in boxes.

async with open_gateway(models) as gateway, gateway.listen() as url:
    token = gateway.grant(Grant(trial="…", models=(name,), ledger=ledger))
"""

from mechagym.llm.gateway.gateway import Gateway, open_gateway
from mechagym.llm.gateway.grants import Grant, Token

__all__ = ["Gateway", "Grant", "Token", "open_gateway"]
