"""Server-sent events as bytes."""

import json

from mechagym.records import Json


def event(data: Json, name: str | None = None) -> bytes:
    """One event; text stays as it is, so that characters of several bytes really travel."""
    head = f"event: {name}\n" if name else ""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"{head}data: {text}\n\n".encode()
