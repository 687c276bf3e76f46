"""Lists of test generation: runs, configs with what they are worth, best ones, calibration."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rich.text import Text

from mechagym.cli.terminal.figures import ago, money, share, tokens
from mechagym.cli.terminal.page import GREEN, RED, YELLOW, Column, Page
from mechagym.config import Settings
from mechagym.records import to_dict
from mechagym.store import Store
from mechagym.store.testgen_rows import BestRow, CalibrationRow, ConfigRow, RunFilter, RunRow
from mechagym.testgen.metrics import Rate

UNKNOWN = "unknown"
NOT_ENOUGH = "not enough data"
_ALL = 1_000_000


def runs_page(page: Page, rows: Sequence[RunRow]) -> None:
    """One line per run."""
    if not rows:
        page.note("no suite was made yet: see `mechagym testgen generate --help`")
        return
    columns = [Column(name="run"), Column(name="task", cut=True), Column(name="suite")]
    columns += [Column(name=n, align="right") for n in ("valid", "score", "cost", "made")]
    page.table(
        columns,
        [
            (
                row.run_id,
                row.task_id or "–",
                _state(row),
                f"{row.tests_valid}/{row.tests_total}",
                UNKNOWN if row.score is None else str(row.score),
                UNKNOWN if row.cost_usd is None else money(row.cost_usd),
                ago(row.created_at),
            )
            for row in rows
        ],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What the runs of a config came to; a mean is None where no run has a score."""

    digest: str
    version: str
    is_current: bool
    runs: int
    ready: int
    score: float | None
    tokens: float


async def show_stats(settings: Settings, as_json: bool) -> None:
    """Write configs with their runs, the best of each type, and rates with intervals."""
    async with Store.open(settings.store) as store:
        rows = await store.testgen.runs(RunFilter(limit=_ALL))
        worths = worths_of(await store.testgen.configs(), rows)
        best = await store.testgen.best_configs()
        counts = await store.testgen.calibration()
    page = Page(settings.terminal)
    if as_json:
        page.json(
            {
                "configs": [to_dict(worth) for worth in worths],
                "best": [to_dict(row) for row in best],
                "calibration": [_rate_json(*one) for one in pooled(counts)],
            }
        )
        return
    _worths(page, worths)
    _best(page, best)
    _rates(page, pooled(counts))


def worths_of(configs: Sequence[ConfigRow], rows: Sequence[RunRow]) -> list[Worth]:
    """Configs in their order, with what their ended runs came to."""
    by_config: dict[str, list[RunRow]] = defaultdict(list)
    for row in rows:
        if row.status != "running":
            by_config[row.config_digest].append(row)
    return [
        _worth(config, by_config[config.digest])
        for config in configs
        if by_config[config.digest] or config.is_current
    ]


def pooled(counts: Sequence[CalibrationRow]) -> list[tuple[str, str, str, Rate]]:
    """Counts of all jobs together: config, metric, category, rate."""
    sums: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in counts:
        both = sums[row.config_digest, row.metric, row.category]
        both[0] += row.successes
        both[1] += row.trials
    return [(*key, Rate(count=c, trials=n)) for key, (c, n) in sorted(sums.items())]


def _worth(config: ConfigRow, rows: Sequence[RunRow]) -> Worth:
    scores = [row.score for row in rows if row.score is not None]
    return Worth(
        digest=config.digest,
        version=config.version,
        is_current=config.is_current,
        runs=len(rows),
        ready=sum(row.ready for row in rows),
        score=fmean(scores) if scores else None,
        tokens=fmean(row.tokens for row in rows) if rows else 0.0,
    )


def _state(row: RunRow) -> Text:
    if row.status == "running":
        return Text("running", style=YELLOW)
    return Text("ready", style=GREEN) if row.ready else Text("not ready", style=RED)


def _worths(page: Page, worths: Sequence[Worth]) -> None:
    columns = [Column(name="config"), Column(name="version"), Column(name="")]
    columns += [Column(name=n, align="right") for n in ("runs", "ready", "score", "tokens")]
    rows = [
        (
            worth.digest[:16],
            worth.version,
            "current" if worth.is_current else "",
            str(worth.runs),
            str(worth.ready),
            UNKNOWN if worth.score is None else f"{worth.score:.0f}",
            tokens(round(worth.tokens)),
        )
        for worth in worths
    ]
    page.table(columns, rows)


def _best(page: Page, best: Sequence[BestRow]) -> None:
    if not best:
        return
    page.line()
    columns = [Column(name="best for"), Column(name="config"), Column(name="")]
    columns += [Column(name=n, align="right") for n in ("ready", "score")]
    rows = [
        (
            row.task_type,
            row.config_digest[:16],
            "by hand" if row.is_override else "",
            f"{row.pass_count}/{row.total_runs}",
            UNKNOWN if row.score is None else f"{row.score:.0f}",
        )
        for row in best
    ]
    page.table(columns, rows)


def _rates(page: Page, rates: Sequence[tuple[str, str, str, Rate]]) -> None:
    if not rates:
        return
    page.line()
    columns = [Column(name="config"), Column(name="rate"), Column(name="tests")]
    columns += [Column(name="share"), Column(name="n", align="right")]
    rows = [
        (digest[:16], metric.replace("_", "-"), category, rate_text(rate), str(rate.trials))
        for digest, metric, category, rate in rates
    ]
    page.table(columns, rows)


def rate_text(rate: Rate) -> str:
    """`0.08 [0.02, 0.26]`, or that there is not enough data."""
    return share(rate.value, rate.interval) if rate.enough else NOT_ENOUGH


def _rate_json(digest: str, metric: str, category: str, rate: Rate) -> dict[str, Any]:
    return {
        "config_digest": digest,
        "metric": metric,
        "category": category,
        "successes": rate.count,
        "trials": rate.trials,
        "rate": rate.value if rate.enough else None,
        "interval": rate.interval if rate.enough else None,
    }
