"""Static files, read once and served under a folder whose name is the hash of them all.

So a browser may keep them for ever, a new version has other names, and scripts find each other by
relative paths.
"""

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from mechagym.web.problems import not_found

FOLDER = Path(__file__).parent / "static"
FOR_EVER = "public, max-age=31536000, immutable"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assets:
    """The files by name, and the name of the folder they are served in."""

    version: str
    bodies: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def load(cls, folder: Path = FOLDER) -> "Assets":
        """Read all files below a folder."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        bodies = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
        digest = hashlib.sha256()
        for name, data in bodies.items():
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
        return cls(version=digest.hexdigest()[:12], bodies=bodies)

    def url(self, name: str) -> str:
        """Where a page finds a file. Raises KeyError: a template names one that is not there."""
        if name not in self.bodies:
            raise KeyError(name)
        return f"/static/{self.version}/{name}"


router = APIRouter(include_in_schema=False)


@router.get("/static/{version}/{name:path}")
async def static_file(request: Request, version: str, name: str) -> Response:
    """A file, to be kept for ever."""
    assets: Assets = request.app.state.desk.assets
    if version != assets.version or name not in assets.bodies:
        raise not_found("file", name)
    suffix = Path(name).suffix
    kind = TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(assets.bodies[name], media_type=kind, headers={"cache-control": FOR_EVER})
