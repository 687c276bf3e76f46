"""`mechagym run`: from flags to a job, and from its report to an exit code."""

from typing import TYPE_CHECKING, Any

import click

from mechagym.cli.completing import jobs
from mechagym.cli.options import with_settings
from mechagym.cli.run_options import how_options, limit_options, show_options, what_options

if TYPE_CHECKING:
    from mechagym.config import Settings


@click.command()
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@what_options
@with_settings("jobs_dir", "concurrent", "sandbox", "tasks", "store")
@limit_options
@how_options
@click.option(
    "--resume", metavar="JOB", shell_complete=jobs, help="Go on with a job; finished trials stay."
)
@click.option("--force-config", is_flag=True, help="With --resume: change the job midway.")
@show_options
def run(settings: "Settings", resume: str | None, force_config: bool, **given: Any) -> None:
    """Run agents on tasks and print what it came to.

    SOURCE is a folder of tasks or one task, git+URL[@rev][#subdir], a suite or registry file, a
    dataset's name, or the name of a task in the dataset of the settings.

    \b
    mechagym run examples/tasks -a oracle
    mechagym run ~/code/terminal-bench-2 -t 'regex-*' -a oracle -a nop -k 3
    mechagym run -t regex-log -a scripted --set agent.script=do.yaml
    mechagym run -f nightly.yaml --dry-run

    Exit code: 0 all trials are graded, 2 wrong usage, 3 some trial is not graded, 130 stopped.
    """
    from mechagym.cli.launch import Showing, again, fresh

    showing = Showing(
        dry_run=given.pop("dry_run"),
        quiet=given.pop("quiet"),
        as_json=given.pop("as_json"),
        trusts_host=given.pop("trusts_host"),
        record=given.pop("record"),
    )
    if resume:
        raise SystemExit(again(settings, resume, given, showing, force=force_config))
    raise SystemExit(fresh(settings, given, showing))
