"""What every route works with: the store, the settings of this host, and the parts of this process.

A route that acts takes `May`: who may only read is answered before it runs.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from mechagym.config import Settings
from mechagym.store import Store
from mechagym.web.assets import Assets
from mechagym.web.evidence import Folders
from mechagym.web.feed import Feed


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The parts. `folders` are the only places from which files are shown."""

    store: Store
    settings: Settings
    feed: Feed
    folders: Folders
    assets: Assets


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


At = Annotated[Desk, Depends(_desk)]
"""How a route asks for the desk."""


def may_write(request: Request) -> bool:
    """Whether whoever asks may post ops: pages show buttons only then."""
    return bool(getattr(request.state, "may_write", False))
