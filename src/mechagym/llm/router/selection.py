"""What is asked of the router, and what it answers."""

from dataclasses import dataclass

from mechagym.events import ModelSelected
from mechagym.llm.names import ModelName
from mechagym.llm.prices import Price
from mechagym.llm.router.file import Chain, Complexity, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionRequest:
    """What a model is wanted for. `attempt` is counted from the store, never from memory.

    `context_tokens` and `abilities` are what it must at least have.
    """

    role: Role
    category: str = "general"
    complexity: Complexity = "low"
    attempt: int = 0
    high_risk: bool = False
    excluded_models: frozenset[str] = frozenset()
    excluded_providers: frozenset[str] = frozenset()
    context_tokens: int = 0
    abilities: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A model that was passed over."""

    model: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSelection:
    """The choice, with all that it came from. `rationale` is one sentence."""

    role: Role
    model: ModelName
    rule: str
    rationale: str
    attempt: int
    chain: Chain
    index: int
    high_risk: bool
    price: Price
    models_sha256: str
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = ()
    max_output_tokens: int | None = None
    temperature: float | None = None

    def event(self) -> ModelSelected:
        """What is kept of it."""
        return ModelSelected(
            role=self.role,
            model=str(self.model),
            rule=self.rule,
            rationale=self.rationale,
            attempt=self.attempt,
            skipped=tuple(f"{skipped.model}: {skipped.why}" for skipped in self.skipped),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensUsed:
    """What of a provider's quota is used, from the rows that the Usage page shows."""

    daily: int = 0
    weekly: int = 0
