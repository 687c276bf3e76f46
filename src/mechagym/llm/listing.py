"""The lists of models that providers give, asked on demand and read as facts.

Each provider says what it likes: Anthropic limits and dates, OpenRouter and Google limits, OpenAI
dates alone. What one does not say stays unsaid. Asking for a list costs nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import httpx2

from mechagym.llm.credentials import Credential, key_header
from mechagym.llm.facts import Facts
from mechagym.llm.outgoing import CONNECT_S, Outgoing
from mechagym.llm.providers import Provider
from mechagym.records import Json

LIST_S = 20.0
MOST_PAGES = 50
ANTHROPIC_VERSION = "2023-06-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Where a list is asked for, and under which words its parts stand."""

    path: str
    query: Mapping[str, str]
    items: str
    more: str = ""
    """The field of the answer that names the next page, and the query that asks for it."""
    after: str = ""


_PAGES: Mapping[str, Page] = {
    "anthropic": Page(
        path="/v1/models", query={"limit": "1000"}, items="data", more="last_id", after="after_id"
    ),
    "openai": Page(path="/models", query={}, items="data"),
    "openrouter": Page(path="/models", query={}, items="data"),
    "google": Page(
        path="/v1beta/models",
        query={"pageSize": "1000"},
        items="models",
        more="nextPageToken",
        after="pageToken",
    ),
    "ollama": Page(path="/api/tags", query={}, items="models"),
}


async def fetch(
    provider: Provider, credential: Credential | None, outgoing: Outgoing
) -> dict[str, Facts]:
    """Ask a provider for its models: facts by the name on the wire. Raises as `entries_of`."""
    return facts_of(provider, await entries_of(provider, credential, outgoing))


def facts_of(provider: Provider, entries: Sequence[Json]) -> dict[str, Facts]:
    """What the entries of a list say, by the name on the wire."""
    return {name: facts for entry in entries for name, facts in _read(provider, entry)}


async def entries_of(
    provider: Provider, credential: Credential | None, outgoing: Outgoing
) -> list[Json]:
    """Ask a provider for its list, all pages of it.

    Raises httpx2.HTTPError where it cannot be reached or refuses, ValueError for what is no list.
    """
    page = _PAGES[provider.kind]
    base = provider.base_url or ""
    if provider.kind == "ollama":
        base = base.removesuffix("/v1")
    headers = dict(provider.headers)
    if provider.kind == "anthropic":
        headers["anthropic-version"] = ANTHROPIC_VERSION
    if credential is not None:
        name, value = key_header(provider.wire, credential)
        headers |= {name: value, **credential.headers}
    async with httpx2.AsyncClient(
        headers=headers,
        timeout=httpx2.Timeout(LIST_S, connect=CONNECT_S),
        proxy=outgoing.proxy_for(base),
        verify=outgoing.trust(),
        trust_env=False,
    ) as client:
        return await _entries(client, base + page.path, page)


async def _entries(client: httpx2.AsyncClient, url: str, page: Page) -> list[Json]:
    found: list[Json] = []
    query = dict(page.query)
    for _ in range(MOST_PAGES):
        answer = await client.get(url, params=query)
        answer.raise_for_status()
        body = answer.json()
        if not isinstance(body, dict) or not isinstance(body.get(page.items), list):
            raise ValueError(f"{url}: this is no list of models")  # noqa: TRY004 – what came
        found += body[page.items]
        following = body.get(page.more)
        if not following or body.get("has_more") is False:
            break
        query[page.after] = str(following)
    return found


def _read(provider: Provider, item: Json) -> Iterator[tuple[str, Facts]]:
    """One entry of a list; what is no entry gives nothing."""
    if not isinstance(item, dict):
        return
    name = str(item.get("id") or item.get("name") or "").removeprefix("models/")
    if name:
        yield name, _FACTS.get(provider.kind, _nothing)(item)


def _anthropic(item: Mapping[str, Json]) -> Facts:
    able = item.get("capabilities") or {}
    told = {
        ours: bool(able[theirs].get("supported"))
        for ours, theirs in (
            ("images", "image_input"),
            ("schema", "structured_outputs"),
            ("thinking", "thinking"),
        )
        if isinstance(able.get(theirs), dict)
    }
    return Facts.model_validate(
        {
            "context_window": _count(item.get("max_input_tokens")),
            "max_output": _count(item.get("max_tokens")),
            "released_at": _day(item.get("created_at")),
            "deprecated_at": _day(item.get("deprecated_at")),
            "retires_at": _day(item.get("retires_at")),
            "abilities": told or None,
        }
    )


def _openai(item: Mapping[str, Json]) -> Facts:
    """`max_model_len` is what vllm adds."""
    return Facts(
        context_window=_count(item.get("max_model_len")),
        released_at=_day(item.get("created")),
        retires_at=_day(item.get("shutdown_date")),
    )


def _openrouter(item: Mapping[str, Json]) -> Facts:
    top = item.get("top_provider") or {}
    return Facts(
        context_window=_count(item.get("context_length")),
        max_output=_count(top.get("max_completion_tokens")),
        released_at=_day(item.get("created")),
        retires_at=_day(item.get("expiration_date")),
    )


def _google(item: Mapping[str, Json]) -> Facts:
    thinks = item.get("thinking")
    return Facts(
        context_window=_count(item.get("inputTokenLimit")),
        max_output=_count(item.get("outputTokenLimit")),
        abilities={"thinking": thinks} if isinstance(thinks, bool) else None,
    )


def _nothing(item: Mapping[str, Json]) -> Facts:  # noqa: ARG001 – a tag says a name alone
    return Facts()


_FACTS = {
    "anthropic": _anthropic,
    "openai": _openai,
    "openrouter": _openrouter,
    "google": _google,
}


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _day(value: Json) -> date | None:
    """A day out of seconds or a text; the epoch stands for a day that nobody knows."""
    try:
        if isinstance(value, int):
            day = datetime.fromtimestamp(value, UTC).date()
        elif isinstance(value, str) and value:
            day = datetime.fromisoformat(value).date()
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return day if day.year > 1970 else None
