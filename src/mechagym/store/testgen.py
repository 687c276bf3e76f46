"""What is asked of the store about test generation: one method per question.

Nothing is written here: rows follow from events (`testgen_folds`).
"""

import json
from typing import Any, TypeVar

from sqlalchemy import Row, select

from mechagym.errors import ConfigError
from mechagym.records import adapter, from_json
from mechagym.records.testgen import Constraint, Entity, GeneratedTest, Matrix, Requirement, Tick
from mechagym.store import testgen_folds
from mechagym.store.database import Database
from mechagym.store.testgen_rows import (
    BestRow,
    CalibrationRow,
    ConfigRow,
    EvolutionRow,
    ResultRow,
    RunFilter,
    RunParts,
    RunRow,
)
from mechagym.store.testgen_tables import (
    METRICS,
    best_configs,
    calibration,
    configs,
    evolution,
    matrices,
    results,
    runs,
    tests,
)

RowT = TypeVar("RowT")
ItemT = TypeVar("ItemT")


class TestgenShelf:
    """The rows of test generation in an open store."""

    __test__ = False

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, run_id: str) -> RunRow | None:
        """A run by its id."""
        query = select(runs).where(runs.c.run_id == run_id)
        row = await self._database.read(lambda c: c.execute(query).first())
        return _run_of(row) if row else None

    async def runs(self, wanted: RunFilter = RunFilter()) -> list[RunRow]:  # noqa: B008 – frozen
        """The newest runs that a filter lets through."""
        query = select(runs).order_by(runs.c.created_at.desc(), runs.c.run_id.desc())
        for name in ("task_id", "task_type", "config_digest", "trial_id", "proposal_id", "status"):
            if (value := getattr(wanted, name)) is not None:
                query = query.where(runs.c[name] == value)
        rows = await self._database.read(lambda c: c.execute(query.limit(wanted.limit)).all())
        return [_run_of(row) for row in rows]

    async def parts(self, run_id: str) -> RunParts:
        """What a run made until now."""

        def read(connection: Any) -> tuple[Any, Any, Any]:
            return (
                connection.execute(
                    select(tests.c.body).where(tests.c.run_id == run_id).order_by(tests.c.test_id)
                ).all(),
                connection.execute(
                    select(results)
                    .where(results.c.run_id == run_id)
                    .order_by(results.c.created_at, results.c.test_id, results.c.ordinal)
                ).all(),
                connection.execute(select(matrices).where(matrices.c.run_id == run_id)).first(),
            )

        made, ran, matrix = await self._database.read(read)
        return RunParts(
            tests=tuple(from_json(GeneratedTest, row.body) for row in made),
            results=tuple(_plain(ResultRow, row) for row in ran),
            requirements=_list(Requirement, matrix.requirements) if matrix else (),
            matrix=_matrix_of(matrix) if matrix else Matrix(),
        )

    async def config(self, called: str) -> ConfigRow:
        """A config by its digest or the beginning of it. Raises ConfigError."""
        query = select(configs).where(configs.c.digest.startswith(called, autoescape=True))
        rows = await self._database.read(lambda c: c.execute(query.limit(2)).all())
        if len(rows) != 1 or not called:
            what = "more than one config begins with" if rows and called else "there is no config"
            raise ConfigError(
                f"testgen: {what} {called}", remedy="see `mechagym testgen config list`"
            )
        return _config_of(rows[0])

    async def current_config(self) -> ConfigRow | None:
        """The one that runs use where nothing else is asked for; None: the shipped one."""
        query = select(configs).where(configs.c.is_current)
        row = await self._database.read(lambda c: c.execute(query).first())
        return _config_of(row) if row else None

    async def configs(self) -> list[ConfigRow]:
        """All, newest first."""
        query = select(configs).order_by(configs.c.created_at.desc(), configs.c.digest)
        rows = await self._database.read(lambda c: c.execute(query).all())
        return [_config_of(row) for row in rows]

    async def best_configs(self) -> list[BestRow]:
        """The best one of each type of tasks that has one."""
        query = select(best_configs).order_by(best_configs.c.task_type)
        rows = await self._database.read(lambda c: c.execute(query).all())
        return [_plain(BestRow, row) for row in rows]

    async def evolution(self) -> list[EvolutionRow]:
        """All proposals, oldest first."""
        query = select(evolution).order_by(evolution.c.created_at, evolution.c.id)
        rows = await self._database.read(lambda c: c.execute(query).all())
        return [_evolution_of(row) for row in rows]

    async def calibration(self, config_digest: str | None = None) -> list[CalibrationRow]:
        """Counts of all jobs, of one config or of every one."""
        query = select(calibration).order_by(*calibration.primary_key.columns)
        if config_digest is not None:
            query = query.where(calibration.c.config_digest == config_digest)
        rows = await self._database.read(lambda c: c.execute(query).all())
        return [_plain(CalibrationRow, row) for row in rows]

    async def rebuild(self) -> None:
        """Make all rows anew from the events; a difference afterwards would be a bug."""
        blobs = self._database.blobs
        await self._database.write(lambda c: testgen_folds.rebuild(c, blobs))


def _plain(shape: type[RowT], row: Row[Any], **read: object) -> RowT:
    names = shape.__dataclass_fields__  # type: ignore[attr-defined]
    return shape(**{name: read.get(name, getattr(row, name, None)) for name in names})


def _run_of(row: Row[Any]) -> RunRow:
    return _plain(
        RunRow,
        row,
        notes=tuple(json.loads(row.notes)),
        metrics={name: getattr(row, name) for name in METRICS},
        shares=dict(json.loads(row.shares) or {}),
    )


def _config_of(row: Row[Any]) -> ConfigRow:
    return _plain(ConfigRow, row, body=json.loads(row.body))


def _evolution_of(row: Row[Any]) -> EvolutionRow:
    changes, clamps = json.loads(row.changes), tuple(json.loads(row.clamps))
    return _plain(EvolutionRow, row, changes=changes, clamps=clamps)


def _matrix_of(row: Row[Any]) -> Matrix:
    return Matrix(
        entities=_list(Entity, row.entities),
        constraints=_list(Constraint, row.constraints),
        ticks=_list(Tick, row.ticks),
    )


def _list(shape: type[ItemT], text: str) -> tuple[ItemT, ...]:
    found: tuple[ItemT, ...] = adapter(tuple[shape, ...]).validate_json(text)  # type: ignore[valid-type]
    return found
