"""`[llm]` as a person writes it, in a settings file or as `MECHAGYM_LLM__KEY`, and what it makes.

Each key is taken from the strongest source that gives it; so is each provider, by its name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, field_validator

from mechagym.errors import ConfigError
from mechagym.llm.outgoing import Outgoing
from mechagym.llm.providers import ALSO_AT, SHIPPED, Kind, Provider, Wire
from mechagym.llm.settings import LlmSettings, RetryLimits

PREFIX = "MECHAGYM_LLM__"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProviderTable(_Strict):
    """`[llm.providers.NAME]`: a service of one's own, or other settings of a known one."""

    wire: Literal["openai-chat", "openai-responses", "anthropic", "google"] | None = None
    base_url: str | None = None
    api_key_env: tuple[str, ...] | None = None
    api_key_file: Path | None = None
    api_key_command: tuple[str, ...] | None = None
    kind: Kind | None = None
    closed: bool | None = None
    streaming: bool | None = None
    max_concurrency: PositiveInt | None = None
    price: Literal["free", "table"] | None = None
    headers: dict[str, str] | None = None
    first_output_s: PositiveFloat | None = None
    timeout_s: PositiveFloat | None = None

    @field_validator("api_key_env", "api_key_command", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        return _url(value) if value else None


class RetryTable(_Strict):
    """`[llm.retry]`."""

    tries: int = Field(default=6, ge=1)
    base_s: PositiveFloat = 1.0
    cap_s: PositiveFloat = 30.0
    total_s: PositiveFloat = 300.0


class LlmTable(_Strict):
    """`[llm]`; every key is optional."""

    default_model: str | None = None
    timeout_s: PositiveFloat | None = None
    first_output_s: PositiveFloat | None = None
    credential: Literal["key", "claude-code"] | None = None
    delivery: Literal["gateway", "mount"] | None = None
    ca_file: Path | None = None
    retry: RetryTable | None = None
    providers: dict[str, ProviderTable] | None = None


VARIABLES = {
    f"{PREFIX}{name.upper()}": name
    for name in LlmTable.model_fields
    if name not in {"retry", "providers"}
}


def variables_of(environ: Mapping[str, str]) -> dict[str, str]:
    """What `MECHAGYM_LLM__KEY` says, by key."""
    return {name: value for variable, name in VARIABLES.items() if (value := environ.get(variable))}


def rooted(table: LlmTable, folder: Path) -> LlmTable:
    """Make its paths absolute: `~` is the home, a relative one stands beside its file."""

    def path(value: Path | None) -> Path | None:
        return (folder / value.expanduser()).absolute() if value else None

    providers = table.providers and {
        name: provider.model_copy(update={"api_key_file": path(provider.api_key_file)})
        for name, provider in table.providers.items()
    }
    return table.model_copy(update={"ca_file": path(table.ca_file), "providers": providers})


def llm_settings(tables: Sequence[LlmTable], environ: Mapping[str, str]) -> LlmSettings:
    """Make the settings of the tables, strongest first. Raises ConfigError."""
    said: dict[str, Any] = {}
    providers: dict[str, ProviderTable] = {}
    for table in tables:
        providers = dict(table.providers or {}) | providers
        said = {name: value for name, value in table if value is not None} | said
    times: dict[str, Any] = {n: said[n] for n in ("timeout_s", "first_output_s") if n in said}
    plain: dict[str, Any] = {
        n: said[n] for n in ("default_model", "credential", "delivery") if n in said
    }
    retry = said.get("retry") or RetryTable()
    return LlmSettings(
        **plain,
        providers=dict(_providers(providers, times, environ)),
        retry=RetryLimits(**retry.model_dump()),
        outgoing=_outgoing(said.get("ca_file"), environ),
    )


def _providers(
    tables: Mapping[str, ProviderTable], times: Mapping[str, Any], environ: Mapping[str, str]
) -> Iterator[tuple[str, Provider]]:
    for name in dict.fromkeys([*SHIPPED, *tables]):
        provider = replace(SHIPPED[name], **times) if name in SHIPPED else None
        if name in tables:
            provider = _told(name, provider, tables[name], times)
        assert provider is not None
        yield name, _overridden(provider, environ)


def _told(
    name: str, shipped: Provider | None, table: ProviderTable, times: Mapping[str, Any]
) -> Provider:
    """A provider as its table has it, over the one we ship if there is one."""
    if shipped is not None and shipped.wire == "none":
        raise ConfigError(
            f"llm.providers.{name}: `{name}` never touches a network: it has no table"
        )
    if ":" in name or not name:
        raise ConfigError(f"llm.providers.{name}: a provider's name has no colon")
    said = {key.removeprefix("api_"): value for key, value in table if value is not None}
    if shipped is not None:
        return replace(shipped, **said)
    wire: Wire = said.pop("wire", "openai-chat")
    has_key = any(key in said for key in ("key_env", "key_file", "key_command"))
    kind = said.pop("kind", "anthropic" if wire == "anthropic" else "openai")
    return Provider(name=name, wire=wire, kind=kind, needs_key=has_key, **{**times, **said})


def _overridden(provider: Provider, environ: Mapping[str, str]) -> Provider:
    """What the usual variables say: another address, and the organisation of OpenAI."""
    if provider.wire == "none":
        return provider
    same = [one for one, other in ALSO_AT.items() if other == provider.name]
    names = [f"{n.upper().replace('-', '_')}_BASE_URL" for n in (provider.name, *same)]
    variable = next((name for name in names if environ.get(name)), None)
    if variable is not None:
        url = environ[variable]
        try:
            provider = replace(provider, base_url=_url(url))
        except ValueError as error:
            raise ConfigError(f"{variable}: {error}") from error
    organisation = environ.get("OPENAI_ORG_ID")
    if organisation and SHIPPED.get(provider.name) and "OPENAI_API_KEY" in provider.key_env:
        headers = {"OpenAI-Organization": organisation, **provider.headers}
        provider = replace(provider, headers=headers)
    return provider


def _outgoing(ca_file: Path | None, environ: Mapping[str, str]) -> Outgoing:
    proxies = {
        scheme: url
        for scheme in ("https", "http")
        if (url := _either(environ, f"{scheme}_proxy") or _either(environ, "all_proxy"))
    }
    hosts = _either(environ, "no_proxy") or ""
    return Outgoing(
        proxies=proxies,
        no_proxy=tuple(filter(None, (host.strip() for host in hosts.split(",")))),
        ca_file=ca_file,
    )


def _either(environ: Mapping[str, str], name: str) -> str | None:
    return environ.get(name) or environ.get(name.upper()) or None


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError(f"a URL with http:// or https:// is expected, not {text!r}")
    return text.rstrip("/")
