"""What the gateway answers by itself: that it is there, and which models a trial may use."""

import json
from datetime import date

from mechagym.llm.catalogue import ModelInfo
from mechagym.llm.gateway.grants import Grant
from mechagym.llm.gateway.refusals import NO_MODEL, Refused
from mechagym.llm.gateway.routes import Route
from mechagym.llm.providers import Dialect
from mechagym.records import Json

EPOCH = date(1970, 1, 1)


def models_page(grant: Grant, route: Route) -> bytes:
    """The list of allowed models, or one of them, as the caller's SDK reads it. Raises Refused."""
    infos = grant.infos()
    shown = [_shown(info, route.dialect) for info in infos]
    wanted = route.ending.removeprefix("/")
    if wanted:
        one = next((s for i, s in zip(infos, shown, strict=True) if i.wire_name == wanted), None)
        if one is None:
            raise Refused(NO_MODEL, f"model {wanted!r} is not allowed in this trial")
        return json.dumps(one).encode()
    page: dict[str, Json] = {"data": shown}
    if route.dialect == "anthropic":
        ends = [shown[0]["id"], shown[-1]["id"]] if shown else [None, None]
        page |= {"has_more": False, "first_id": ends[0], "last_id": ends[1]}
    else:
        page["object"] = "list"
    return json.dumps(page).encode()


def _shown(info: ModelInfo, dialect: Dialect) -> dict[str, Json]:
    released = info.released_at
    if dialect != "anthropic":
        days = (released - EPOCH).days if released else 0
        named = {"id": info.wire_name, "object": "model", "owned_by": info.provider}
        return {**named, "created": days * 86_400}
    return {
        "type": "model",
        "id": info.wire_name,
        "display_name": info.wire_name,
        "created_at": f"{released or EPOCH}T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": info.context_window,
        "max_tokens": info.max_output,
    }
