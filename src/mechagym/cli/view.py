"""`mechagym view` and `mechagym worker`: the command centre, and a taker of what is asked there."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mechagym.cli.options import with_settings

if TYPE_CHECKING:
    from mechagym.config import Settings
    from mechagym.web.serve import Serving

NEEDED = ("fastapi", "uvicorn", "jinja2", "markdown_it", "pygments")


@click.command()
@click.option("--port", default=8321, show_default=True, help="Or the next free one of 20.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--open", "open_page", is_flag=True, help="Open it in a browser.")
@click.option("--read-only", is_flag=True, help="Nobody may change anything.")
@click.option("--visitor", is_flag=True, help="Print a second URL, which only reads.")
@click.option("--no-worker", is_flag=True, help="Leave starting jobs to `mechagym worker`.")
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="NAME[:PORT]",
    help="A name by which browsers may ask for it.",
)
@click.option("--allow-remote", is_flag=True, help="Allow a --host that is not loopback.")
@click.option(
    "--folder",
    "folders",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Show files of jobs that lie there too.",
)
@with_settings("store", "jobs_dir")
def view(
    settings: "Settings", port: int, host: str, open_page: bool, no_worker: bool, **given: Any
) -> None:
    """Serve the command centre of a store until Ctrl-C. Jobs started from it go on.

    Prints one URL with a token that lives as long as this process: who has it may use it.
    """
    require_extra()
    import anyio

    from mechagym.web.serve import Wanted, serve

    wanted = Wanted(port=port, host=host, worker=not no_worker, **given)
    if wanted.allow_remote and wanted.host not in ("127.0.0.1", "localhost", "::1"):
        click.echo(
            f"warning: {host} can be reached from other machines, and boxes on a bridge can reach"
            " whatever listens on all addresses",
            err=True,
        )
    anyio.run(serve, settings, wanted, lambda serving: _tell(serving, open_page))


@click.command()
@with_settings("store", "jobs_dir", "sandbox", "concurrent")
def worker(settings: "Settings") -> None:
    """Carry out what is asked from pages of this store, until Ctrl-C. Jobs it started go on."""
    require_extra()
    import anyio

    from mechagym.web.alone import work

    anyio.run(work, settings)


def require_extra() -> None:
    """Raises ConfigError naming the extra to install."""
    from mechagym.errors import ConfigError

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the command centre needs {', '.join(missing)}",
            remedy="install its extra: pip install 'mechagym[web]'",
            reason="extra_missing",
        )


def _tell(serving: "Serving", open_page: bool) -> None:
    tokens = serving.tokens
    urls = {
        "": serving.url(tokens.write) if tokens.write else "",
        "to read only: ": serving.url(tokens.read) if tokens.read else "",
    }
    for what, url in urls.items():
        if url:
            click.echo(f"{what}{url}")
    if open_page:
        click.launch(next(filter(None, urls.values())))
