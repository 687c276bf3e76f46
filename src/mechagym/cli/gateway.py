"""`mechagym gateway`: one gateway by itself, for any agent on this host, with a hard limit."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mechagym.cli.options import json_option, with_settings

if TYPE_CHECKING:
    from mechagym.config import Settings


@click.command()
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    required=True,
    metavar="MODEL",
    help="Model that may be called: provider:name or an alias. Several are allowed together.",
)
@click.option("--usd", type=click.FloatRange(min=0), help="Spend at most so much money.")
@click.option("--tokens", type=click.IntRange(min=0), help="Use at most so many tokens.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, help="Port to listen on.  [default: a free one]")
@click.option(
    "--certificate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Serve by TLS, with the certificate and the key of this PEM file.",
)
@click.option("--public", is_flag=True, help="Let providers search and fetch for the callers.")
@click.option("--allow-unpriced", is_flag=True, help="Models without a price too, with --tokens.")
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep every exchange on a new tape, without keys.",
)
@json_option
@with_settings()
def gateway(settings: "Settings", as_json: bool, **asked: Any) -> None:
    """Serve models to agents on this host until Ctrl-C, and stop them at a limit.

    Prints its URL and a token; keys stay here. Each call is told on stderr.

    \b
    mechagym gateway -m claude --usd 2
    mechagym gateway -m openai:gpt-4o --usd 1 --record tape.jsonl
    mechagym gateway -m replay:tape.jsonl
    """
    import anyio

    from mechagym.cli.gateway_alone import Wanted, serve

    anyio.run(serve, settings, Wanted(**asked), as_json)
