"""Every field of a config acts: another value, and a run asks or goes another way."""

import json
from dataclasses import fields, replace
from functools import cache
from typing import Any

import anyio
import pytest
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel

from mechagym.budget import Meter
from mechagym.events import Emit, EventBody, TestgenComplete
from mechagym.llm.names import ModelName
from mechagym.records.testgen import CATEGORIES
from mechagym.testgen.limits import preset
from mechagym.testgen.loop import Means, Order, generate
from mechagym.testgen.types import GenerationInput, TestGenConfig, WriterRole
from mechagym.wiring.testgen import writers
from tests.actors import open_box
from tests.testgen.author import INSTRUCTION, answer

pytestmark = pytest.mark.must("testgen-22")

WIDE = replace(
    preset("full"),
    category_min=6,
    category_target=8,
    rounds_per_category=4,
    rounds=24,
    tests_min=1,
    refinements=1,
)
CHANGES: dict[str, Any] = {
    "temperature": 0.4,
    "max_tokens": 2048,
    "min_tests": 3,
    "max_tests": 3,
    "max_rounds": 2,
    "environment_weight": 0.01,
    "anti_cheat_weight": 0.2,
    "precision_weight": 0.1,
    "min_comprehensiveness": 5.0,
    "target_comprehensiveness": 6.0,
    "category_order": tuple(reversed(CATEGORIES)),
    "category_prompts": {**TestGenConfig().category_prompts, "correctness": "Be right."},
    "anti_cheat_prompt": "At least {count}, against {tools}.",
    "reflection_prompt": "What does {category} lack?",
    "assess_prompt": "How complete is it, from 1 to 10?",
    "primary_model": "anthropic:claude-haiku-4-5",
    "reflection_model": "anthropic:claude-haiku-4-5",
    "cross_check": True,
}


def test_every_field_is_on_the_table():
    assert CHANGES.keys() == {field.name for field in fields(TestGenConfig)}


@pytest.mark.parametrize("name", CHANGES)
def test_a_field_changes_what_is_asked_or_how_it_goes_on(name: str):
    changed = replace(TestGenConfig(), **{name: CHANGES[name]})
    assert went(changed) != unchanged()


def test_the_same_config_goes_the_same_way():
    assert went(TestGenConfig()) == unchanged()


@cache
def unchanged() -> list[str]:
    return went(TestGenConfig())


def went(config: TestGenConfig) -> list[str]:
    """Everything that a run asks, of whom and with which settings, and how it ends."""
    return anyio.run(_went, config)


async def _went(config: TestGenConfig) -> list[str]:
    told: list[str] = []

    def opened(name: ModelName, _meter: Meter, _emit: Emit) -> Model:
        def says(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            asked = info.model_request_parameters.output_object
            shape = (asked.name if asked else None) or "propose_tests"
            contents = [
                str(getattr(part, "content", ""))
                for message in messages
                if isinstance(message, ModelRequest)
                for part in message.parts
            ]
            told.append(f"{name} {shape} {info.model_settings} {contents}")
            if shape == "Reflection":  # gaps in one of the two categories, none in the other
                return said({"gaps": ["more"] if "anti_cheat" in contents[-1][-220:] else []})
            return reply(shape, messages, info)

        return FunctionModel(says, model_name=str(name))

    open_for = writers(opened, ModelName.of("fm:local"), config)

    def hear(body: EventBody) -> None:
        if isinstance(body, TestgenComplete):
            told.append(f"{body.status} {body.totals.stopped_by} {body.totals.refinements}")

    def open_writer(role: WriterRole, meter: Meter) -> Model:
        return open_for(role, meter, hear)

    means = Means(open_writer=open_writer, meter=Meter(), emit=hear)
    order = Order(context="custom", categories=("anti_cheat", "correctness"), run_id="tg-same")
    given = GenerationInput(instruction=INSTRUCTION, config=config, limits=WIDE)
    async with open_box("memory") as box:
        await generate(given, box, means, order)
    return told


def reply(shape: str, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """As the author, but rated 6 of 10, and with outputs that can be checked again."""
    match shape:
        case "Assessment":
            gap = {"category": "correctness", "text": "more"}
            return said({"comprehensiveness": 6.0, "gaps": [gap]})
        case "Expected":
            return said({"value": "hello"})
        case "propose_tests":
            made = answer(messages, info)
            [call] = made.tool_calls
            assert isinstance(call.args, dict)
            for test in call.args["tests"]:
                test["expected_output"] = "hello"
            return made
        case _:
            return answer(messages, info)


def said(value: dict[str, Any]) -> ModelResponse:
    return ModelResponse(parts=[TextPart(content=json.dumps(value))])
