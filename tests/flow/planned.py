"""The model of which the demo's tape is: it plans, works and writes tests for three examples.

Tests are what `tests.testgen.writers` has; the work is the reference solution's, and in one task
careless at first, so that the checks have something to say. To record the tape anew, after a change
of what the planner or the generator of tests says to its model:

    rm examples/models/planner.jsonl
    .venv/bin/python -m mechagym run $(sed -n 's/^PLANNED = //p' Makefile) --sandbox local \
        --base host -m scripted:tests.flow.planned:answer --record examples/models/planner.jsonl
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo

from tests.testgen.writers import asked_for, from_file, model_of, prompt_of

EXAMPLES = Path(__file__).parents[2] / "examples" / "tasks"
TASKS = ("merge-stock-lists", "regex-failed-logins", "timetable-offline")
GREEDY, CARELESS = "(?P<user>.*)", r"(?P<user>\S+)"


async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """A reply to the planner, or to whoever wants tests."""
    task = task_of(prompt_of(messages[:1]))
    if asked_for(info):
        return await _writer(task)(messages, info)  # type: ignore[no-any-return]
    turn = sum(isinstance(message, ModelResponse) for message in messages)
    return _turns(task)[turn]


def task_of(prompt: str) -> str:
    """The task whose instruction stands in a prompt, word for word."""
    for name in TASKS:
        text = (EXAMPLES / name / "instruction.md").read_text(encoding="utf-8")
        if text.split("-->", 1)[-1].strip() in prompt:
            return name
    raise LookupError("no task of ours stands in this prompt")


@cache
def _writer(task: str) -> Any:
    return model_of(from_file(task)).function


@cache
def _turns(task: str) -> list[ModelResponse]:
    """What it does, turn by turn."""
    match task:
        case "merge-stock-lists":
            return [
                _reply(
                    "Each shop gets a reader; the rules are applied to what they read.",
                    ("write_file", {"path": "/app/merge.py", "content": _within("solve.sh", task)}),
                    _run("python3 merge.py data /tmp/out && cat /tmp/out/* && rm -r /tmp/out"),
                ),
                _done("The three lists are merged as the rules say."),
            ]
        case "regex-failed-logins":
            pattern = _within("solve.sh", task)
            return [
                _reply(
                    "One pattern for both forms of the line.",
                    (
                        "write_file",
                        {
                            "path": "/app/pattern.txt",
                            "content": pattern.replace(GREEDY, CARELESS),
                        },
                    ),
                ),
                _reply(
                    "A name may be empty and may hold spaces: it takes all up to the last address.",
                    (
                        "edit_file",
                        {"path": "/app/pattern.txt", "old_text": CARELESS, "new_text": GREEDY},
                    ),
                ),
                _done("The pattern is anchored at both ends, and the name is greedy."),
            ]
        case _:
            plan = (EXAMPLES / task / "solution" / "plan.py").read_text(encoding="utf-8")
            return [
                _reply(
                    "I search for a plan, always placing the talk with the fewest places left.",
                    ("write_file", {"path": "/tmp/plan.py", "content": plan}),
                    _run("python3 /tmp/plan.py && rm /tmp/plan.py && head -c 300 plan.json"),
                ),
                _done("The plan keeps all rules."),
            ]


def _within(name: str, task: str) -> str:
    """The file that a solution writes by a here-document."""
    script = (EXAMPLES / task / "solution" / name).read_text(encoding="utf-8")
    found = re.search(r"<<'(\w+)'\n(.*?)^\1$", script, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[2]


def _run(command: str) -> tuple[str, dict[str, Any]]:
    return ("run_command", {"command": command})


def _done(summary: str) -> ModelResponse:
    return _reply("", ("task_complete", {"summary": summary, "confirm": True}))


def _reply(text: str, *calls: tuple[str, dict[str, Any]]) -> ModelResponse:
    said = [TextPart(content=text)] if text else []
    made = [
        ToolCallPart(tool_name=tool, args=arguments, tool_call_id=f"call_{number}")
        for number, (tool, arguments) in enumerate(calls, 1)
    ]
    return ModelResponse(parts=[*said, *made])
