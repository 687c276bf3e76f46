"""The values of test generation that live in this process; what is kept is in `records.testgen`.

The blind rule: `GenerationInput` holds all that a prompt is made of. It has no field for a verdict,
a task's id, a dataset's name, a path of the host, tests, a solution or another trial.
"""

import hashlib
import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mechagym.budget import Meter
from mechagym.records import over_strings, to_json
from mechagym.records.survey import Survey
from mechagym.records.testgen import (
    CATEGORIES,
    Category,
    GeneratedTest,
    InputFact,
    Matrix,
    ProhibitedTool,
    Requirement,
    SuiteRunner,
    TestTotals,
)
from mechagym.testgen.texts import (
    ANTI_CHEAT_PROMPT,
    ASSESS_PROMPT,
    CATEGORY_PROMPTS,
    REFLECTION_PROMPT,
)

if TYPE_CHECKING:
    from pydantic_ai.models import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class TestGenConfig:
    """What a good suite is: all that may evolve, and four things that only a person sets.

    Ranges, steps and versions are `testgen.config`'s. A model None is the trial's own.
    """

    __test__ = False

    temperature: float = 0.3
    max_tokens: int = 4096
    min_tests: int = 2
    max_tests: int = 5
    max_rounds: int = 3
    environment_weight: float = 0.7
    anti_cheat_weight: float = 0.8
    precision_weight: float = 0.6
    min_comprehensiveness: float = 7.0
    target_comprehensiveness: float = 8.5
    category_order: tuple[Category, ...] = CATEGORIES
    category_prompts: dict[Category, str] = field(default_factory=lambda: dict(CATEGORY_PROMPTS))
    anti_cheat_prompt: str = ANTI_CHEAT_PROMPT
    reflection_prompt: str = REFLECTION_PROMPT
    assess_prompt: str = ASSESS_PROMPT
    primary_model: str | None = None
    reflection_model: str | None = None
    cross_check: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationLimits:
    """What the caller grants; where the config wants more, the smaller number holds."""

    category_min: int
    category_target: int
    rounds_per_category: int
    rounds: int
    refinements: int
    tests_min: int
    tests_target: int
    tests_max: int
    tokens: int
    seconds: float
    usd: float
    suite_timeout_s: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationInput:
    """All there is. `generate` surveys the box and opens the inputs where nobody has yet."""

    instruction: str
    config: TestGenConfig
    limits: GenerationLimits
    survey: Survey | None = None
    input_facts: tuple[InputFact, ...] = ()
    tests_so_far: tuple[GeneratedTest, ...] = ()
    reflections: tuple[str, ...] = ()


WriterRole = Literal["primary", "reflection"]
OpenWriter = Callable[[WriterRole, Meter], "Model"]
"""Opens the model that writes the tests, or the one that reflects on them, paid by the meter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSuite:
    """Frozen tests with the digest over their code and order; `tests` are valid or advisory."""

    __test__ = False

    digest: str
    tests: tuple[GeneratedTest, ...]
    runner: SuiteRunner
    survey_digest: str | None
    config_digest: str
    ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TestGenResult:
    """What a run gives. `tests` are all that were proposed, the rejected ones too."""

    __test__ = False

    run_id: str
    suite: TestSuite
    requirements: tuple[Requirement, ...]
    matrix: Matrix
    prohibited: tuple[ProhibitedTool, ...]
    tests: tuple[GeneratedTest, ...]
    totals: TestTotals


def digest_of(value: object) -> str:
    """SHA-256 of canonical JSON (sorted keys, no spaces, UTF-8 NFC) over all fields of a value."""
    plain = over_strings(
        json.loads(to_json(value)), lambda text: unicodedata.normalize("NFC", text)
    )
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
