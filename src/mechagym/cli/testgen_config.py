"""`mechagym testgen config …`: the configs that suites are made by."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mechagym.cli.options import json_option, with_settings
from mechagym.testgen.task_types import TASK_TYPES

if TYPE_CHECKING:
    from mechagym.config import Settings
    from mechagym.store import Store
    from mechagym.store.testgen_rows import ConfigRow

STREAM = "testgen"
"""The subject of the events that belong to no run."""

digest_argument = click.argument("digest")


@click.group()
def config() -> None:
    """Show, list, create, compare and choose configs.

    DIGEST is the beginning of a config's digest, or `shipped`.
    """


@config.command()
@click.argument("digest", required=False)
@with_settings("store")
def show(settings: "Settings", digest: str | None) -> None:
    """Print a config with all its fields as JSON; without DIGEST the current one."""
    import anyio

    from mechagym.cli.terminal.page import Page

    Page(settings.terminal).json(anyio.run(_body, settings, digest))


@config.command("list")
@json_option
@with_settings("store")
def list_configs(settings: "Settings", as_json: bool) -> None:
    """List configs, newest first."""
    import anyio

    from mechagym.cli.terminal.figures import ago
    from mechagym.cli.terminal.page import Column, Page
    from mechagym.records import to_dict

    rows = anyio.run(_rows, settings)
    page = Page(settings.terminal)
    if as_json:
        page.json([to_dict(row) for row in rows])
        return
    names = ("config", "version", "", "by", "from", "made")
    page.table(
        [Column(name=name) for name in names],
        [
            (
                row.digest[:16],
                row.version,
                "current" if row.is_current else "",
                row.created_by,
                (row.parent_digest or "")[:16],
                ago(row.created_at),
            )
            for row in rows
        ],
    )


@config.command()
@click.argument("file", type=click.Path(dir_okay=False, exists=True))
@with_settings("store")
def create(settings: "Settings", file: str) -> None:
    """Keep a config of your own: FILE is YAML, TOML or JSON; what it leaves out is as shipped."""
    import anyio

    click.echo(anyio.run(_create, settings, file))


@config.command()
@digest_argument
@click.argument("other")
@json_option
@with_settings("store")
def diff(settings: "Settings", digest: str, other: str, as_json: bool) -> None:
    """Show field by field what differs."""
    import anyio

    from mechagym.cli.terminal.page import Page
    from mechagym.testgen.config import changed_fields, config_of

    before, after = (config_of(anyio.run(_body, settings, called)) for called in (digest, other))
    changed = changed_fields(before, after)
    page = Page(settings.terminal)
    if as_json:
        page.json({name: {"from": old, "to": new} for name, (old, new) in changed.items()})
        return
    for name, (old, new) in changed.items():
        page.line(f"{name}:")
        page.line(f"  - {old}")
        page.line(f"  + {new}")


@config.command("set-current")
@digest_argument
@click.option(
    "--task-type",
    type=click.Choice(TASK_TYPES),
    help="For this kind of work only: it wins over what runs have shown.",
)
@with_settings("store")
def set_current(settings: "Settings", digest: str, task_type: str | None) -> None:
    """Use a config from now on."""
    import anyio

    anyio.run(_set_current, settings, digest, task_type)


def _read(path: Path) -> dict[str, Any]:
    """The fields that a file says. Raises ConfigError."""
    from pydantic import RootModel

    from mechagym.cli.written import read_written
    from mechagym.errors import ConfigError

    if path.suffix != ".json":
        return read_written(path, RootModel[dict[str, Any]]).root
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: an object with the fields of a config is expected")
    return found


async def find_config(store: "Store", called: str | None) -> dict[str, Any]:
    """The fields of a config; None: the current one, else the shipped. Raises ConfigError."""
    from mechagym.testgen.config import body_of
    from mechagym.testgen.types import TestGenConfig

    row: ConfigRow | None = None
    if called is None:
        row = await store.testgen.current_config()
    elif called != "shipped":
        row = await store.testgen.config(called)
    return dict(row.body) if row else body_of(TestGenConfig())


async def _body(settings: "Settings", called: str | None) -> dict[str, Any]:
    from mechagym.store import Store

    async with Store.open(settings.store) as store:
        return await find_config(store, called)


async def _rows(settings: "Settings") -> "list[ConfigRow]":
    from mechagym.store import Store

    async with Store.open(settings.store) as store:
        return await store.testgen.configs()


async def _create(settings: "Settings", file: str) -> str:
    from mechagym.events import TestgenConfigSaved
    from mechagym.store import Store
    from mechagym.testgen.config import FIRST_VERSION, body_of, config_of, digest

    made = config_of(_read(Path(file)))
    async with Store.open(settings.store) as store:
        current = await store.testgen.current_config()
        saved = TestgenConfigSaved(
            digest=digest(made),
            version=FIRST_VERSION,
            body=body_of(made),
            parent_digest=current.digest if current else None,
        )
        store.emitter(STREAM)(saved)
        await store.flush()
    return saved.digest


async def _set_current(settings: "Settings", called: str, task_type: str | None) -> None:
    from mechagym.events import TestgenConfigAccepted
    from mechagym.store import Store
    from mechagym.testgen.config import FIRST_VERSION, config_of, digest

    async with Store.open(settings.store) as store:
        body = await find_config(store, called)
        known = digest(config_of(body))
        rows = {row.digest: row for row in await store.testgen.configs()}
        store.emitter(STREAM)(
            TestgenConfigAccepted(
                digest=known,
                version=rows[known].version if known in rows else FIRST_VERSION,
                body=body,
                created_by="person",
                task_type=task_type,
            )
        )
        await store.flush()
    click.echo(known)
