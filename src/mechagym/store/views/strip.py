"""What the frame of every page shows: what runs now, and what today cost."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select

from mechagym.records import now
from mechagym.store.reading import Reading
from mechagym.store.tables import jobs, trials
from mechagym.store.views.dashboard import Cost, cost_since

NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A trial that runs now."""

    trial_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """`named` are those that began last, of `running` in all; `today` is the last 24 hours."""

    running: int
    named: tuple[Running, ...]
    today: Cost


def strip(reading: Reading) -> Strip:
    """It stands on every page, so it reads running jobs alone."""
    at_work = (
        select(trials.c.id, trials.c.name, func.count().over().label("running"))
        .join(jobs, jobs.c.id == trials.c.job_id)
        .where(jobs.c.state == "running", trials.c.state == "running")
        .order_by(trials.c.started_at.desc(), trials.c.id)
        .limit(NAMED)
    )
    rows = reading.connection.execute(at_work).all()
    return Strip(
        running=rows[0].running if rows else 0,
        named=tuple(Running(trial_id=row.id, name=row.name) for row in rows),
        today=cost_since(reading, now() - timedelta(days=1)),
    )
