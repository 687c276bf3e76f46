"""Keeps what happened: jobs, trials, tries, events, usage, ops, in SQLite or PostgreSQL."""

from mechagym.store.owner import this_process
from mechagym.store.rows import (
    JobRow,
    JobState,
    OwnerRow,
    TrialFilter,
    TrialOrder,
    TrialPage,
    TrialRow,
    TrialState,
)
from mechagym.store.store import Store

__all__ = [
    "JobRow",
    "JobState",
    "OwnerRow",
    "Store",
    "TrialFilter",
    "TrialOrder",
    "TrialPage",
    "TrialRow",
    "TrialState",
    "this_process",
]
