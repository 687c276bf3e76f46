"""Our own page of the API: FastAPI's would load scripts from elsewhere."""

from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from mechagym.web.api.openapi import describe
from mechagym.web.desk import At
from mechagym.web.pages.frame import page

router = APIRouter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A route of the API."""

    method: str
    path: str
    summary: str


@router.get("/api")
async def api_page(request: Request, desk: At) -> HTMLResponse:
    """All routes, each with its first line."""
    found = [
        Operation(method=method.upper(), path=path, summary=operation.get("description", ""))
        for path, operations in describe(request.app)["paths"].items()
        for method, operation in operations.items()
    ]
    return await page(request, desk, "api.html", operations=found)
