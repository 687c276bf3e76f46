"""The real command-line agents, told to test first: what they do is seen in their own events."""

import json

import pytest

from mechagym.events import AgentStarted, ProtocolReported
from mechagym.records import Outcome
from mechagym.testgen.protocol.text import FOLDER
from mechagym.testing.provider import ToolCall, Turn, provider_double
from tests.flow.conftest import BOXES, KEY, TASKS, Host, solution
from tests.flow.test_clis_live import SHELLS, TASK, variables

pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.usefixtures("npm"),
    pytest.mark.must("testgen-26", "testgen-27"),
]

MATRIX = {
    "entities": [{"id": "E1", "name": "pattern"}],
    "constraints": [{"id": "C1", "name": "one line"}, {"id": "C2", "name": "matches a login"}],
    "ticks": [
        {"entity": "E1", "constraint": "C1", "reason": "on one line"},
        {"entity": "E1", "constraint": "C2", "reason": "every failed login"},
    ],
}
TESTS = """
import re

def test_E1xC1_one_line():
    assert len(open("/app/pattern.txt").read().splitlines()) == 1

def test_E1xC2_matches():
    pattern = open("/app/pattern.txt").read().rstrip("\\n")
    text = open("/app/auth.log").read()
    assert list(re.finditer(pattern, text, re.MULTILINE))
"""
ANSWER = json.dumps({"thorough_enough": True, "gaps": [], "suggestions": []})
HELP = f"python3 {FOLDER}/expand_tests.py {FOLDER}/matrix.json"


def put(name: str, text: str) -> str:
    return f"cat > {FOLDER}/{name} <<'EOF'\n{text}\nEOF"


def turns(agent: str) -> list[Turn]:
    """Every step, by the agent's own tools; Claude Code has a sub-agent, Codex reviews itself."""
    tool, argument, *_ = SHELLS[agent]

    def shell(number: int, command: str) -> Turn:
        call = ToolCall(id=f"call_{number}", name=tool, arguments={argument: command})
        return Turn(text=f"Step {number}.", calls=(call,))

    before = ["head -5 /app/auth.log", put("matrix.json", json.dumps(MATRIX)), HELP]
    before.append(f"{HELP} --summary")
    after = [put("answer.json", ANSWER), f"{HELP} --review {FOLDER}/answer.json"]
    after += [put("test_matrix.py", TESTS), f"{HELP} --run || true", solution(TASK)]
    after += [f"{HELP} --stubs && {HELP} --run"]
    review = []
    if agent.startswith("claude"):
        asked = {"description": "review", "prompt": "Review.", "subagent_type": "general-purpose"}
        review = [
            Turn(text="Review.", calls=(ToolCall(id="call_r", name="Agent", arguments=asked),)),
            Turn(text=ANSWER),
        ]
    told = [shell(number, command) for number, command in enumerate(before)]
    told += review
    told += [shell(number, command) for number, command in enumerate(after, len(before))]
    return [*told, Turn(text="All tests are green.")]


@pytest.mark.parametrize("agent", SHELLS)
async def test_what_it_does_is_seen_to_follow(host: Host, agent: str):
    async with provider_double(turns(agent), key=KEY) as double:
        done = await host.run(
            *(str(TASKS), "-t", TASK, "-a", agent, "-m", SHELLS[agent][2], *BOXES["docker"]),
            *("--protocol", "testgen-v2"),
            env=variables(agent, double.url),
        )
    assert done.exit_code == 0, done.err + done.out
    (record,) = await done.records()
    assert record.outcome is Outcome.PASSED
    name, _, version = agent.partition("@")
    assert record.key.agent == f"{name}+testgen-v2@{version}"
    bodies = await done.events(record.key.trial_id)
    [report] = [body for body in bodies if isinstance(body, ProtocolReported)]
    told = {step.name: (step.state, step.detail) for step in report.steps}
    assert all(state == "held" for state, _ in told.values()), told
    assert report.followed
    context = "fresh" if name == "claude-code" else "same"
    assert f"{context} context" in told["REVIEW"][1]
    assert (report.tests_claimed, report.tests_run, report.tests_passed) == (2, 2, 2)
    [started] = [body for body in bodies if isinstance(body, AgentStarted)]
    assert "They are: /app/auth.log" in started.instruction
