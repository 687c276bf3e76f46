"""What a request asks for, as far as money and reach go: limits, images, tools, outside sources.

Only what stands in the request is looked at; a value of a wrong kind is refused rather than
guessed, since the provider may read it otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mechagym.llm.gateway.body import Body
from mechagym.llm.gateway.reach import Found, look_through
from mechagym.llm.gateway.refusals import INVALID, MODEL, PATH_CLOSED, Refused
from mechagym.llm.prices import variant_of
from mechagym.llm.providers import Dialect
from mechagym.records import Json

LIMITS: Mapping[Dialect, tuple[str, ...]] = {
    "anthropic": ("max_tokens",),
    "openai-chat": ("max_completion_tokens", "max_tokens"),
    "openai-responses": ("max_output_tokens",),
}
OTHER_MODELS = ("models", "fallbacks", "fallback_models")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A request, read. `limits` are the output limits that it names, by their names."""

    model: str
    stream: bool
    limits: Mapping[str, int]
    thinking_budget: int
    variant: str | None
    tells_usage: bool
    found: Found

    @property
    def limit(self) -> int | None:
        """The output limit that was asked for; the larger one of two."""
        return max(self.limits.values(), default=None)


def read_wanted(body: Body, dialect: Dialect) -> Wanted:
    """Read a request for a model's work. Raises Refused."""
    values = body.values
    _check(values)
    limits = {n: _count(values, n) for n in LIMITS[dialect] if values.get(n) is not None}
    options = _object(values, "stream_options")
    return Wanted(
        model=model_in(body),
        stream=_flag(values, "stream"),
        limits=limits,
        thinking_budget=_count(_object(values, "thinking"), "budget_tokens", least=0),
        variant=variant_of(values),
        tells_usage=dialect != "openai-chat" or options.get("include_usage") is True,
        found=look_through(values),
    )


def model_in(body: Body) -> str:
    """The model that is asked for. Raises Refused."""
    model = body.values.get("model")
    if not isinstance(model, str) or not model:
        raise Refused(INVALID, "the request names no model")
    return model


def _check(values: Mapping[str, Json]) -> None:
    """Refuse what would be paid for without being bounded."""
    if others := [name for name in OTHER_MODELS if values.get(name)]:
        raise Refused(MODEL, f"{others[0]}: another model than the one named may not answer")
    if _flag(values, "background"):
        raise Refused(PATH_CLOSED, "background runs are not allowed")
    if _count(values, "n", least=0) > 1:
        raise Refused(INVALID, "n: one answer per request")


def _flag(values: Mapping[str, Json], name: str) -> bool:
    value = values.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refused(INVALID, f"{name} must be true or false")
    return bool(value)


def _count(values: Mapping[str, Json], name: str, *, least: int = 1) -> int:
    value = values.get(name)
    if value is None:
        return 0
    if type(value) is not int or value < least:
        raise Refused(INVALID, f"{name} must be a whole number of at least {least}")
    return value


def _object(values: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    value = values.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise Refused(INVALID, f"{name} must be an object")
    return value or {}
