"""Whether a model can be used from here, found out for nothing: by the provider's list alone."""

import time
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Literal

import anyio
import httpx2

from mechagym.errors import ConfigError
from mechagym.llm.catalogue import undated
from mechagym.llm.credentials import CLAUDE_CODE, Credential, Credentials
from mechagym.llm.listing import fetch
from mechagym.llm.names import ModelName, nearest
from mechagym.llm.outgoing import Outgoing
from mechagym.llm.providers import Provider

State = Literal["ok", "no_credential", "unauthorised", "unreachable", "model_missing", "expired"]
REFUSED = frozenset({401, 403})


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a model is: its state, how long its provider took, and one sentence for a person."""

    model: str
    state: State
    says: str
    took_ms: float | None = None


async def check(
    name: ModelName, provider: Provider, credentials: Credentials, outgoing: Outgoing
) -> Health:
    """Look once. Never raises for what is wrong: that is the answer."""
    if provider.wire == "none":
        return Health(model=str(name), state="ok", says="it lives in this process")
    if provider.base_url is None:
        return _told(name, "unreachable", f"no address is set for {provider.name}")
    try:
        credential = await anyio.to_thread.run_sync(partial(_credential, provider, credentials))
    except ConfigError as error:
        state: State = "expired" if error.reason == "expired" else "no_credential"
        says = f"{error.message}: {error.remedy}" if error.remedy else error.message
        return _told(name, state, says)
    if credential is None and provider.needs_key:
        where = " or ".join(provider.key_env) or f"api_key_file of {provider.name}"
        return _told(name, "no_credential", f"no key is found: set {where}")
    return await _asked(name, provider, credential, outgoing)


def _credential(provider: Provider, credentials: Credentials) -> Credential | None:
    """A key, else the login of Claude Code where it may be used."""
    return credentials.get(provider) or credentials.get(provider, agent=CLAUDE_CODE)


async def _asked(
    name: ModelName, provider: Provider, credential: Credential | None, outgoing: Outgoing
) -> Health:
    began = time.perf_counter()
    try:
        listed = await fetch(provider, credential, outgoing)
    except httpx2.HTTPStatusError as error:
        status = error.response.status_code
        by = f" ({credential.secret})" if credential else ""
        if status in REFUSED:
            return _told(name, "unauthorised", f"{provider.base_url} refused the key{by}: {status}")
        return _told(name, "unreachable", f"{provider.base_url} answered {status}")
    except (httpx2.HTTPError, ValueError, ConfigError) as error:
        why = str(error) or type(error).__name__
        return _told(name, "unreachable", f"{provider.base_url}: {why}")
    took_ms = (time.perf_counter() - began) * 1000
    if _has(listed, name.name):
        return Health(model=str(name), state="ok", says=f"{provider.base_url}", took_ms=took_ms)
    near = ", ".join(nearest(name.name, listed)) or "it has none"
    says = f"{provider.name} does not list it; nearest: {near}"
    return Health(model=str(name), state="model_missing", says=says, took_ms=took_ms)


def _has(listed: Collection[str], name: str) -> bool:
    """Whether a list has a model: by its name, its name with a date, or as ollama's latest."""
    return name in listed or any(
        name in {undated(known), known.removesuffix(":latest")} for known in listed
    )


def _told(name: ModelName, state: State, says: str) -> Health:
    return Health(model=str(name), state=state, says=says)
