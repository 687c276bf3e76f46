"""What went wrong, in one shape for all routes: `application/problem+json` (RFC 9457).

A person or a program learns what failed and what to do; a stack trace stays in our log, under the
`error_id` that the answer names.
"""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from mechagym.errors import BudgetError, ConfigError, JobLocked, MechagymError, TaskError
from mechagym.records import new_id

MEDIA_TYPE = "application/problem+json"

CODES = {
    400: "bad_request",
    401: "no_token",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    421: "misdirected",
    422: "invalid",
    429: "too_many",
}
CONFLICTS = frozenset({"key_reused", "job_exists", "job_locked"})
"""Reasons of our errors that mean: what is asked does not fit what is there."""

_log = logging.getLogger(__name__)


class Fault(BaseModel):
    """One thing that is wrong with a request: where, and what."""

    loc: list[str | int]
    msg: str


class Problem(BaseModel):
    """What failed. `code` is a stable word; `error_id` finds it in the log."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    code: str
    error_id: str
    errors: list[Fault] = []


class Refused(Exception):
    """A request that is answered with a problem; raised by routes."""

    def __init__(self, status: int, detail: str, *, code: str = "", loc: str = "") -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.code = code or CODES[status]
        self.errors = [Fault(loc=[loc], msg=detail)] if loc else []


def not_found(what: str, name: object) -> Refused:
    """There is no such thing."""
    return Refused(404, f"there is no {what} {str(name)[:200]!r}")


def problem_response(
    status: int, detail: str, *, path: str, code: str = "", errors: Sequence[Fault] = ()
) -> Response:
    """The answer that tells of a problem."""
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=path,
        code=code or CODES.get(status, "failed"),
        error_id=new_id(),
        errors=list(errors),
    )
    return JSONResponse(problem.model_dump(), status_code=status, media_type=MEDIA_TYPE)


def failure_response(error: BaseException, path: str) -> Response:
    """The answer for a fault of ours. What it was is logged, and not said."""
    answer = problem_response(500, "something failed here; the log knows it by its id", path=path)
    _log.error("%s: %s", path, answer.body.decode(), exc_info=error)  # type: ignore[union-attr]
    return answer


def handle_problems(app: FastAPI) -> None:
    """Have every failure of a route answered in the one shape."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(MechagymError, _ours)
    app.add_exception_handler(Exception, _unforeseen)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return problem_response(
        error.status,
        error.detail,
        path=request.url.path,
        code=error.code,
        errors=error.errors,
    )


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = problem_response(error.status_code, str(error.detail), path=request.url.path)
    answer.headers.update(error.headers or {})
    return answer


async def _unforeseen(request: Request, error: Exception) -> Response:
    return failure_response(error, request.url.path)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [_fault(each) for each in error.errors()]
    said = "; ".join(f"{'.'.join(map(str, f.loc))}: {f.msg}" for f in faults[:3])
    return problem_response(422, said or "invalid", path=request.url.path, errors=faults)


def _fault(told: Any) -> Fault:
    return Fault(loc=list(told["loc"]), msg=str(told["msg"])[:500])


async def _ours(request: Request, error: Exception) -> Response:
    """An error of ours: what the person can change is told, what only we can is logged."""
    assert isinstance(error, MechagymError)
    path = request.url.path
    told = f"{error.message}. {error.remedy}" if error.remedy else error.message
    if isinstance(error, JobLocked) or error.reason in CONFLICTS:
        return problem_response(409, told, path=path, code=error.reason)
    if error.reason == "job_unknown":
        return problem_response(404, error.message, path=path, code=error.reason)
    if isinstance(error, ConfigError | TaskError | BudgetError):
        return problem_response(422, told, path=path, code=error.reason)
    answer = problem_response(500, told, path=path, code=error.reason)
    _log.error("%s: %s", path, told, exc_info=error)
    return answer
