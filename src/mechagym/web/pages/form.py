"""What a form of a page says: its fields, strictly read, and the key that makes it one request."""

from typing import TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from mechagym.records import new_id
from mechagym.web.problems import Refused

T = TypeVar("T")


async def read_form(request: Request, shape: TypeAdapter[T]) -> tuple[T, str]:
    """The form and its key; a field left empty was not said. Raises Refused."""
    given = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
    key = given.pop("key", "")
    try:
        return shape.validate_python(given), key or new_id(16)
    except ValidationError as error:
        told = error.errors(include_url=False)[0]
        raise Refused(422, told["msg"], loc=".".join(map(str, told["loc"]))) from None
