"""A typed answer is one, or says why not."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from mechagym.errors import ModelError
from mechagym.llm.ask import ask
from mechagym.llm.names import ModelName
from mechagym.llm.shapes import flat_schema
from mechagym.testing.provider import Turn
from tests.llm.parts import WIRES, bench, say

pytestmark = pytest.mark.anyio


class Step(BaseModel):
    """One thing to do."""

    note: str = ""
    verb: Literal["read", "write"]


class Plan(BaseModel):
    """What to do."""

    why: str | None = None
    steps: list[Step]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A value of our own style."""

    good: bool


GOOD = '{"steps": [{"verb": "read"}]}'


@pytest.mark.parametrize("wire", WIRES)
async def test_an_answer_has_its_shape_on_every_wire(wire: Any):
    async with bench(Turn(text=GOOD)) as b:
        plan = await ask(b.open(WIRES[wire]), say(), Plan)
        assert plan == Plan(steps=[Step(verb="read")])
        sent = b.double.works[0].body.decode()
        assert "steps" in sent
        assert b.is_even()


async def test_the_schema_goes_as_response_format_where_it_can():
    async with bench(Turn(text='{"good": true}')) as b:
        assert await ask(b.open(ModelName("fm", "local")), say(), Verdict) == Verdict(good=True)
        assert await ask(b.open(ModelName("vllm", "x")), say(), Verdict) == Verdict(good=True)
        strict, prompted = (asked.json for asked in b.double.works)
        assert strict["response_format"]["json_schema"]["schema"]["required"] == ["good"]
        assert prompted["response_format"] == {"type": "json_object"}
        assert "good" in str(prompted["messages"])


async def test_a_fence_around_it_is_no_fault():
    async with bench(Turn(text=f"```json\n{GOOD}\n```")) as b:
        assert (await ask(b.open(WIRES["anthropic"]), say(), Plan)).steps
        assert len(b.double.works) == 1


async def test_a_wrong_shape_gets_one_more_turn_with_what_is_wrong():
    async with bench([Turn(text='{"steps": [{"verb": "fly"}]}'), Turn(text=GOOD)]) as b:
        assert (await ask(b.open(WIRES["anthropic"]), say(), Plan)).steps
        told = b.double.works[1].body.decode()
        assert "steps.0.verb" in told
        assert "fly" in told, "its own reply stands in the history"


async def test_two_wrong_shapes_are_an_error():
    async with bench(Turn(text="I would rather not")) as b:
        with pytest.raises(ModelError, match="no Plan in two replies") as caught:
            await ask(b.open(WIRES["anthropic"]), say(), Plan)
        assert (caught.value.reason, len(b.double.works)) == ("wrong_shape", 2)
        assert b.is_even()


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("text", ['{"steps": [', GOOD])
async def test_a_reply_that_was_cut_off_says_so(wire: Any, text: str):
    async with bench(Turn(text=text, finish="length")) as b:
        with pytest.raises(ModelError) as caught:
            await ask(b.open(WIRES[wire]), say(), Plan)
        assert (caught.value.reason, len(b.double.works)) == ("truncated", 1)


def test_a_schema_is_flat_with_the_required_first():
    schema = flat_schema(Plan)
    assert list(schema["properties"]) == ["steps", "why"]
    step = schema["properties"]["steps"]["items"]
    assert list(step["properties"]) == ["verb", "note"]
    assert "$ref" not in str(schema)
    assert "$defs" not in schema


class Tree(BaseModel):
    """A shape that leads to itself."""

    leaf: str = ""
    inner: "list[Tree]" = []


def test_a_shape_that_leads_to_itself_keeps_its_reference():
    schema = flat_schema(Tree)
    assert schema["$defs"]["Tree"]["properties"]["inner"]["items"] == {"$ref": "#/$defs/Tree"}
