"""This host and this store: health, models, settings, and the ops that are about neither a job
nor a trial.
"""

from datetime import datetime
from typing import Annotated, Literal

import anyio.to_thread
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel

from mechagym import __version__
from mechagym.cli.model_list import ModelRow, Wanted, rows
from mechagym.store.views import health
from mechagym.web.api import API
from mechagym.web.api.asks import HostAsk, Key, keep
from mechagym.web.api.paging import After, Limit, ListOut, cursor, key_of
from mechagym.web.api.shapes import AskedOut, OpOut, op_out
from mechagym.web.desk import At
from mechagym.web.problems import not_found
from mechagym.web.saved import Effective, effective

router = APIRouter(prefix=API, tags=["host"])

OpId = Annotated[int, Path(ge=1, le=2**62)]


class StoreOut(BaseModel):
    """The database."""

    kind: str
    revision: str
    position: int
    newest_at: datetime | None
    size_bytes: int | None
    wal_bytes: int | None


class ProcessOut(BaseModel):
    """A process that works on the store."""

    role: Literal["job", "worker"]
    name: str
    pid: int
    host: str
    heartbeat_at: datetime | None
    alive: bool


class HealthOut(BaseModel):
    """How things stand. `behind`: events that are kept and were not told to streams yet."""

    version: str
    store: StoreOut
    behind: int
    processes: list[ProcessOut]
    ops: list[OpOut]


class ModelOut(BaseModel):
    """A model of the catalogue; prices are dollars for a million tokens."""

    id: str
    context: int | None
    max_output: int | None
    retires_at: str | None
    has_key: bool
    input_usd: str | None
    output_usd: str | None


class SettingOut(BaseModel):
    """A setting with the value that holds, and where it comes from.

    `hidden`: something was saved, and a higher source says otherwise.
    """

    key: str
    value: str | None
    source: str
    saved: str | None
    hidden: bool
    can_be_saved: bool


@router.get("/health")
async def read_health(desk: At) -> HealthOut:
    """The store, who works on it, and what waits."""
    store = await desk.store.ask(health.store_health)
    processes = await desk.store.ask(health.processes)
    return HealthOut(
        version=__version__,
        store=StoreOut.model_validate(store, from_attributes=True),
        behind=max(0, store.position - desk.feed.position),
        processes=[
            ProcessOut(
                role="job" if each.role == "job" else "worker",
                name=each.name,
                pid=each.owner.pid,
                host=each.owner.host,
                heartbeat_at=each.heartbeat_at,
                alive=each.alive,
            )
            for each in processes
        ],
        ops=[op_out(view) for view in await desk.store.ask(health.waiting_ops)],
    )


@router.get("/models")
async def list_models(
    desk: At,
    after: After = None,
    limit: Limit = 50,
    text: Annotated[str | None, Query(max_length=200, description="In its name.")] = None,
) -> ListOut[ModelOut]:
    """The catalogue of this host, by name."""
    wanted = Wanted(pattern=text.lower() if text else None, provider=None)
    found = await anyio.to_thread.run_sync(rows, desk.settings, wanted)
    key = key_of(after, str)
    named = sorted(((str(row.info.id), row) for row in found), key=lambda pair: pair[0])
    rest = [pair for pair in named if key is None or pair[0] > key[0]]
    more = len(rest) > limit
    return ListOut(
        items=[_model_out(name, row) for name, row in rest[:limit]],
        next=cursor((rest[limit - 1][0],)) if more else None,
    )


@router.get("/settings")
async def list_settings(desk: At) -> list[SettingOut]:
    """Every setting: what holds, and why."""
    saved = await desk.store.ask(health.settings)
    return [_setting_out(each) for each in effective(desk.settings, saved)]


@router.post("/ops", status_code=202)
async def ask_host(desk: At, ask: HostAsk, key: Key) -> AskedOut:
    """Save a setting, check providers, test a sandbox, or reap: a worker does it."""
    return await keep(desk, key, ask.op())


@router.get("/ops/{op_id}")
async def read_op(desk: At, op_id: OpId) -> OpOut:
    """How an op stands."""
    view = await desk.store.ask(health.op, op_id)
    if view is None:
        raise not_found("op", op_id)
    return op_out(view)


def _model_out(name: str, row: ModelRow) -> ModelOut:
    info, price = row.info, row.price
    return ModelOut(
        id=name,
        context=info.context_window,
        max_output=info.max_output,
        retires_at=info.retires_at.isoformat() if info.retires_at else None,
        has_key=row.has_key,
        input_usd=str(price.input.at(0)) if price else None,
        output_usd=str(price.output.at(0)) if price else None,
    )


def _setting_out(each: Effective) -> SettingOut:
    return SettingOut(
        key=each.key,
        value=each.value,
        source=each.source,
        saved=each.saved,
        hidden=each.hidden,
        can_be_saved=each.can_be_saved,
    )
