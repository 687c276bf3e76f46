"""A model that knows one piece of work and writes sound sh checks for it: `scripted:…:answer`.

The work: write the word hello to /app/out.txt, and without perl.
"""

import json
import re
from typing import Any

import anyio
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo

INSTRUCTION = "Write the word hello to /app/out.txt. It must be the only line.\n"
SPLIT = {
    "requirements": [
        {"id": "R1", "quote": "Write the word hello to /app/out.txt.", "kind": "function"},
        {"id": "R2", "quote": "It must be the only line.", "kind": "edge"},
    ],
    "entities": [{"id": "E1", "name": "out.txt", "quote": "/app/out.txt"}],
    "constraints": [{"id": "C1", "name": "only line", "quote": "It must be the only line."}],
    "ticks": [{"entity_id": "E1", "constraint_id": "C1", "reason": "stated"}],
}
CODE = {
    "anti_cheat": (
        "[ -s /app/out.txt ] && ! grep -q perl /app/out.txt",
        '[ -s /app/out.txt ] && [ ! -x "$(cat /app/out.txt)" ]',
    ),
    "existence": ("[ -f /app/out.txt ]", "[ -r /app/out.txt ] && [ -s /app/out.txt ]"),
    "correctness": ("grep -q '^hello$' /app/out.txt", '[ "$(head -n 1 /app/out.txt)" = hello ]'),
    "boundary": ('[ "$(wc -l < /app/out.txt)" -eq 1 ]', "[ \"$(grep -c '' /app/out.txt)\" = 1 ]"),
    "integration": (
        'for f in /app/*; do grep -qx hello "$f" || exit 1; done; [ -s /app/out.txt ]',
        "cat /app/out.txt | grep -qx hello",
    ),
}


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Split, propose, reflect, assess: whatever the run asks for."""
    asked = info.model_request_parameters.output_object
    if info.output_tools:
        prompt = str(messages)
        category = re.findall(r"tests of the category (\w+)", prompt)[-1]
        return ModelResponse(
            parts=[ToolCallPart(tool_name=info.output_tools[0].name, args=proposals(category))]
        )
    name = asked.name if asked else ""
    values: dict[str | None, dict[str, Any]] = {
        "Split": SPLIT,
        "MoreRequirements": {"requirements": []},
        "Reflection": {"gaps": []},
        "Assessment": {"comprehensiveness": 9.0},
        "Proposed": {"kind": "update_params", "changes": {"temperature": 0.9}, "reasoning": "warm"},
    }
    return ModelResponse(parts=[TextPart(content=json.dumps(values[name]))])


def stubs(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """The same, but for tests that say nothing."""
    if not info.output_tools:
        return answer(messages, info)
    tests = [{"title": "all is well", "code": "true", "requirement_ids": ["R1"]}] * 2
    part = ToolCallPart(tool_name=info.output_tools[0].name, args={"tests": tests})
    return ModelResponse(parts=[part])


async def hang(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    """Never answer."""
    await anyio.sleep_forever()
    raise AssertionError


def proposals(category: str) -> dict[str, Any]:
    """The tests of a category."""
    return {
        "tests": [
            {
                "title": f"{category} {number}",
                "code": code,
                "requirement_ids": ["R1", "R2"],
                "cells": ["E1xC1"],
                "expected_source": "stated",
                "expected_quote": "Write the word hello to /app/out.txt.",
            }
            for number, code in enumerate(CODE[category], 1)
        ]
    }
