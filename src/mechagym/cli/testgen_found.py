"""Runs of test generation by what a person calls them."""

from mechagym.cli.spelling import did_you_mean
from mechagym.errors import ConfigError
from mechagym.store import Store
from mechagym.store.testgen_rows import RunFilter, RunRow

LAST = "last"


async def find_run(store: Store, called: str) -> RunRow:
    """A run by its id, or `last`. Raises ConfigError with the nearest."""
    if called != LAST and (row := await store.testgen.run(called)):
        return row
    newest = await store.testgen.runs(RunFilter(limit=1 if called == LAST else 1000))
    if called == LAST and newest:
        return newest[0]
    raise ConfigError(
        f"testgen: there is no run {called}{did_you_mean(called, [r.run_id for r in newest])}",
        remedy="see `mechagym testgen list`",
    )
