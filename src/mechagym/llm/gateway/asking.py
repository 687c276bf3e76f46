"""What a caller asks of a provider, made ready: which model, by which key, with which edits.

Bodies pass unchanged but for the model's name, a lowered output limit, and the wish for usage.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio.to_thread

from mechagym.errors import ConfigError
from mechagym.llm.bounds import CallRequest
from mechagym.llm.calls import Call
from mechagym.llm.catalogue import ModelInfo
from mechagym.llm.credentials import Credential
from mechagym.llm.gateway.base import Outbound
from mechagym.llm.gateway.body import Body, read_body
from mechagym.llm.gateway.connection import Head
from mechagym.llm.gateway.grants import Grant
from mechagym.llm.gateway.headers import outward
from mechagym.llm.gateway.refusals import CREDENTIAL, MODEL, TOOL, Refused
from mechagym.llm.gateway.routes import Route
from mechagym.llm.gateway.wanted import Wanted, model_in, read_wanted
from mechagym.llm.providers import REPLAY, Dialect, Provider
from mechagym.records import Json

if TYPE_CHECKING:
    from mechagym.llm.stack import Models


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One request whose model may be used, with whoever is to answer it."""

    head: Head
    route: Route
    grant: Grant
    body: Body
    info: ModelInfo
    provider: Provider
    credential: Credential | None

    @property
    def changes(self) -> dict[str, Json]:
        """The model's name, where the caller used another one; a tape takes any."""
        wire_name = self.info.wire_name
        same = self.body.values["model"] == wire_name or self.provider.name == REPLAY
        return {} if same else {"model": wire_name}

    def outbound(self, changes: Mapping[str, Json], *, stream: bool = False) -> Outbound:
        """The request as it leaves, with these values changed in its body."""
        return Outbound(
            model=self.info.id,
            provider=self.provider,
            dialect=self.route.dialect,
            path=self.head.path,
            url=self._url(self.route.ending, self.head.query),
            headers=outward(
                self.head.headers,
                dialect=self.route.dialect,
                provider=self.provider,
                credential=self.credential,
            ),
            body=self.body.with_values(changes),
            stream=stream,
            free=self.route.kind == "count",
        )

    def _url(self, ending: str, query: str) -> str:
        base = (self.provider.base_url or "").rstrip("/")
        return f"{base}{ending}?{query}" if query else base + ending


async def read_asking(
    models: "Models", grant: Grant, *, head: Head, route: Route, raw: bytes
) -> Asking:
    """Read whom a request is for. Raises Refused."""
    body = read_body(raw)
    info, provider = _speaking(models, grant, asked=model_in(body), dialect=route.dialect)
    credential = await _credential(models, grant, provider)
    return Asking(
        head=head,
        route=route,
        grant=grant,
        body=body,
        info=info,
        provider=provider,
        credential=credential,
    )


def _speaking(
    models: "Models", grant: Grant, *, asked: str, dialect: Dialect
) -> tuple[ModelInfo, Provider]:
    infos = grant.meant(asked)
    if dialect in grant.dialects:
        for info in infos:
            provider = models.provider(info.id)
            if provider.answers(dialect):
                return info, provider
    raise Refused(MODEL, f"{infos[0].id} does not speak {dialect} in this trial")


async def _credential(models: "Models", grant: Grant, provider: Provider) -> Credential | None:
    def find() -> Credential | None:
        return models.credentials.get(provider, agent=grant.agent)

    blocks = provider.key_command or models.credentials.login is not None
    try:
        credential = await anyio.to_thread.run_sync(find) if blocks else find()
    except ConfigError as error:
        raise Refused(CREDENTIAL, str(error)) from error
    if credential is None and provider.needs_key:
        raise Refused(CREDENTIAL, f"there is no key for {provider.name} on the host")
    return credential


def wanted_of(asking: Asking) -> Wanted:
    """What is asked for. Raises Refused where it reaches out and the trial may not."""
    wanted = read_wanted(asking.body, asking.route.dialect)
    check_reach(wanted.found.outward, asking.grant)
    return wanted


def check_reach(outward_parts: tuple[str, ...], grant: Grant) -> None:
    """Refuse what would reach out from the provider's side of a closed trial. Raises Refused."""
    if outward_parts and not grant.public:
        named = ", ".join(outward_parts)
        raise Refused(TOOL, f"{named}: reaches out, and this trial's network is not public")


def call_request(asking: Asking, wanted: Wanted) -> CallRequest:
    """What bounds the cost of the call."""
    edits = [f"model {asking.body.values['model']} → {name}" for name in asking.changes.values()]
    if wants_usage(wanted):
        edits.append("include_usage")
    return CallRequest(
        model=asking.info.id,
        body_bytes=len(asking.body.raw),
        images=wanted.found.images,
        asked_limit=wanted.limit,
        thinking_budget=wanted.thinking_budget,
        searches=wanted.found.searches,
        stateful=wanted.found.stateful,
        variant=wanted.variant,
        edits=tuple(edits),
    )


def wants_usage(wanted: Wanted) -> bool:
    """Whether the provider must be asked for the usage of a stream."""
    return wanted.stream and not wanted.tells_usage


def work_changes(asking: Asking, wanted: Wanted, call: Call) -> dict[str, Json]:
    """All edits of a body whose call is open."""
    changes = asking.changes
    if call.limits_output:
        lowered = {n: min(v, call.output_limit) for n, v in wanted.limits.items()}
        changes |= lowered or {_limit_name(asking): call.output_limit}
    if wants_usage(wanted):
        options = asking.body.values.get("stream_options") or {}
        changes["stream_options"] = {**options, "include_usage": True}
    return changes


def _limit_name(asking: Asking) -> str:
    """How the provider is told an output limit that the caller did not name."""
    match asking.route.dialect:
        case "anthropic":
            return "max_tokens"
        case "openai-responses":
            return "max_output_tokens"
        case "openai-chat":
            # OpenAI's newer models refuse the older name, and others know no newer one
            own = asking.provider.name in ("openai", "openai-chat")
            return "max_completion_tokens" if own else "max_tokens"
