"""One trial with all that its page shows, read at one position."""

from dataclasses import dataclass

from mechagym.events import BoxOpened
from mechagym.records import BoxInfo
from mechagym.store.queries import find_job
from mechagym.store.reading import Reading
from mechagym.store.rows import JobRow
from mechagym.store.views import trials

WINDOW = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPage:
    """The trial, its job, a window of its thread and its box (None before one was opened)."""

    view: trials.TrialView
    job: JobRow | None
    steps: trials.Steps
    box: BoxInfo | None


def trial_page(reading: Reading, trial_id: str, first: int | None) -> TrialPage | None:
    """The trial; `first` None is the last window."""
    view = trials.trial(reading, trial_id)
    if view is None:
        return None
    total = trials.steps(reading, trial_id, 0, 0).total
    begin = max(0, total - WINDOW) if first is None else min(first, max(0, total - 1))
    opened = trials.steps(reading, trial_id, 0, 100, ("box_opened",)).items
    boxes = [e.body.box for e in opened if isinstance(e.body, BoxOpened)]
    return TrialPage(
        view=view,
        job=find_job(reading.connection, view.row.key.job_id),
        steps=trials.steps(reading, trial_id, begin, WINDOW),
        box=boxes[-1] if boxes else None,
    )
