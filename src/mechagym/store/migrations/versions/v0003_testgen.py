"""Test generation: its configs and runs, what they made, and what was learned from them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

METRICS = (
    "comprehensiveness",
    "balance",
    "anti_cheat",
    "token_efficiency",
    "parameter_discovery",
    "reflection_effectiveness",
    "requirement_coverage",
    "cell_coverage",
    "validity_rate",
    "distinguishability",
    "entropy_bits",
    "mutation_score",
    "usd_per_valid_test",
)


def upgrade() -> None:
    """Make the tables."""
    _configs()
    _runs()
    _of_runs()
    _learned()


def _time(name: str = "created_at") -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _words(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String, nullable=nullable) for name in names]


def _key(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String, primary_key=True) for name in names]


def _run_id() -> sa.Column[str]:
    run = sa.ForeignKey("testgen_runs.run_id", ondelete="CASCADE")
    return sa.Column("run_id", sa.String, run, primary_key=True)


def _config() -> sa.Column[str]:
    config = sa.ForeignKey("testgen_configs.digest")
    return sa.Column("config_digest", sa.String, config, nullable=False)


def _configs() -> None:
    op.create_table(
        "testgen_configs",
        *_key("digest"),
        *_words("version"),
        *_texts("body"),
        *_words("parent_digest", nullable=True),
        *_words("created_by"),
        sa.Column("is_current", sa.Boolean, nullable=False),
        _time(),
    )
    where = sa.text("is_current")
    op.create_index(
        "uq_testgen_configs_current",
        "testgen_configs",
        ["is_current"],
        unique=True,
        sqlite_where=where,
        postgresql_where=where,
    )


def _runs() -> None:
    op.create_table(
        "testgen_runs",
        *_key("run_id"),
        *_words("stream_id"),
        _config(),
        *_words("task_id", "task_digest", nullable=True),
        *_words("task_type"),
        *_words("trial_id", "proposal_id", nullable=True),
        *_words("context", "status"),
        *_words("stopped_by", nullable=True),
        sa.Column("ready", sa.Boolean, nullable=False),
        *_words("suite_digest", nullable=True),
        sa.Column("tests_total", sa.Integer, nullable=False),
        sa.Column("tests_valid", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Float) for name in METRICS),
        *_texts("shares"),
        sa.Column("score", sa.Integer),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("cost_usd", sa.Float),
        sa.Column("duration_s", sa.Float, nullable=False),
        *_texts("notes"),
        _time(),
    )
    op.create_index("ix_testgen_runs_stream_id", "testgen_runs", ["stream_id"])
    op.create_index("ix_testgen_runs_config", "testgen_runs", ["config_digest", "task_id"])
    op.create_index("ix_testgen_runs_type", "testgen_runs", ["task_type", "config_digest"])


def _of_runs() -> None:
    op.create_table(
        "testgen_tests",
        _run_id(),
        *_key("test_id"),
        *_words("category", "role", "status"),
        *_words("reject_rule", "label", nullable=True),
        *_texts("function", "title", "code"),
        *_words("code_digest"),
        *_texts("requirement_ids", "cells"),
        sa.Column("input_source", sa.Text),
        *_words("expected_source"),
        sa.Column("confidence", sa.Float, nullable=False),
        *_texts("provenance", "body"),
        _time(),
    )
    op.create_table(
        "testgen_results",
        _run_id(),
        *_key("test_id", "occasion"),
        sa.Column("ordinal", sa.Integer, primary_key=True),
        *_words("status"),
        sa.Column("duration_s", sa.Float, nullable=False),
        *_texts("message"),
        _time(),
    )
    op.create_table(
        "testgen_matrices",
        _run_id(),
        *_texts("requirements", "entities", "constraints", "ticks"),
        _time(),
    )


def _learned() -> None:
    op.create_table(
        "testgen_best_configs",
        *_key("task_type"),
        _config(),
        *_words("run_id", nullable=True),
        sa.Column("score", sa.Float),
        sa.Column("pass_count", sa.Integer, nullable=False),
        sa.Column("total_runs", sa.Integer, nullable=False),
        sa.Column("is_override", sa.Boolean, nullable=False),
        _time("updated_at"),
        _time(),
    )
    numbers = ("expected_improvement", "actual_improvement", "low", "high")
    op.create_table(
        "testgen_evolution",
        *_key("id"),
        *_words("from_digest", "to_digest", "kind"),
        *_texts("changes", "clamps", "reasoning"),
        *(sa.Column(name, sa.Float) for name in numbers),
        *_words("basis", nullable=True),
        sa.Column("accepted", sa.Boolean),
        _time(),
    )
    op.create_table(
        "testgen_calibration",
        *_key("config_digest", "category", "metric", "job_id"),
        sa.Column("successes", sa.Integer, nullable=False),
        sa.Column("trials", sa.Integer, nullable=False),
        _time(),
    )
