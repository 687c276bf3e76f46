"""The description of the API, with what holds for all routes: tokens, and the shape of errors."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from mechagym import __version__
from mechagym.web.problems import MEDIA_TYPE, Problem

REF = "#/components/schemas/{model}"
ALWAYS = (401, 403, 421, 422, 429, 500)
WHERE: dict[int, Callable[[str, str], bool]] = {
    404: lambda path, _method: "{" in path,
    409: lambda _path, method: method == "post",
    413: lambda _path, method: method == "post",
}
SAID = {
    401: "No token, or a wrong one.",
    403: "This token is for reading, or the request comes from another site.",
    404: "There is no such thing.",
    409: "The key was used for another request.",
    413: "The body is over 1 MB.",
    421: "This server does not answer to that host.",
    422: "The request is not understood: `errors` says where.",
    429: "Too many wrong tokens.",
    500: "A fault of ours; the log knows it by `error_id`.",
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The document; made once, as routes do not change."""
    if app.openapi_schema is None:
        document = get_openapi(
            title="mechagym",
            version=__version__,
            openapi_version="3.1.0",
            summary="Jobs, trials and tasks of a gym for coding agents.",
            routes=app.routes,
        )
        schemas = document["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schema = Problem.model_json_schema(ref_template=REF)
        schemas |= schema.pop("$defs", {})
        schemas["Problem"] = schema
        document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"bearer": []}]
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                operation["responses"] |= _problems(path, method)
        app.openapi_schema = document
    return app.openapi_schema


def _problems(path: str, method: str) -> dict[str, Any]:
    statuses = [*ALWAYS, *(status for status, has in WHERE.items() if has(path, method))]
    content = {MEDIA_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}}
    found: dict[str, Any] = {
        str(status): {"description": SAID[status], "content": content} for status in statuses
    }
    if method == "get" and not path.endswith("/stream"):
        found["304"] = {"description": "It is what `If-None-Match` names."}
    return found
