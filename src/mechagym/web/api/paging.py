"""Lists in pages: opaque cursors, and a limit. What a request says beside that is refused."""

import base64
import binascii
import json
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field

from mechagym.store.views.paging import Key
from mechagym.web.api.openapi import describe
from mechagym.web.problems import Refused

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]
After = Annotated[
    str | None, Query(max_length=400, description="`next` of the page before; opaque.")
]


class Listing(BaseModel):
    """What every list may be asked: where to go on, and how many."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: Annotated[
        str | None, Field(max_length=400, description="`next` of the page before; opaque.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=500, description="How many at most.")] = 50


class ListOut(BaseModel, Generic[T]):
    """A page of a list. `next` null: this is the end."""

    items: list[T]
    next: str | None


def cursor(key: Key | None) -> str | None:
    """The keys of a row as an opaque word."""
    if key is None:
        return None
    text = json.dumps(key, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def key_of(after: str | None, *shape: type) -> Key | None:
    """The keys in a cursor. Raises Refused where it is none of this list."""
    if after is None:
        return None
    try:
        padded = after.encode("ascii") + b"=" * (-len(after) % 4)
        found: Any = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        found = None
    if not isinstance(found, list) or [type(each) for each in found] != list(shape):
        raise Refused(422, "this cursor is not one of this list", loc="after")
    if any(isinstance(each, int) and abs(each) > 2**62 for each in found):
        raise Refused(422, "this cursor is not one of this list", loc="after")
    return tuple(found)


async def only_known(request: Request) -> None:
    """Refuse parameters that the route does not have: they would have no effect."""
    operation = describe(request.app)["paths"][request.scope["route"].path]
    parameters = operation[request.method.lower()].get("parameters", ())
    known = {each["name"] for each in parameters if each["in"] == "query"}
    unknown = sorted(request.query_params.keys() - known - {"token"})
    if unknown:
        raise Refused(422, f"there is no parameter {unknown[0][:80]!r}", loc=unknown[0][:80])
