"""Removing what dead owners left on an engine: only what carries our label."""

import json
import time
from contextlib import suppress
from typing import Any

import anyio

from mechagym.sandbox.base import ReapScope, Removed
from mechagym.sandbox.docker.engine import Engine, EngineError
from mechagym.sandbox.docker.images import Images
from mechagym.sandbox.docker.openings import Opening, Openings
from mechagym.sandbox.owner import MARK, describe, reapable

DELETE_S = 10.0
_OURS = {"filters": {"label": [f"{MARK}=1"]}}
_KIND = f"{MARK}.kind"

AWAITED_S = 10.0
"""So long after a box was begun its container may still come, though its owner is dead."""

_PAUSE_S = 0.2
_QUIET_LOOKS = 3


async def sweep(
    engine: Engine, images: Images, openings: Openings, *, scope: ReapScope
) -> list[Removed]:
    """Remove what is left, also what the engine is still making for the dead; then images."""
    removed = await _look(engine, scope)
    left = [] if scope.dry_run else openings.of_the_dead(scope)
    quiet = 0
    while left and (quiet < _QUIET_LOOKS or await _is_awaited(engine, left)):
        await anyio.sleep(_PAUSE_S)
        more = await _look(engine, scope)
        quiet = 0 if more else quiet + 1
        removed += more
    for opening in left:
        opening.path.unlink(missing_ok=True)
    if scope.images:
        removed += await _unused(images, scope)
    return removed


async def _is_awaited(engine: Engine, left: list[Opening]) -> bool:
    """Whether the engine may still make a container that it has not told of."""
    young = {opening.name: opening.at for opening in left if opening.age_s < AWAITED_S}
    if not young:
        return False
    params = {
        "since": f"{min(young.values()) - 1:.6f}",
        "until": f"{time.time():.6f}",
        "filters": {"type": ["container"], "event": ["create"]},
    }
    async with engine.stream("GET", "/events", params=params) as told:
        async for line in told.lines():
            young.pop(json.loads(line)["Actor"]["Attributes"]["name"], None)
    return bool(young)


async def _look(engine: Engine, scope: ReapScope) -> list[Removed]:
    """Remove in the order that frees the next: containers, networks, volumes, forks."""
    removed = []
    for row in await engine.call("GET", "/containers/json", params={"all": "1", **_OURS}):
        labels = row.get("Labels") or {}
        if reapable(labels, scope):
            path, params = f"/containers/{row['Id']}", {"force": "1", "v": "1"}
            if scope.dry_run or await _delete(engine, path, params):
                name = row["Names"][0].lstrip("/")
                removed.append(Removed(what="container", name=name, owner=describe(labels)))
    for row in await engine.call("GET", "/networks", params=_OURS):
        labels = row.get("Labels") or {}
        if reapable(labels, scope) and (
            scope.dry_run or await _delete(engine, f"/networks/{row['Id']}")
        ):
            removed.append(Removed(what="network", name=row["Name"], owner=describe(labels)))
    volumes = await engine.call("GET", "/volumes", params=_OURS)
    for row in volumes.get("Volumes") or ():
        labels = row.get("Labels") or {}
        if reapable(labels, scope) and (
            scope.dry_run or await _delete(engine, f"/volumes/{row['Name']}")
        ):
            removed.append(Removed(what="volume", name=row["Name"], owner=describe(labels)))
    return removed + await _forks(engine, scope)


async def _forks(engine: Engine, scope: ReapScope) -> list[Removed]:
    removed = []
    filters = {"dangling": ["true"], "label": [f"{MARK}=1", f"{_KIND}=fork"]}
    for row in await engine.call("GET", "/images/json", params={"filters": filters}):
        labels: dict[str, Any] = row.get("Labels") or {}
        if reapable(labels, scope):
            name = row["Id"].removeprefix("sha256:")[:12]
            if scope.dry_run or await _delete(engine, f"/images/{row['Id']}"):
                removed.append(Removed(what="image", name=name, owner=describe(labels)))
    return removed


async def _unused(images: Images, scope: ReapScope) -> list[Removed]:
    gone = await images.shelf.trim(
        scope.keep_bytes, older_than_s=scope.older_than_s or 0.0, dry_run=scope.dry_run
    )
    return [Removed(what="image", name=image.name, size_bytes=freed) for image, freed in gone]


async def _delete(engine: Engine, path: str, params: dict[str, str] | None = None) -> bool:
    """Delete; whether it is gone by our doing. What somebody else removes meanwhile is no error."""
    with suppress(EngineError), anyio.move_on_after(DELETE_S):  # an engine can hang on one of many
        await engine.call("DELETE", path, params=params)
        return True
    return False
