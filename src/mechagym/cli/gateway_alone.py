"""What `mechagym gateway` does: one token for all who come, and each call told as it ends."""

import json
import signal
import ssl
from contextlib import AbstractAsyncContextManager, ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import anyio
import click

from mechagym import wiring
from mechagym.budget import Budget, Meter
from mechagym.cli.model_names import named
from mechagym.cli.tapes import new_tape
from mechagym.cli.terminal.figures import counted, money
from mechagym.config import Settings
from mechagym.errors import ConfigError
from mechagym.events import BudgetWarned, EventBody, ModelAnswered, ModelFailed, ModelRefused
from mechagym.llm.gateway import Gateway, Grant, open_gateway
from mechagym.llm.names import ModelName
from mechagym.llm.providers import REPLAY
from mechagym.llm.stack import Models
from mechagym.run.lending import SMALL


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What was asked for, as the options name it."""

    models: tuple[str, ...]
    usd: float | None
    tokens: int | None
    host: str
    port: int
    certificate: Path | None
    public: bool
    allow_unpriced: bool
    record: Path | None


async def serve(settings: Settings, wanted: Wanted, as_json: bool) -> None:
    """Serve until a signal comes. Raises ConfigError, PriceUnknown before anything is served."""
    asked = named(settings, wanted.models)
    _check_limit(settings, wanted, asked.models)
    tls = _tls(wanted.certificate) if wanted.certificate else None
    keys = wiring.credentials(settings)
    with ExitStack() as stack:
        tape = None
        if wanted.record is not None:
            providers = [settings.llm.providers[name.provider] for name in asked.models]
            writer = new_tape(wanted.record, keys.to_hide(providers))
            tape = stack.enter_context(closing(writer))
        models = Models(
            settings=settings.llm,
            catalogue=wiring.catalogue(settings),
            prices=wiring.prices(settings),
            credentials=keys,
            allow_unpriced=wanted.allow_unpriced,
            tape=tape,
        )
        for name in asked.models:
            models.check(name)
        meter = Meter(budget=Budget(usd=wanted.usd, tokens=wanted.tokens), emit=_tell)
        async with models, open_gateway(models) as gateway:
            grant = _grant(models, meter, names=asked.models, public=wanted.public)
            listening = gateway.listen(wanted.host, port=wanted.port, tls=tls)
            await _until_told(gateway, grant, listening=listening, as_json=as_json)
    for line in models.unplayed():
        click.echo(line, err=True)
    _tell_end(meter, as_json=as_json)


def _tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"{certificate}: no certificate with its key can be read from it: {error}",
            remedy="put both into one PEM file",
            reason="certificate",
        ) from error
    return context


def _check_limit(settings: Settings, wanted: Wanted, names: tuple[ModelName, ...]) -> None:
    free = all(settings.llm.providers[name.provider].price == "free" for name in names)
    if wanted.usd is None and wanted.tokens is None and not free:
        raise ConfigError(
            "without a limit, whoever has the token could spend without end",
            remedy="add --usd N, or --tokens N",
            reason="no_limit",
        )


def _grant(models: Models, meter: Meter, *, names: tuple[ModelName, ...], public: bool) -> Grant:
    """All that callers may do; the small models that agents ask for beside are ours too."""
    rewrite: dict[str, ModelName] = {}
    for name in reversed(names):
        anthropic = models.provider(name).wire in ("anthropic", "none")
        openai = models.provider(name).wire != "anthropic"
        rewrite |= {
            pattern: name
            for pattern in SMALL
            if (anthropic if pattern.startswith("claude") else openai)
        }
    if names[0].provider == REPLAY:
        rewrite["*"] = names[0]  # a tape is asked by the names of its recording
    return Grant(
        trial="gateway",
        models=names,
        ledger=models.ledger(meter, _tell, door="gateway"),
        rewrite=rewrite,
        public=public,
    )


async def _until_told(
    gateway: Gateway,
    grant: Grant,
    *,
    listening: AbstractAsyncContextManager[str],
    as_json: bool,
) -> None:
    token = gateway.grant(grant).value
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with listening as url:
            _tell_start(url, token, grant, as_json=as_json)
            async for _ in signals:
                return


def _tell_start(url: str, token: str, grant: Grant, *, as_json: bool) -> None:
    names = [str(name) for name in grant.models]
    env = {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": token,
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": token,
    }
    if as_json:
        told = {"url": url, "token": token, "models": names, "environment": env}
        click.echo(json.dumps(told))
        return
    click.echo(f"serving {', '.join(names)} at {url} until Ctrl-C\n")
    for name, value in env.items():
        click.echo(f"export {name}={value}")


def _tell(event: EventBody) -> None:
    """One line for each call that ended, on stderr."""
    match event:
        case ModelAnswered():
            usage = event.spend.usage
            measured = "" if event.measured else " (unmeasured: as reserved)"
            line = f"{money(event.spend.cost_usd)}, {usage.tokens:,} tokens{measured}"
        case ModelFailed():
            line = f"failed: {event.error}: {event.message}"
        case ModelRefused():
            line = f"refused: {event.message}"
        case BudgetWarned():
            click.echo(f"warning: {event.percent} % of {event.of:g} {event.limit} used", err=True)
            return
        case _:
            return
    click.echo(f"{event.model}: {line}", err=True)


def _tell_end(meter: Meter, *, as_json: bool) -> None:
    calls, tokens, usd = meter.turns, meter.settled.usage.tokens, meter.settled.cost_usd
    if as_json:
        click.echo(json.dumps({"calls": calls, "tokens": tokens, "cost_usd": usd}))
    else:
        click.echo(f"\n{counted(calls, 'call')}, {tokens:,} tokens, {money(usd)}")
