"""One job with all that its page shows, read at one position."""

from dataclasses import dataclass

from sqlalchemy import select

from mechagym.store.ops import op_of
from mechagym.store.reading import Reading
from mechagym.store.rows import OpRow
from mechagym.store.tables import ops
from mechagym.store.views import jobs
from mechagym.store.views.dashboard import OpState, state_of

ASKED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An op of the job and how it stands."""

    op: OpRow
    state: OpState


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """The summary, the matrix, what it came to, what went wrong, what was asked of it lately."""

    line: jobs.JobSummary
    cells: tuple[jobs.Cell, ...]
    stats: jobs.JobStats
    faults: tuple[jobs.FaultCount, ...]
    asked: tuple[Asked, ...]


def job_page(reading: Reading, name_or_id: str) -> JobPage | None:
    """The job; None where there is none of this name or id."""
    line = jobs.job(reading, name_or_id)
    if line is None:
        return None
    job_id = line.job.job_id
    query = select(ops).where(ops.c.job_id == job_id).order_by(ops.c.id.desc()).limit(ASKED)
    asked = [op_of(row) for row in reading.connection.execute(query)]
    return JobPage(
        line=line,
        cells=jobs.job_matrix(reading, job_id),
        stats=jobs.job_stats(reading, job_id),
        faults=jobs.job_errors(reading, job_id),
        asked=tuple(Asked(op=op, state=state_of(reading, op)) for op in asked),
    )
