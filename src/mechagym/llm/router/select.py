"""The one order in which a model is chosen: a pure function of the request and of what is known.

Rules 1 to 4, the first that has something to say, give a chain and a place in it: an override, a
high risk's fixed models, the category's policy, the complexity's chain and those above it. Then
always: a provider that cannot be used gives way to the fallbacks, except where only equals may
stand in; and context, abilities and a known price must suffice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mechagym.errors import ModelError, PriceUnknown
from mechagym.llm.admission import Admission
from mechagym.llm.names import ModelName
from mechagym.llm.price_table import PriceTable
from mechagym.llm.router.file import Category, Chain, Complexity, ModelsFile, Quota, Role, RoleTable
from mechagym.llm.router.selection import (
    ModelSelection,
    SelectionRequest,
    Skipped,
    TokensUsed,
)

_UPWARDS: tuple[Complexity, ...] = ("low", "medium", "high")
_STAND_IN: Role = "auditor"
"""Whose chain a role takes that a table does not name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What a rule gave: its chain and the place in it where to begin.

    `equals`: only the chain's own models may stand in, and the quota does not bind.
    """

    rule: str
    why: str
    chain: Chain
    index: int = 0
    equals: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSelector:
    """Chooses models. All that a choice depends on stands here, so the same request, asked of the
    same selector, has the same answer.

    `overrides` by role; the key `*` is for all others. `disabled` are providers by name.
    """

    file: ModelsFile
    admission: Admission
    prices: PriceTable
    at: datetime
    overrides: Mapping[str, ModelName] = field(default_factory=dict)
    used: Mapping[str, TokensUsed] = field(default_factory=dict)
    disabled: frozenset[str] = frozenset()

    def select(self, request: SelectionRequest) -> ModelSelection:
        """Choose a model.

        Raises ModelError: `provider_down` where only equals may stand in and none can be used,
        `no_model` where nothing is left. Raises ConfigError for a file that names no model.
        """
        way = self._way(request)
        fallbacks = [] if way.equals else self._fallbacks(request)
        queue = [*self._names(way.chain[way.index :]), *fallbacks]
        skipped: dict[ModelName, str] = {}
        down = False
        while queue:
            name = queue.pop(0)
            if name in skipped:
                continue
            if why := self._unusable(name, ignore_quota=way.equals):
                queue, down = (queue if way.equals else fallbacks), True
            elif (why := self._lacking(name, request)) is None:
                return self._chosen(name, way, request, skipped=skipped)
            skipped[name] = why
        raise _none_left(request, way, skipped, paused=way.equals and down)

    def _way(self, request: SelectionRequest) -> Way:
        """Rules 1 to 4."""
        category = self.file.categories.get(request.category, Category())
        override = self.overrides.get(request.role) or self.overrides.get("*")
        if override is not None:
            return Way(rule="override", why="it was asked for by name", chain=(str(override),))
        if request.high_risk:
            chain = category.roles.get(request.role) or _of_role(self.file.high_risk, request.role)
            why = f"{request.category} is of high risk, whose models are fixed"
            return Way(rule="high_risk", why=why, chain=chain, equals=True)
        chain = category.roles.get(request.role, ())
        if category.policy and chain:
            return _by_policy(category, chain, request)
        return self._by_complexity(request, equals=category.never_fallback)

    def _by_complexity(self, request: SelectionRequest, *, equals: bool) -> Way:
        levels = _UPWARDS[_UPWARDS.index(request.complexity) :]
        tables = [self.file.complexity.get(level, {}) for level in levels]
        texts = [text for table in tables for text in _of_role(table, request.role)]
        chain = tuple(dict.fromkeys(texts))
        index = _clamped(request.attempt, chain)
        why = f"attempt {request.attempt} of {request.complexity} complexity"
        return Way(rule="complexity", why=why, chain=chain, index=index, equals=equals)

    def _fallbacks(self, request: SelectionRequest) -> list[ModelName]:
        fallback = self.file.fallback
        return self._names(fallback.categories.get(request.category) or fallback.default)

    def _names(self, texts: Chain) -> list[ModelName]:
        return list(dict.fromkeys(self.admission.read(text) for text in texts))

    def _unusable(self, name: ModelName, *, ignore_quota: bool) -> str | None:
        """Rule 5: why its provider cannot be used now."""
        provider = name.provider
        quota = self.file.providers.get(provider, Quota())
        if provider in self.disabled or not quota.enabled:
            return f"{provider} is disabled"
        return None if ignore_quota else self._over(provider, quota)

    def _over(self, provider: str, quota: Quota) -> str | None:
        used = self.used.get(provider, TokensUsed())
        for span, spent, limit in (
            ("weekly", used.weekly, quota.weekly_tokens),
            ("daily", used.daily, quota.daily_tokens),
        ):
            if limit is not None and spent > quota.soft_ratio * limit:
                return f"{provider} is over {quota.soft_ratio:.0%} of its {span} tokens"
        return None

    def _lacking(self, name: ModelName, request: SelectionRequest) -> str | None:
        """Rule 6: what it does not have. What nobody knows of it is not held against it."""
        if name.provider in request.excluded_providers or str(name) in request.excluded_models:
            return "excluded"
        info = self.admission.catalogue.find(name)
        if info.retires_at is not None and info.retires_at <= self.at.date():
            return f"retired on {info.retires_at}"
        own = self.file.limits.get(str(name))
        window = (own and own.context_tokens) or info.context_window
        if window is not None and window < request.context_tokens:
            return f"its context of {window} tokens is too small for {request.context_tokens}"
        lacks = sorted(a for a in request.abilities if info.abilities.get(a) is False)
        if lacks:
            return f"it has no {', '.join(lacks)}"
        try:
            self.prices.find(name, self.at)
        except PriceUnknown:
            return "its price is unknown"
        return None

    def _chosen(
        self,
        name: ModelName,
        way: Way,
        request: SelectionRequest,
        *,
        skipped: Mapping[ModelName, str],
    ) -> ModelSelection:
        own = self.file.limits.get(str(name))
        info = self.admission.catalogue.find(name)
        quota = self.file.providers.get(name.provider, Quota())
        over = self._over(name.provider, quota) if way.equals else None
        instead = f"; {len(skipped)} before it could not be used" if skipped else ""
        return ModelSelection(
            role=request.role,
            model=name,
            rule=way.rule,
            rationale=f"{way.why}{instead}.",
            attempt=request.attempt,
            chain=way.chain,
            index=way.index,
            high_risk=request.high_risk,
            price=self.prices.find(name, self.at),
            models_sha256=self.file.sha256,
            skipped=tuple(Skipped(model=str(name), why=why) for name, why in skipped.items()),
            warnings=(f"{over}, but only equals may stand in",) if over else (),
            max_output_tokens=(own and own.max_output_tokens) or info.max_output,
            temperature=self.file.temperature.get(request.role),
        )


def _by_policy(category: Category, chain: Chain, request: SelectionRequest) -> Way:
    """Rule 3: which place of its chain a category's policy gives an attempt."""
    match category.policy:
        case "cheap_first":
            steps = request.attempt
        case "progressive":
            steps = max(0, request.attempt + 1 - category.escalate_after)
        case _:
            steps = 0
    why = f"attempt {request.attempt} of {request.category}, {category.policy}"
    rule = f"category:{category.policy}"
    index = _clamped(steps, chain)
    return Way(rule=rule, why=why, chain=chain, index=index, equals=category.never_fallback)


def _of_role(table: RoleTable, role: Role) -> Chain:
    return table.get(role) or table.get(_STAND_IN, ())


def _clamped(index: int, chain: Chain) -> int:
    return max(0, min(index, len(chain) - 1))


def _none_left(
    request: SelectionRequest, way: Way, skipped: Mapping[ModelName, str], *, paused: bool
) -> ModelError:
    tried = "; ".join(f"{name}: {why}" for name, why in skipped.items())
    what = f"no model can be used as {request.role} for {request.category} ({way.rule})"
    return ModelError(
        f"{what}: {tried or 'models.yaml names none'}",
        remedy="change models.yaml, enable a provider, or name a model with --model",
        reason="provider_down" if paused else "no_model",
    )
