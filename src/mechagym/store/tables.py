"""The tables, as code sees them. `migrations/` makes them; a test holds the two equal.

`events` is the truth. Every other row of a trial is a fold of its events, written in the same
transaction.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

REVISION = "0004"
"""The newest revision under `migrations/versions`, known here so that opening needs no alembic."""

ORDERS = ("started_at", "task", "outcome", "reward", "billed_nano", "duration_s")
FILTERS = ("job_id", "state", "outcome", "dataset", "task", "agent", "model")
FIGURES = ("ended_at", "graded", "passed", "turns", "duration_s", "task_digest", "billed_nano")
JOB_FIGURES = ("state", "outcome", "graded", "passed", "billed_nano", "imputed_nano", "tokens")
TASK_FIGURES = ("graded", "passed", "billed_nano", "ended_at", "agent", "model", "state")
LISTED = (*FILTERS, "started_at", "reward", "billed_nano", "duration_s", "id")

metadata = MetaData()
Counter = BigInteger().with_variant(Integer, "sqlite")


class UtcTime(TypeDecorator[datetime]):
    """A time that goes in with a zone and comes out as UTC; SQLite alone would drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """To UTC, or a bug is shown: a naive time has no meaning here."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """From UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


jobs = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("config", Text, nullable=False),
    Column("config_digest", String, nullable=False),
    Column("folder", String, nullable=False),
    Column("created_at", UtcTime, nullable=False, index=True),
    Column("state", String, nullable=False),
    Column("trials", Integer, nullable=False, default=0),
    Column("started_at", UtcTime),
    Column("ended_at", UtcTime),
    Column("owner_pid", Integer),
    Column("owner_started", String),
    Column("owner_place", String),
    Column("owner_host", String),
    Column("heartbeat_at", UtcTime),
)

trials = Table(
    "trials",
    metadata,
    Column("id", String, primary_key=True),
    Column("job_id", String, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("name", String, nullable=False),
    Column("dataset", String, nullable=False),
    Column("task", String, nullable=False),
    Column("task_digest", String, nullable=False),
    Column("agent", String, nullable=False),
    Column("model", String),
    Column("repeat", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("outcome", String),
    Column("graded", Boolean, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("reward", Float),
    Column("billed_nano", BigInteger, nullable=False),
    Column("imputed_nano", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("duration_s", Float, nullable=False),
    Column("started_at", UtcTime),
    Column("ended_at", UtcTime),
    Column("passed", Boolean),
    Column("turns", Integer),
    Column("fault", String),
    Column("fault_reason", String),
    Column("blame", String),
    Index("ix_trials_job", "job_id", "ordinal"),
    Index("ix_trials_figures", *FIGURES),
    Index("ix_trials_of_task", "task_digest", *TASK_FIGURES),
    Index("ix_trials_of_job", "job_id", *JOB_FIGURES),
    # for lists: one to filter on any columns without reading rows, and one per order
    Index("ix_trials_list", *LISTED),
    *(Index(f"ix_trials_{order}", order, "id") for order in ORDERS),
)

tries = Table(
    "tries",
    metadata,
    Column("trial_id", String, ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("label", String, nullable=False),
    Column("owner_pid", Integer),
    Column("outcome", String),
    Column("started_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("record", Text),
)

events = Table(
    "events",
    metadata,
    Column("position", Counter, primary_key=True, autoincrement=True),
    Column("subject", String, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("try_number", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("payload", Text),
    Column("blob", String),
    UniqueConstraint("subject", "seq", name="uq_events_subject_seq"),
    Index("ix_events_blob", "blob", sqlite_where=text("blob IS NOT NULL")),
    sqlite_autoincrement=True,
)

usage = Table(
    "usage",
    metadata,
    Column("trial_id", String, ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True),
    Column("try_number", Integer, primary_key=True),
    Column("model", String),
    Column("at", UtcTime, nullable=False, index=True),
    *(
        Column(name, BigInteger, nullable=False)
        for name in (
            "input",
            "cache_read",
            "cache_write_5m",
            "cache_write_1h",
            "output",
            "reasoning",
            "web_searches",
            "tokens",
            "billed_nano",
            "imputed_nano",
            "unpriced_calls",
        )
    ),
)

settings = Table(
    "settings",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", Text, nullable=False),
    Column("changed_at", UtcTime, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("digest", String, primary_key=True),
    Column("dataset", String, nullable=False),
    Column("name", String, nullable=False),
    Column("difficulty", String),
    Column("category", String),
    Column("tags", Text, nullable=False),
    Column("author", String),
    Column("agent_timeout_s", Float),
    Column("image", String),
    Column("needs", Text, nullable=False),
    Index("ix_tasks_name", "dataset", "name", "digest"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String, primary_key=True),
    Column("pid", Integer, nullable=False),
    Column("started", String, nullable=False),
    Column("place", String, nullable=False),
    Column("host", String, nullable=False),
    Column("version", String, nullable=False),
    Column("began_at", UtcTime, nullable=False),
    Column("heartbeat_at", UtcTime, nullable=False),
)

ops = Table(
    "ops",
    metadata,
    Column("id", Counter, primary_key=True, autoincrement=True),
    Column("job_id", String, ForeignKey("jobs.id", ondelete="CASCADE")),
    Column("kind", String, nullable=False),
    Column("payload", Text, nullable=False),
    Column("author", String, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("request_key", String, unique=True),
    Column("worker_id", String),
    Column("taken_at", UtcTime),
    Column("applied", Boolean),
    Column("detail", Text, nullable=False),
    Column("ended_at", UtcTime),
    Index("ix_ops_job", "job_id", "id"),
    Index("ix_ops_open", "ended_at", "id"),
    sqlite_autoincrement=True,
)
