"""`mechagym tasks …`: what can be run, whether it is sound, and how to make more of it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mechagym.cli.options import json_option, trust_option, with_settings

if TYPE_CHECKING:
    from mechagym.config import Settings

FOLDER = click.Path(file_okay=False, path_type=Path)
include_option = click.option("-t", "--task", "include", multiple=True, metavar="GLOB")
exclude_option = click.option("-x", "--exclude", multiple=True, metavar="GLOB")


@click.group()
def tasks() -> None:
    """List, show, check, fetch, import and make tasks.

    SOURCE is a folder, git+URL[@rev][#subdir], a suite file, a registry file or a dataset's name;
    without it, the dataset of the settings (--tasks, MECHAGYM_TASKS, `tasks` in a settings file).
    """


@tasks.command("list")
@click.argument("source", nargs=-1)
@include_option
@exclude_option
@json_option
@with_settings("tasks")
def list_tasks(
    settings: "Settings",
    source: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    as_json: bool,
) -> None:
    """List the tasks of datasets, the broken ones with their reason."""
    from mechagym.cli.sources import datasets_of
    from mechagym.cli.terminal.task_pages import list_page

    list_page(settings, datasets_of(settings, source, include, exclude), as_json=as_json)


@tasks.command()
@click.argument("task")
@json_option
@with_settings("tasks")
def show(settings: "Settings", task: str, as_json: bool) -> None:
    """Show a task: its folder or its name."""
    from mechagym.cli.sources import one_task
    from mechagym.cli.terminal.task_pages import task_page

    task_page(settings, one_task(settings, task), as_json=as_json)


@tasks.command()
@click.argument("source", nargs=-1)
@include_option
@exclude_option
@click.option("--run", "proves", is_flag=True, help="Prove each in boxes with oracle and nop.")
@trust_option
@click.option("-k", "--repeats", default=3, show_default=True, help="With --run: times each.")
@json_option
@with_settings("tasks", "sandbox", "concurrent", "jobs_dir", "store")
def check(
    settings: "Settings",
    source: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    **how: bool | int,
) -> None:
    """Check tasks for what makes them break, leak or flake; with --run, prove them in boxes.

    \b
    --run: the oracle must get reward 1 and nop must not, every time.
    Exit code 2 if a task is broken or has an error, 0 if there are warnings at most.
    """
    from mechagym.cli.check import check_tasks, prove_tasks
    from mechagym.cli.launch import Showing
    from mechagym.cli.sources import datasets_of

    found = datasets_of(settings, source, include, exclude)
    as_json = bool(how["as_json"])
    if not how["proves"]:
        raise SystemExit(check_tasks(settings, found, as_json=as_json))
    showing = Showing(as_json=as_json, trusts_host=bool(how["trusts_host"]))
    raise SystemExit(prove_tasks(settings, found, int(how["repeats"]), showing))


@tasks.command()
@click.argument("source", nargs=-1, required=True)
@with_settings()
def fetch(settings: "Settings", source: tuple[str, ...]) -> None:
    """Bring datasets from git or a registry into the cache, and say where they are."""
    from mechagym.cli.sources import datasets_of
    from mechagym.cli.terminal.figures import counted

    for dataset in datasets_of(settings, source):
        version = f" at {dataset.version}" if dataset.version else ""
        click.echo(f"{dataset.name}{version}: {counted(len(dataset.tasks), 'task')}")
        for folder in sorted({task.folder.parent for task in dataset.tasks}):
            click.echo(f"  {folder}")


@tasks.command()
@click.argument("folder", type=FOLDER)
@click.option("--name", help="The task's name, `org/name` or bare; default: the folder's.")
def new(folder: Path, name: str | None) -> None:
    """Write the skeleton of a task that works: it passes its own check."""
    from mechagym.tasks.new import create_task

    create_task(folder, name or folder.absolute().name)
    click.echo(
        f"{folder}: written\n  mechagym tasks check {folder}\n  mechagym run {folder} -a oracle"
    )


@tasks.command("import")
@click.argument("source")
@click.argument("folder", type=FOLDER)
@with_settings()
def import_(settings: "Settings", source: str, folder: Path) -> None:
    """Write tasks of other forms (Terminal-Bench 1, a suite file) as Harbor folders."""
    from mechagym.cli.sources import load
    from mechagym.cli.terminal.figures import counted
    from mechagym.tasks.convert import import_tasks

    dataset = load(settings, source)
    for broken in dataset.broken:
        click.echo(f"broken, left out: {broken.reason}", err=True)
    written = import_tasks(dataset, folder)
    click.echo(f"{folder}: {counted(len(written), 'task')} written")
