"""The tables of test generation. All rows are folds of events, so that they can be made again."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)

from mechagym.store.tables import UtcTime, metadata

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
"""The measures of a run that are one number each: a nullable column for every one."""


def _run_id() -> Column[str]:
    run = ForeignKey("testgen_runs.run_id", ondelete="CASCADE")
    return Column("run_id", String, run, primary_key=True)


def _created_at() -> Column[object]:
    return Column("created_at", UtcTime, nullable=False)


configs = Table(
    "testgen_configs",
    metadata,
    Column("digest", String, primary_key=True),
    Column("version", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("parent_digest", String),
    Column("created_by", String, nullable=False),
    Column("is_current", Boolean, nullable=False),
    _created_at(),
    Index(
        "uq_testgen_configs_current",
        "is_current",
        unique=True,
        sqlite_where=text("is_current"),
        postgresql_where=text("is_current"),
    ),
)

runs = Table(
    "testgen_runs",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("stream_id", String, nullable=False, index=True),
    Column("config_digest", String, ForeignKey("testgen_configs.digest"), nullable=False),
    Column("task_id", String),
    Column("task_digest", String),
    Column("task_type", String, nullable=False),
    Column("trial_id", String),
    Column("proposal_id", String),
    Column("context", String, nullable=False),
    Column("status", String, nullable=False),
    Column("stopped_by", String),
    Column("ready", Boolean, nullable=False),
    Column("suite_digest", String),
    Column("tests_total", Integer, nullable=False),
    Column("tests_valid", Integer, nullable=False),
    *(Column(name, Float) for name in METRICS),
    Column("shares", Text, nullable=False),
    Column("score", Integer),
    Column("tokens", BigInteger, nullable=False),
    Column("cost_usd", Float),
    Column("duration_s", Float, nullable=False),
    Column("notes", Text, nullable=False),
    _created_at(),
    Index("ix_testgen_runs_config", "config_digest", "task_id"),
    Index("ix_testgen_runs_type", "task_type", "config_digest"),
)

tests = Table(
    "testgen_tests",
    metadata,
    _run_id(),
    Column("test_id", String, primary_key=True),
    *(Column(n, String, nullable=False) for n in ("category", "role", "status")),
    *(Column(n, String) for n in ("reject_rule", "label")),
    *(Column(n, Text, nullable=False) for n in ("function", "title", "code")),
    Column("code_digest", String, nullable=False),
    *(Column(n, Text, nullable=False) for n in ("requirement_ids", "cells")),
    Column("input_source", Text),
    Column("expected_source", String, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("provenance", Text, nullable=False),
    Column("body", Text, nullable=False),
    _created_at(),
)

results = Table(
    "testgen_results",
    metadata,
    _run_id(),
    Column("test_id", String, primary_key=True),
    Column("occasion", String, primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("status", String, nullable=False),
    Column("duration_s", Float, nullable=False),
    Column("message", Text, nullable=False),
    _created_at(),
)

matrices = Table(
    "testgen_matrices",
    metadata,
    _run_id(),
    *(Column(n, Text, nullable=False) for n in ("requirements", "entities", "constraints")),
    Column("ticks", Text, nullable=False),
    _created_at(),
)

best_configs = Table(
    "testgen_best_configs",
    metadata,
    Column("task_type", String, primary_key=True),
    Column("config_digest", String, ForeignKey("testgen_configs.digest"), nullable=False),
    Column("run_id", String),
    Column("score", Float),
    Column("pass_count", Integer, nullable=False),
    Column("total_runs", Integer, nullable=False),
    Column("is_override", Boolean, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    _created_at(),
)

evolution = Table(
    "testgen_evolution",
    metadata,
    Column("id", String, primary_key=True),
    *(Column(n, String, nullable=False) for n in ("from_digest", "to_digest", "kind")),
    *(Column(n, Text, nullable=False) for n in ("changes", "clamps", "reasoning")),
    *(Column(n, Float) for n in ("expected_improvement", "actual_improvement", "low", "high")),
    Column("basis", String),
    Column("accepted", Boolean),
    _created_at(),
)

calibration = Table(
    "testgen_calibration",
    metadata,
    Column("config_digest", String, primary_key=True),
    Column("category", String, primary_key=True),
    Column("metric", String, primary_key=True),
    Column("job_id", String, primary_key=True),
    Column("successes", Integer, nullable=False),
    Column("trials", Integer, nullable=False),
    _created_at(),
)

TABLES = (best_configs, calibration, evolution, results, tests, matrices, runs, configs)
"""In an order in which they can be emptied."""
