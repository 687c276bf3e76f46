"""Keeps what happened: jobs, trials, tries, events, usage, ops, in SQLite or PostgreSQL."""

from mechagym.store.owner import this_process
from mechagym.store.reading import At, Reading
from mechagym.store.rows import (
    JobRow,
    JobState,
    OpRow,
    OwnerRow,
    TaskRow,
    TrialFilter,
    TrialOrder,
    TrialPage,
    TrialRow,
    TrialState,
    WorkerRow,
)
from mechagym.store.store import Store

__all__ = [
    "At",
    "JobRow",
    "JobState",
    "OpRow",
    "OwnerRow",
    "Reading",
    "Store",
    "TaskRow",
    "TrialFilter",
    "TrialOrder",
    "TrialPage",
    "TrialRow",
    "TrialState",
    "WorkerRow",
    "this_process",
]
