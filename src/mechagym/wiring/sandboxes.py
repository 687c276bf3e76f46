"""Opens sandboxes: the one that a person named, or the best one that is usable here."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from anyio import CancelScope

from mechagym.config import DEFAULT, Settings
from mechagym.errors import ConfigError
from mechagym.sandbox.base import Probe, Sandbox
from mechagym.sandbox.detect import choose
from mechagym.wiring.plugins import named

AUTO = ("docker", "local")
"""The backends that `auto` tries, best first."""

UNISOLATED = "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """An open backend, what its probe saw, and the better ones that are not usable here."""

    sandbox: Sandbox
    probe: Probe
    passed_over: tuple[Probe, ...] = ()


@asynccontextmanager
async def open_sandbox(
    name: str, settings: Settings, *, trusts_host: bool = False
) -> AsyncIterator[Chosen]:
    """A backend that is usable now: the one named, or with `auto` the first that is.

    `trusts_host`: the person allowed the backend that isolates nothing. Raises ConfigError,
    SandboxUnusable with each refusal's reason and remedy.
    """
    if name == UNISOLATED and not trusts_host:
        raise ConfigError(
            "the backend `host` isolates nothing: agents and tests run as you, on your files",
            remedy="if that is what you want, add --i-trust-this",
        )
    async with AsyncExitStack() as stack:
        candidates = [
            await stack.enter_async_context(made_sandbox(candidate, settings))
            for candidate in (AUTO if name == "auto" else (name,))
        ]
        sandbox, (*passed_over, probe) = await choose(candidates)
        yield Chosen(sandbox=sandbox, probe=probe, passed_over=tuple(passed_over))


@asynccontextmanager
async def made_sandbox(name: str, settings: Settings) -> AsyncIterator[Sandbox]:
    """A backend by name with this host's settings, not probed; closed at the end.

    Raises ConfigError for an unknown name.
    """
    make = named("sandbox", name)
    sandbox: Sandbox = make(**_sandbox_settings(name, settings))
    try:
        yield sandbox
    finally:
        if close := getattr(sandbox, "aclose", None):
            with CancelScope(shield=True):
                await close()


def _sandbox_settings(name: str, settings: Settings) -> dict[str, object]:
    """What the built-in backends are told; those of others find their own way."""
    keep_bytes = int(settings.image_cache_gb * 1e9)
    match name:
        case "docker":
            cache = settings.cache_dir / "docker"
            return {"host": settings.docker_host, "cache": cache, "keep_bytes": keep_bytes}
        case "local" if settings.origins["cache_dir"] != DEFAULT:
            return {"cache": settings.cache_dir / "local", "keep_bytes": keep_bytes}
        case "local":
            return {"keep_bytes": keep_bytes}
        case _:
            return {}
