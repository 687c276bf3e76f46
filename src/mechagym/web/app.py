"""The application: a table of routers, with the door around it."""

from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from mechagym.web import assets
from mechagym.web.access import Hosts, Tokens
from mechagym.web.api import API, host, jobs, stream, tasks, trials, usage
from mechagym.web.api.openapi import describe
from mechagym.web.api.paging import only_known
from mechagym.web.desk import Desk
from mechagym.web.etag import Etags
from mechagym.web.guard import Guard
from mechagym.web.pages import PAGES
from mechagym.web.problems import handle_problems

RESOURCES: tuple[APIRouter, ...] = (
    jobs.router,
    trials.router,
    tasks.router,
    usage.router,
    host.router,
    stream.router,
)
"""The JSON API, one router per resource. A page is added in `web/pages/__init__.py`."""


def make_app(desk: Desk, tokens: Tokens, hosts: Hosts, *, read_only: bool = False) -> ASGIApp:
    """The whole of it. The desk's parts are open as long as it is served."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.desk = desk
    handle_problems(app)
    for router in RESOURCES:
        app.include_router(router, dependencies=[Depends(only_known)])
    for router in (_own, assets.router, *PAGES):
        app.include_router(router, include_in_schema=False)
    return Guard(app=Etags(app), tokens=tokens, hosts=hosts, read_only=read_only)


_own = APIRouter()


@_own.get("/healthz")
async def healthz() -> Response:
    """That this process answers; nothing else is said without a token."""
    return JSONResponse({"status": "ok"})


@_own.get(f"{API}/openapi.json")
async def openapi_document(request: Request) -> Response:
    """The description of the API."""
    return JSONResponse(describe(request.app))
