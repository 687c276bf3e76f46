"""How much a run may make and spend: presets of the caller, and the config within them.

Limits belong to the caller and do not evolve; where config and limit differ the smaller holds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mechagym.budget import Budget
from mechagym.errors import ConfigError
from mechagym.records.testgen import CATEGORIES, Category, GenerationContext
from mechagym.testgen.types import GenerationLimits, TestGenConfig

Preset = Literal["full", "map", "quick"]

PRESETS: Mapping[Preset, GenerationLimits] = {
    "full": GenerationLimits(
        category_min=2,
        category_target=5,
        rounds_per_category=3,
        rounds=12,
        refinements=2,
        tests_min=15,
        tests_target=30,
        tests_max=40,
        tokens=100_000,
        seconds=180.0,
        usd=0.50,
    ),
    "map": GenerationLimits(
        category_min=1,
        category_target=3,
        rounds_per_category=2,
        rounds=8,
        refinements=0,
        tests_min=5,
        tests_target=12,
        tests_max=20,
        tokens=30_000,
        seconds=120.0,
        usd=0.15,
    ),
    "quick": GenerationLimits(
        category_min=1,
        category_target=4,
        rounds_per_category=2,
        rounds=8,
        refinements=1,
        tests_min=5,
        tests_target=20,
        tests_max=25,
        tokens=40_000,
        seconds=120.0,
        usd=0.20,
    ),
}
_OF_CONTEXT: Mapping[GenerationContext, tuple[Category, ...]] = {
    "benchmark": CATEGORIES,
    "interactive": ("existence", "correctness", "boundary"),
    "build": ("correctness", "boundary"),
    "custom": ("correctness",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What holds for one run: limits and config together, and its categories in order."""

    categories: tuple[Category, ...]
    category_min: int
    category_target: int
    rounds_per_category: int
    limits: GenerationLimits

    @property
    def budget(self) -> Budget:
        """What its meter is limited to."""
        limits = self.limits
        return Budget(tokens=limits.tokens, seconds=limits.seconds, usd=limits.usd)


def preset(name: str) -> GenerationLimits:
    """The limits of a preset. Raises ConfigError, naming those there are."""
    for known, limits in PRESETS.items():
        if known == name:
            return limits
    raise ConfigError(f"testgen: no preset {name!r}", remedy=f"one of {', '.join(PRESETS)}")


def categories_of(
    context: str, config: TestGenConfig, asked: Sequence[str] = ()
) -> tuple[Category, ...]:
    """The categories of a context in the config's order. Raises ConfigError.

    `asked` is for `custom`, which is correctness alone where nothing is asked for.
    """
    if unknown := sorted(set(asked) - set(CATEGORIES)):
        raise ConfigError(
            f"testgen: no category {', '.join(unknown)}", remedy=f"some of {', '.join(CATEGORIES)}"
        )
    if asked and context != "custom":
        raise ConfigError("testgen: categories are chosen in the context custom only")
    for known, categories in _OF_CONTEXT.items():
        if known == context:
            wanted = set(asked) or set(categories)
            return tuple(name for name in config.category_order if name in wanted)
    raise ConfigError(f"testgen: no context {context!r}", remedy=f"one of {', '.join(_OF_CONTEXT)}")


def quota(
    config: TestGenConfig, limits: GenerationLimits, categories: tuple[Category, ...]
) -> Quota:
    """What holds for a run. Raises ConfigError where the limits cannot be met at all."""
    if limits.rounds < len(categories):
        raise ConfigError(
            f"testgen: {limits.rounds} rounds are too few for {len(categories)} categories",
            remedy="allow as many rounds as there are categories",
        )
    if not 0 < limits.category_min <= limits.category_target or limits.tests_max < limits.tests_min:
        raise ConfigError("testgen: the limits of tests contradict each other")
    target = min(config.max_tests, limits.category_target)
    return Quota(
        categories=categories,
        category_min=min(config.min_tests, limits.category_min, target),
        category_target=target,
        rounds_per_category=min(config.max_rounds, limits.rounds_per_category),
        limits=limits,
    )


def within(limits: GenerationLimits, *, seconds: float, suite_timeout_s: float) -> GenerationLimits:
    """The same in less time, where a caller has less."""
    return replace(
        limits,
        seconds=min(limits.seconds, seconds),
        suite_timeout_s=min(limits.suite_timeout_s, suite_timeout_s),
    )
