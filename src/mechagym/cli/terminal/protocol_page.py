"""Whether a trial's agent wrote its tests first: the protocol's report, as it was kept."""

from rich.text import Text

from mechagym.cli.found import find_trial, opened
from mechagym.cli.terminal.page import GREEN, RED, YELLOW, Column, Page
from mechagym.config import Settings
from mechagym.errors import ConfigError
from mechagym.events import ProtocolReported
from mechagym.records import to_dict

FOLLOWED, NOT_FOLLOWED = 0, 1
STYLES = {"held": GREEN, "missing": RED, "unknown": YELLOW}


async def show_protocol(settings: Settings, called: str, as_json: bool) -> int:
    """Write the report of a trial's last try; gives the exit code. Raises ConfigError."""
    async with opened(settings) as store:
        _, trial = await find_trial(store, called)
        events = await store.events(trial.key.trial_id, limit=1_000_000)
    reports = [e for e in events if isinstance(e.body, ProtocolReported)]
    found = [e.body for e in reports if e.try_number == reports[-1].try_number]
    kept = [body for body in found if isinstance(body, ProtocolReported)]
    if not kept:
        raise ConfigError(
            f"trial {trial.key.trial_name} has no report of a protocol",
            remedy="run its task with --protocol testgen-v2",
        )
    page = Page(settings.terminal)
    if as_json:
        page.json([to_dict(report) for report in kept])
    for report in kept if not as_json else ():
        _report(page, report)
    return FOLLOWED if all(report.followed for report in kept) else NOT_FOLLOWED


def _report(page: Page, report: ProtocolReported) -> None:
    columns = (
        Column(name="step"),
        Column(name="state"),
        Column(name="events", cut=True),
        Column(name="", cut=True),
    )
    rows = [
        (
            f"{number} {step.name}",
            Text(step.state, style=STYLES[step.state]),
            ", ".join(map(str, step.evidence)),
            step.detail,
        )
        for number, step in enumerate(report.steps)
    ]
    page.table(columns, rows)
    ours = "not run" if report.tests_run is None else f"{report.tests_passed} of {report.tests_run}"
    claim = "nothing" if report.tests_claimed is None else f"{report.tests_claimed} passed"
    word = ("followed", GREEN) if report.followed else ("not followed", RED)
    page.line(Text.assemble(word, f"; our own run: {ours}; it last saw: {claim}"))
    for note in report.notes:
        page.note(note)
