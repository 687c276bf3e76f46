"""The dashboard with all that it shows, read at one position."""

from dataclasses import dataclass
from datetime import datetime

from mechagym.store.reading import Reading
from mechagym.store.rows import TrialRow
from mechagym.store.views import dashboard
from mechagym.store.views.jobs import JobSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardPage:
    """What trials came to, what waits for a person, and what began last."""

    overview: dashboard.Overview
    needs: tuple[dashboard.Need, ...]
    jobs: tuple[JobSummary, ...]
    trials: tuple[TrialRow, ...]


def dashboard_page(reading: Reading, since: datetime | None) -> DashboardPage:
    """Figures of the trials that ended since then; None: all there are."""
    return DashboardPage(
        overview=dashboard.overview(reading, since),
        needs=dashboard.attention(reading),
        jobs=dashboard.recent_jobs(reading),
        trials=dashboard.recent_trials(reading),
    )
