"""Jobs whose trials are set against each other, read at one position."""

from collections.abc import Sequence
from dataclasses import dataclass

from mechagym.records import TrialRecord
from mechagym.store.queries import find_job, records
from mechagym.store.reading import Reading
from mechagym.store.rows import JobRow
from mechagym.store.tables import trials
from mechagym.store.views.jobs import JobFilter, job_list

NEWEST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecords:
    """A job with the records of its sealed trials."""

    job: JobRow
    records: tuple[TrialRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The jobs that were named, None for what is none, and the names of the newest to choose of."""

    sides: tuple[JobRecords | None, ...]
    newest: tuple[str, ...]


def paired(reading: Reading, names: Sequence[str]) -> Paired:
    """Jobs by name or id."""
    found = [find_job(reading.connection, name) for name in names]
    newest = job_list(reading, JobFilter(), None, NEWEST).items
    return Paired(
        sides=tuple(_with_records(reading, job) if job else None for job in found),
        newest=tuple(line.job.name for line in newest),
    )


def _with_records(reading: Reading, job: JobRow) -> JobRecords:
    sealed = (trials.c.job_id == job.job_id) & (trials.c.state == "ended")
    return JobRecords(job=job, records=tuple(records(reading.connection, sealed)))
