"""What screens read of trials without their records; tasks, workers, and ops of no job."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TIME = sa.DateTime(timezone=True)
FIGURES = ["ended_at", "graded", "passed", "turns", "duration_s", "task_digest", "billed_nano"]
JOB_FIGURES = ["state", "outcome", "graded", "passed", "billed_nano", "imputed_nano", "tokens"]
TASK_FIGURES = ["graded", "passed", "billed_nano", "ended_at", "agent", "model", "state"]


def upgrade() -> None:
    """Widen trials and ops, keeping their rows; make the two new tables."""
    _trials()
    _tasks()
    _workers()
    _ops()


def _trials() -> None:
    op.add_column("trials", sa.Column("passed", sa.Boolean))
    op.add_column("trials", sa.Column("turns", sa.Integer))
    for name in ("fault", "fault_reason", "blame"):
        op.add_column("trials", sa.Column(name, sa.String))
    op.create_index("ix_trials_figures", "trials", FIGURES)
    op.create_index("ix_trials_of_task", "trials", ["task_digest", *TASK_FIGURES])
    op.create_index("ix_trials_of_job", "trials", ["job_id", *JOB_FIGURES])
    connection = op.get_bind()
    connection.execute(sa.text("UPDATE trials SET passed = (reward >= 1.0) WHERE graded"))
    newest = sa.text(
        "SELECT trial_id, record FROM tries WHERE record IS NOT NULL AND number ="
        " (SELECT max(number) FROM tries AS t"
        "  WHERE t.trial_id = tries.trial_id AND t.record IS NOT NULL)"
    )
    change = sa.text(
        "UPDATE trials SET turns = :turns, fault = :type, fault_reason = :reason, blame = :blame"
        " WHERE id = :id"
    )
    for trial_id, record in connection.execute(newest).all():
        told = json.loads(record)
        error = told.get("error") or {}
        values = {name: error.get(name) for name in ("type", "reason", "blame")}
        connection.execute(change, {"id": trial_id, "turns": told.get("turns"), **values})


def _tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("dataset", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("difficulty", sa.String),
        sa.Column("category", sa.String),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("author", sa.String),
        sa.Column("agent_timeout_s", sa.Float),
        sa.Column("image", sa.String),
        sa.Column("needs", sa.Text, nullable=False),
    )
    op.create_index("ix_tasks_name", "tasks", ["dataset", "name", "digest"])
    op.execute(
        "INSERT INTO tasks (digest, dataset, name, tags, needs)"
        " SELECT task_digest, min(dataset), min(task), '[]', '[]' FROM trials GROUP BY task_digest"
    )


def _workers() -> None:
    op.create_table(
        "workers",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("pid", sa.Integer, nullable=False),
        *(sa.Column(n, sa.String, nullable=False) for n in ("started", "place", "host", "version")),
        sa.Column("began_at", TIME, nullable=False),
        sa.Column("heartbeat_at", TIME, nullable=False),
    )


def _new_of_ops() -> list[sa.Column[Any]]:
    """A column belongs to one table: made for each."""
    names = ("request_key", "worker_id")
    return [*(sa.Column(name, sa.String) for name in names), sa.Column("taken_at", TIME)]


def _ops() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _ops_anew()
    else:
        op.alter_column("ops", "job_id", nullable=True)
        for column in _new_of_ops():
            op.add_column("ops", column)
        op.create_unique_constraint("ops_request_key_key", "ops", ["request_key"])
    op.create_index("ix_ops_open", "ops", ["ended_at", "id"])


def _ops_anew() -> None:
    """SQLite cannot take NOT NULL from a column."""
    op.drop_index("ix_ops_job", "ops")
    op.rename_table("ops", "ops_before")
    op.create_table(
        "ops",
        sa.Column("id", BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE")),
        *(sa.Column(n, sa.String, nullable=False) for n in ("kind", "author")),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("at", TIME, nullable=False),
        *_new_of_ops(),
        sa.Column("applied", sa.Boolean),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("ended_at", TIME),
        sa.UniqueConstraint("request_key"),
        sqlite_autoincrement=True,
    )
    kept = "id, job_id, kind, payload, author, at, applied, detail, ended_at"
    op.execute(f"INSERT INTO ops ({kept}) SELECT {kept} FROM ops_before")  # noqa: S608 – our words
    op.drop_table("ops_before")
    op.create_index("ix_ops_job", "ops", ["job_id", "id"])
