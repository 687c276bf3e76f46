"""What was spent, grouped as one wants to see it."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from mechagym.store.views import money
from mechagym.web.api import API
from mechagym.web.api.shapes import SpendOut, spend_out
from mechagym.web.desk import At

router = APIRouter(prefix=API, tags=["usage"])

Word = Annotated[str | None, Field(max_length=300)]
Time = Annotated[datetime | None, Field(description="RFC 3339; without a zone it is UTC.")]


class SpentOut(BaseModel):
    """The spending of one group."""

    name: str | None
    tries: int
    spend: SpendOut


class UsageQuery(BaseModel):
    """Whose spending, and grouped how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: money.Group = "model"
    since: Time = None
    until: Time = None
    job_id: Word = None
    model: Word = None
    agent: Word = None


@router.get("/usage")
async def read_usage(desk: At, query: Annotated[UsageQuery, Query()]) -> list[SpentOut]:
    """What tries that ended cost, the dearest group first."""
    wanted = money.SpendFilter(
        since=_zoned(query.since),
        until=_zoned(query.until),
        job_id=query.job_id,
        model=query.model,
        agent=query.agent,
    )
    found = await desk.store.ask(money.spend, query.group, wanted)
    return [SpentOut(name=s.name, tries=s.tries, spend=spend_out(s.spend)) for s in found]


def _zoned(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
