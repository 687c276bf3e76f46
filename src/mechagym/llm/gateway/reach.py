"""What of a request reaches out from the provider's side, and what of it our byte count misses.

Tools that the provider runs and sources that it fetches reach out; images cost more than their
bytes say; files kept by the provider, and documents, may be of any length.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mechagym.records import Json

CLIENT_TOOLS = ("custom", "function", "bash_", "text_editor_", "computer_", "memory_")
"""Tools that the caller runs, by their types; a type that begins with none of them is not known
to be, so it counts as the provider's own."""

CLIENT_ONLY = frozenset({"local_shell", "apply_patch", "computer", "tool_search", "namespace"})
SEARCHES = 20
"""How often a provider may search in one call where the request does not say."""

_OUTWARD = ("mcp_servers", "web_search_options", "plugins")
_STATE = ("previous_response_id", "conversation", "prompt", "container")
_WITHIN = ("messages", "input", "system", "content", "output", "instructions")
_IMAGES = frozenset({"image", "image_url", "input_image", "computer_screenshot"})
_DOCUMENTS = frozenset({"document", "file", "input_file", "input_audio", "item_reference"})
_FILES = ("file_id", "file_data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """`outward`: what reaches out, in a few words each. `stateful`: no bound but the window."""

    outward: tuple[str, ...] = ()
    images: int = 0
    searches: int = 0
    stateful: bool = False


def look_through(values: Mapping[str, Json]) -> Found:
    """Look at tools and at every block of content."""
    outward = [name for name in _OUTWARD if values.get(name)]
    searches = SEARCHES if values.get("web_search_options") else 0
    for tool in _served(values.get("tools")):
        outward.append(f"tool {tool.get('type')}")
        searches += _searches(tool)
    images, stateful = 0, any(values.get(name) for name in _STATE)
    for block in _blocks(values):
        if source := _outside(block):
            outward.append(f"source {source}")
        images += block.get("type") in _IMAGES
        stateful |= _unbounded(block)
    return Found(
        outward=tuple(dict.fromkeys(outward)), images=images, searches=searches, stateful=stateful
    )


def _served(tools: Json) -> Iterator[Mapping[str, Json]]:
    """The tools that the provider runs."""
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, Mapping):
            continue
        kind = tool.get("type", "custom")
        if kind == "shell":
            environment = tool.get("environment")
            if not isinstance(environment, Mapping) or environment.get("type") != "local":
                yield tool
        elif kind == "namespace":
            yield from _served(tool.get("tools"))
        elif not (isinstance(kind, str) and (kind in CLIENT_ONLY or kind.startswith(CLIENT_TOOLS))):
            yield tool


def _searches(tool: Mapping[str, Json]) -> int:
    if "search" not in str(tool.get("type")):
        return 0
    most = tool.get("max_uses")
    return most if type(most) is int and most > 0 else SEARCHES


def _blocks(values: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    """Every object that may be content; never what a tool was called with."""
    left: list[Json] = [values]
    while left:
        part = left.pop()
        if isinstance(part, list):
            left.extend(p for p in part if isinstance(p, list | Mapping))
        elif isinstance(part, Mapping):
            if part is not values:
                yield part
            if part.get("type") not in ("tool_use", "server_tool_use"):
                left.extend(part[n] for n in _WITHIN if isinstance(part.get(n), list | Mapping))


def _outside(block: Mapping[str, Json]) -> str | None:
    """The URL that a provider would fetch for a block, if any."""
    source, image = block.get("source"), block.get("image_url")
    if isinstance(source, Mapping) and source.get("type") == "url":
        return str(source.get("url"))
    if isinstance(image, Mapping):
        image = image.get("url")
    for url in (image, block.get("file_url")):
        if isinstance(url, str) and not url.startswith("data:"):
            return url
    return None


def _unbounded(block: Mapping[str, Json]) -> bool:
    source = block.get("source")
    if isinstance(source, Mapping) and source.get("type") in ("text", "content"):
        return False  # its bytes say how much it is
    kept = isinstance(source, Mapping) and source.get("type") == "file"
    return kept or block.get("type") in _DOCUMENTS or any(block.get(name) for name in _FILES)
