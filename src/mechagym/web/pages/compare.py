"""Two sides set against each other: the same numbers as `mechagym jobs compare`."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from mechagym.cli.compare import of_one
from mechagym.errors import ConfigError
from mechagym.records import Json, TrialRecord
from mechagym.run.compare import Comparison, Row, compare, name_of
from mechagym.run.statistics import SEED
from mechagym.store import JobRow
from mechagym.store.views.paired import JobRecords, paired
from mechagym.web.desk import At
from mechagym.web.pages.frame import UNKNOWN, page

router = APIRouter()

Called = Annotated[str, Query(max_length=300)]
OWN = frozenset({"name", "out_dir"})
"""What every job has of its own: no difference between two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A task with the trials of both sides."""

    row: Row
    a: tuple[TrialRecord, ...]
    b: tuple[TrialRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Differing:
    """A field of the frozen configs in which the two differ."""

    field: str
    a: str
    b: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareModel:
    """What the page shows. `found` None: nothing was asked, or `why` it cannot be."""

    a: str
    b: str
    newest: tuple[str, ...]
    why: str = ""
    jobs: tuple[JobRow, ...] = ()
    found: Comparison | None = None
    lines: tuple[Line, ...] = ()
    differing: tuple[Differing, ...] = ()
    seed: int = SEED

    @property
    def verdict(self) -> str:
        """What the interval says, if anything: one without width saw no spread and claims
        certainty.
        """
        if self.found is None or self.found.difference is None:
            return "no task is graded on both sides"
        low, high = self.found.difference.interval
        if low == high:
            return "not enough data: no spread among the tasks"
        if low <= 0 <= high:
            return "could be chance"
        return "B is better" if low > 0 else "A is better"


@router.get("/compare")
async def show_comparison(
    request: Request, desk: At, a: Called = "", b: Called = ""
) -> HTMLResponse:
    """Two jobs, or `JOB:AGENT[:MODEL]` where a job has more than one."""
    found = await desk.store.ask(paired, [side.partition(":")[0] for side in (a, b)])
    model = CompareModel(a=a, b=b, newest=found.newest)
    if a and b:
        try:
            model = await anyio.to_thread.run_sync(_compared, model, found.sides)  # it resamples
        except ConfigError as error:
            model = replace(model, why=_told(error))
    return await page(request, desk, "compare.html", model=model)


def _compared(model: CompareModel, sides: Sequence[JobRecords | None]) -> CompareModel:
    """Raises ConfigError where the two cannot be compared."""
    jobs, chosen = [], []
    for called, side in zip((model.a, model.b), sides, strict=True):
        if side is None:
            raise ConfigError(f"no job is called {called!r}")
        jobs.append(side.job)
        chosen.append(of_one(side.job.name, side.records, called))
    left, right = chosen
    found = compare(left, right)
    return replace(
        model,
        found=found,
        jobs=tuple(jobs),
        differing=tuple(_differing(*(json.loads(job.config) for job in jobs))),
        lines=tuple(
            Line(row=row, a=_of(left, row.task), b=_of(right, row.task)) for row in found.rows
        ),
    )


def _of(records: Iterable[TrialRecord], task: str) -> tuple[TrialRecord, ...]:
    return tuple(each for each in records if each.tries and name_of(each.key) == task)


def _differing(a: Json, b: Json, field: str = "") -> Iterable[Differing]:
    """Field by field, those within fields too."""
    if isinstance(a, dict) and isinstance(b, dict):
        for name in sorted((a.keys() | b.keys()) - (frozenset() if field else OWN)):
            yield from _differing(a.get(name), b.get(name), f"{field}.{name}".strip("."))
    elif a != b:
        yield Differing(field=field, a=_words(a), b=_words(b))


def _words(value: Json) -> str:
    """Nothing and none are a dash; lists of words are without quotes."""
    match value:
        case str():
            return value
        case None | [] | ():
            return UNKNOWN
        case list() if all(isinstance(each, str) for each in value):
            return ", ".join(map(str, value))
        case _:
            return json.dumps(value, ensure_ascii=False)


def _told(error: ConfigError) -> str:
    return f"{error.message} ({error.remedy})" if error.remedy else error.message
