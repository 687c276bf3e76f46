"""Splitting the instruction: requirements with quotes, entities by constraints, and what is left.

What a model claims stands only with a quote that occurs. Sentences that demand something and that
no quote covers are listed back to it, once.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from mechagym.records.testgen import (
    Constraint,
    Entity,
    Matrix,
    ProhibitedTool,
    Requirement,
    RequirementKind,
    Tick,
)
from mechagym.testgen.asking import Unusable, Voice, ask_typed
from mechagym.testgen.prohibited import sentences
from mechagym.testgen.prompts import ANALYST, analysis_prompt, uncovered_prompt
from mechagym.testgen.proposals import occurs
from mechagym.testgen.types import GenerationInput

_DEMANDS = re.compile(
    r"\b(?:must|should|shall|exactly|only|at\s+least|at\s+most|not|never|no|cannot)\b|n't\b"
    r"|(?<![\w.])/[\w.-]+/[\w./-]+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidRequirement:
    """A requirement as a model names it."""

    id: str
    quote: str
    kind: RequirementKind = "function"


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidThing:
    """An entity or a constraint as a model names it."""

    id: str
    name: str
    quote: str
    requirement_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidTick:
    """A constraint that holds for an entity."""

    entity_id: str
    constraint_id: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidTool:
    """A tool that the solution may not use."""

    name: str
    quote: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The instruction, taken apart by a model."""

    requirements: tuple[SaidRequirement, ...]
    entities: tuple[SaidThing, ...] = ()
    constraints: tuple[SaidThing, ...] = ()
    ticks: tuple[SaidTick, ...] = ()
    prohibited: tuple[SaidTool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MoreRequirements:
    """What a model finds in the sentences that were listed back to it."""

    requirements: tuple[SaidRequirement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What stands. `dropped` says of what did not occur; `note` why there is nothing at all."""

    requirements: tuple[Requirement, ...] = ()
    matrix: Matrix = field(default_factory=Matrix)
    prohibited: tuple[ProhibitedTool, ...] = ()
    uncovered: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    note: str = ""


async def analyse(voice: Voice, given: GenerationInput) -> Analysis:
    """Ask once, and once more for what is not covered. Raises ModelError, BudgetError."""
    split = await ask_typed(voice, ANALYST, analysis_prompt(given), Split)
    if isinstance(split, Unusable):
        return Analysis(note=f"the instruction was not split: {split.why}")
    found = check_split(split, given.instruction)
    if not found.uncovered:
        return found
    prompt = uncovered_prompt(given, found.requirements, found.uncovered)
    more = await ask_typed(voice, ANALYST, prompt, MoreRequirements)
    if isinstance(more, Unusable):
        return found
    added, dropped = _requirements(more.requirements, given.instruction, found.requirements)
    return replace(
        found,
        requirements=(*found.requirements, *added),
        dropped=(*found.dropped, *dropped),
        uncovered=uncovered(given.instruction, [*_quotes(found), *(r.quote for r in added)]),
    )


def check_split(split: Split, instruction: str) -> Analysis:
    """What of a split stands: quotes occur, ids are known, every tick has both its ends."""
    requirements, dropped = _requirements(split.requirements, instruction, ())
    known = {requirement.id for requirement in requirements}
    entities = tuple(
        Entity(id=t.id, name=t.name, quote=t.quote, requirement_ids=_known(t, known))
        for t in _things(split.entities, "E", instruction, dropped)
    )
    constraints = tuple(
        Constraint(id=t.id, name=t.name, quote=t.quote, requirement_ids=_known(t, known))
        for t in _things(split.constraints, "C", instruction, dropped)
    )
    rows, columns = {e.id for e in entities}, {c.id for c in constraints}
    ticks = {
        (tick.entity_id, tick.constraint_id): tick.reason
        for tick in split.ticks
        if tick.entity_id in rows and tick.constraint_id in columns
    }
    found = Analysis(
        requirements=tuple(requirements),
        matrix=Matrix(
            entities=entities,
            constraints=constraints,
            ticks=tuple(
                Tick(entity_id=entity, constraint_id=constraint, reason=reason)
                for (entity, constraint), reason in sorted(ticks.items())
            ),
        ),
        prohibited=tuple(
            ProhibitedTool(name=tool.name, reason=tool.reason, quote=tool.quote)
            for tool in split.prohibited
            if occurs(tool.quote, instruction)
        ),
        dropped=tuple(dropped),
    )
    return replace(found, uncovered=uncovered(instruction, _quotes(found)))


def uncovered(instruction: str, quotes: Iterable[str]) -> tuple[str, ...]:
    """The demanding sentences that no quote touches."""
    squeezed = [" ".join(quote.split()) for quote in quotes if quote.strip()]
    return tuple(
        sentence
        for sentence in sentences(instruction)
        if _DEMANDS.search(sentence)
        and not any(quote in sentence or sentence in quote for quote in squeezed)
    )


def _quotes(found: Analysis) -> list[str]:
    """Requirements alone cover: an entity only names."""
    return [requirement.quote for requirement in found.requirements]


def _requirements(
    said: Sequence[SaidRequirement], instruction: str, before: Sequence[Requirement]
) -> tuple[list[Requirement], list[str]]:
    """Those whose quotes occur, numbered on; and a word about the others."""
    taken = {requirement.id for requirement in before}
    kept: list[Requirement] = []
    dropped: list[str] = []
    for one in said:
        if not occurs(one.quote, instruction):
            dropped.append(f"{one.id}: its quote does not occur")
            continue
        id_ = one.id if re.fullmatch(r"R\d+", one.id) and one.id not in taken else _next(taken)
        taken.add(id_)
        kept.append(Requirement(id=id_, quote=" ".join(one.quote.split()), kind=one.kind))
    return kept, dropped


def _next(taken: set[str]) -> str:
    number = 1
    while f"R{number}" in taken:
        number += 1
    return f"R{number}"


def _things(
    said: Sequence[SaidThing], letter: str, instruction: str, dropped: list[str]
) -> list[SaidThing]:
    """Those with an id of the right form that is new, and a quote that occurs."""
    kept: dict[str, SaidThing] = {}
    for thing in said:
        if not re.fullmatch(rf"{letter}\d+", thing.id) or thing.id in kept:
            dropped.append(f"{thing.id}: no usable id")
        elif not occurs(thing.quote, instruction):
            dropped.append(f"{thing.id}: its quote does not occur")
        else:
            kept[thing.id] = thing
    return list(kept.values())


def _known(thing: SaidThing, known: set[str]) -> tuple[str, ...]:
    return tuple(name for name in thing.requirement_ids if name in known)
