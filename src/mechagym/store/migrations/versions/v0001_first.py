"""The first schema: jobs, trials, tries, events, usage, images, settings, ops."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TIME = sa.DateTime(timezone=True)
COUNTS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")


def upgrade() -> None:
    """Make all tables."""
    _jobs_and_trials()
    _events()
    _tries_and_usage()
    _beside()


def _jobs_and_trials() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("config", sa.Text, nullable=False),
        sa.Column("config_digest", sa.String, nullable=False),
        sa.Column("folder", sa.String, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("trials", sa.Integer, nullable=False),
        sa.Column("started_at", TIME),
        sa.Column("ended_at", TIME),
        sa.Column("owner_pid", sa.Integer),
        sa.Column("owner_started", sa.String),
        sa.Column("owner_place", sa.String),
        sa.Column("owner_host", sa.String),
        sa.Column("heartbeat_at", TIME),
    )
    op.create_index("ix_jobs_created_at", "jobs", ["created_at"])
    op.create_table(
        "trials",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column(
            "job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("dataset", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("task_digest", sa.String, nullable=False),
        sa.Column("agent", sa.String, nullable=False),
        sa.Column("model", sa.String),
        sa.Column("repeat", sa.Integer, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("outcome", sa.String),
        sa.Column("graded", sa.Boolean, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("reward", sa.Float),
        sa.Column("billed_nano", sa.BigInteger, nullable=False),
        sa.Column("imputed_nano", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("duration_s", sa.Float, nullable=False),
        sa.Column("started_at", TIME),
        sa.Column("ended_at", TIME),
    )
    op.create_index("ix_trials_job", "trials", ["job_id", "ordinal"])
    filters = ["job_id", "state", "outcome", "dataset", "task", "agent", "model"]
    numbers = ["started_at", "reward", "billed_nano", "duration_s"]
    op.create_index("ix_trials_list", "trials", [*filters, *numbers, "id"])
    for order in (*numbers, "task", "outcome"):
        op.create_index(f"ix_trials_{order}", "trials", [order, "id"])


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("position", BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("try_number", sa.Integer, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("payload", sa.Text),
        sa.Column("blob", sa.String),
        sa.UniqueConstraint("subject", "seq", name="uq_events_subject_seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_blob", "events", ["blob"], sqlite_where=sa.text("blob IS NOT NULL"))


def _trial_id() -> sa.Column[str]:
    trial = sa.ForeignKey("trials.id", ondelete="CASCADE")
    return sa.Column("trial_id", sa.String, trial, primary_key=True)


def _tries_and_usage() -> None:
    op.create_table(
        "tries",
        _trial_id(),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("owner_pid", sa.Integer),
        sa.Column("outcome", sa.String),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("ended_at", TIME),
        sa.Column("record", sa.Text),
    )
    op.create_table(
        "usage",
        _trial_id(),
        sa.Column("try_number", sa.Integer, primary_key=True),
        sa.Column("model", sa.String),
        sa.Column("at", TIME, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in COUNTS),
        sa.Column("web_searches", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("billed_nano", sa.BigInteger, nullable=False),
        sa.Column("imputed_nano", sa.BigInteger, nullable=False),
        sa.Column("unpriced_calls", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_usage_at", "usage", ["at"])


def _beside() -> None:
    op.create_table(
        "images",
        sa.Column("backend", sa.String, primary_key=True),
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("reference", sa.String, nullable=False),
        sa.Column("first_used_at", TIME, nullable=False),
        sa.Column("last_used_at", TIME, nullable=False),
    )
    op.create_table(
        "settings",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
    )
    op.create_table(
        "ops",
        sa.Column("id", BIG_ID, primary_key=True, autoincrement=True),
        sa.Column(
            "job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("author", sa.String, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("applied", sa.Boolean),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("ended_at", TIME),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ops_job", "ops", ["job_id", "id"])
