"""What was spent, grouped as one wants to see it."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mechagym.store.views import money
from mechagym.web.api import API
from mechagym.web.api.shapes import SpendOut, spend_out
from mechagym.web.desk import At

router = APIRouter(prefix=API, tags=["usage"])

Word = Annotated[str | None, Field(max_length=300)]


def _zoned(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


Time = Annotated[
    datetime | None,
    AfterValidator(_zoned),
    Field(description="RFC 3339; without a zone it is UTC."),
]


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
    provider: Word = None

    def wanted(self) -> money.SpendFilter:
        """The same for the store."""
        return money.SpendFilter(**{n: getattr(self, n) for n in _FILTERS})


_FILTERS = tuple(money.SpendFilter.__dataclass_fields__)


@router.get("/usage")
async def read_usage(desk: At, query: Annotated[UsageQuery, Query()]) -> list[SpentOut]:
    """What tries that ended cost, the dearest group first."""
    found = await desk.store.ask(money.spend, query.group, query.wanted())
    return [SpentOut(name=s.name, tries=s.tries, spend=spend_out(s.spend)) for s in found]
