"""Static files, read once and served under names that hold the hash of their content.

So a browser may keep them for ever, and a new version is another name.
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
    """The files by their public names, and the public name of each."""

    bodies: Mapping[str, bytes] = field(repr=False)
    names: Mapping[str, str]

    @classmethod
    def load(cls, folder: Path = FOLDER) -> "Assets":
        """Read all files below a folder."""
        bodies, names = {}, {}
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".toml"):
            data = path.read_bytes()
            name = path.relative_to(folder).as_posix()
            stem, dot, suffix = name.rpartition(".")
            public = f"{stem}.{hashlib.sha256(data).hexdigest()[:12]}{dot}{suffix}"
            bodies[public], names[name] = data, public
        return cls(bodies=bodies, names=names)

    def url(self, name: str) -> str:
        """Where a page finds a file. Raises KeyError: a template names one that is not there."""
        return f"/static/{self.names[name]}"


router = APIRouter(include_in_schema=False)


@router.get("/static/{name:path}")
async def static_file(request: Request, name: str) -> Response:
    """A file, to be kept for ever."""
    assets: Assets = request.app.state.desk.assets
    if name not in assets.bodies:
        raise not_found("file", name)
    suffix = Path(name).suffix
    kind = TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(assets.bodies[name], media_type=kind, headers={"cache-control": FOR_EVER})
