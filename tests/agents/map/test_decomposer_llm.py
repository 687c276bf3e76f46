"""A model's plan: checked, mended once, else the plan of the rules with the reason."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from mechagym.agents.map.decomposer_llm import LlmDecomposer
from mechagym.agents.map.types import TaskView
from mechagym.budget import Meter
from mechagym.errors import ModelError

if TYPE_CHECKING:
    from pydantic_ai.models import Model

TASK = TaskView(instruction="Write /srv/out.txt.", max_turns=20, workdir="/app", snapshot="Debian")


def part(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "name": name, "goal": f"Do {name}.", "max_turns": 5, **fields}


GOOD = [
    part("look"),
    part("do", depends_on=["look"], expected_artifacts=["/srv/out.txt", "x.py"], min_progress=1.0),
]


@dataclass
class Replies:
    """A model that gives these plans, one after the other, and what it was told."""

    plans: list[Any]
    told: list[str] = field(default_factory=list)

    async def answer(self, messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
        self.told.append(str(messages[-1]))
        plan = self.plans.pop(0)
        text = plan if isinstance(plan, str) else json.dumps({"parts": plan})
        return ModelResponse(parts=[TextPart(text)])

    def open(self, role: str, meter: Meter | None) -> "Model":
        assert role == "decomposer"
        assert meter is not None
        return FunctionModel(self.answer)


async def split(*plans: Any) -> tuple[Any, Replies]:
    replies = Replies(list(plans))
    return await LlmDecomposer(replies.open, Meter()).split(TASK), replies


async def test_a_good_plan_is_taken():
    plan, replies = await split(GOOD)
    assert plan.source == "llm"
    assert [(s.id, s.max_turns) for s in plan.subtasks] == [("look", 5), ("do", 15)]
    assert plan.subtasks[1].expected_artifacts == ("/srv/out.txt", "x.py")
    assert plan.required_outputs == ("/srv/out.txt",)
    assert "Debian" in replies.told[0]
    assert TASK.instruction in replies.told[0]


BAD = {
    "same id": [part("do"), part("do", min_progress=1.0)],
    "no earlier part": [part("a", depends_on=["b"]), part("b", min_progress=1.0)],
    "min_progress": [part("a"), part("b", min_progress=0.9)],
    "neither named": [part("a", expected_artifacts=["/etc/x"]), part("b", min_progress=1.0)],
    "../x": [part("a", expected_artifacts=["../x"]), part("b", min_progress=1.0)],
    "parts": [part("a", min_progress=1.0)],
    "not fit": "I would begin by looking around.",
}


@pytest.mark.must("map-15")
@pytest.mark.parametrize("why", BAD)
async def test_a_bad_plan_is_mended_once(why):
    plan, replies = await split(BAD[why], GOOD)
    assert plan.source == "llm"
    assert len(replies.told) == 2
    assert why in replies.told[1]


@pytest.mark.must("map-15")
@pytest.mark.parametrize("why", BAD)
async def test_a_second_bad_plan_gives_the_rules(why):
    plan, replies = await split(BAD[why], BAD[why])
    assert plan.source == "rules"
    assert why in plan.reason
    assert plan.subtasks[0].id == "understand-requirements"
    assert len(replies.told) == 2


async def test_a_model_that_fails_is_no_bad_plan():
    async def broken(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ModelError("gone", reason="overloaded")

    with pytest.raises(ModelError, match="gone"):
        await LlmDecomposer(lambda *_: FunctionModel(broken), Meter()).split(TASK)
