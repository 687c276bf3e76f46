"""The real command-line agents in real boxes, with the network cut but for the gateway."""

import base64
import json
from urllib.parse import quote

import pytest

from mechagym.events import AgentStopped, MessageSaid, ModelAnswered, ModelRefused, ToolCalled
from mechagym.records import Outcome
from mechagym.testing.provider import ToolCall, Turn, provider_double
from tests.flow.conftest import BOXES, KEY, TASKS, Host, holders, solution

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.usefixtures("npm")]

TASK = "regex-failed-logins"
LOOK = """\
env | sort; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'
(exec 3<>/dev/tcp/192.0.2.1/80) 2>/dev/null && echo REACHED-''THE-WORLD
true"""
SHELLS = {
    "claude-code@2.1.197": ("Bash", "command", "anthropic:claude-haiku-4-5", "ANTHROPIC"),
    "codex@0.169.0": ("exec_command", "cmd", "openai:gpt-5", "OPENAI"),
}


def turns(agent: str) -> list[Turn]:
    """Looks around, solves the task, says so."""
    tool, argument, *_ = SHELLS[agent]
    calls = [
        ToolCall(id=f"call_{number}", name=tool, arguments={argument: f"{text}\n"})
        for number, text in enumerate((LOOK, solution(TASK)))
    ]
    said = [Turn(text=f"Step {n}.", calls=(call,)) for n, call in enumerate(calls)]
    return [*said, Turn(text="It is done.")]


def variables(agent: str, url: str) -> dict[str, str]:
    """The environment of the host: the provider and its key."""
    provider = SHELLS[agent][3]
    base = f"{url}/v1" if provider == "OPENAI" else url
    return {f"{provider}_BASE_URL": base, f"{provider}_API_KEY": KEY}


@pytest.mark.must("llm-28", "llm-35")
@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("agent", SHELLS)
async def test_it_solves_a_task_through_the_gateway_alone(host: Host, agent: str, box: str):
    async with provider_double(turns(agent), key=KEY) as double:
        done = await host.run(
            *(str(TASKS), "-t", TASK, "-a", agent, "-m", SHELLS[agent][2], *BOXES[box]),
            env=variables(agent, double.url),
        )
    assert done.exit_code == 0, done.err + done.out
    (record,) = await done.records()
    assert record.outcome is Outcome.PASSED
    assert record.reward == 1.0
    assert record.counted.claim == "It is done."
    bodies = await done.events(record.key.trial_id)
    answers = [body for body in bodies if isinstance(body, ModelAnswered)]
    assert len(answers) >= 3
    assert record.spend == sum((a.spend for a in answers[1:]), answers[0].spend)
    assert record.spend.billed_nano > 0
    assert sum(isinstance(body, ToolCalled) for body in bodies) == 2
    assert "Step 0." in [body.text for body in bodies if isinstance(body, MessageSaid)]
    events = (done.folder / record.key.trial_name / "events.jsonl").read_text(encoding="utf-8")
    assert "REACHED-THE-WORLD" not in events
    encoded = [KEY, base64.b64encode(KEY.encode()).decode(), quote(KEY, safe="")]
    assert not holders(host.home, *(text.encode() for text in encoded))
    assert all(asked.headers.get("x-api-key", KEY) == KEY for asked in double.works)


@pytest.mark.must("llm-29")
@pytest.mark.parametrize("agent", SHELLS)
async def test_refused_for_money_it_says_so_and_ends(host: Host, agent: str):
    async with provider_double(turns(agent), key=KEY) as double:
        done = await host.run(
            *(str(TASKS), "-t", TASK, "-a", agent, "-m", SHELLS[agent][2], *BOXES["local"]),
            *("--trial-budget", "0.000001"),
            env=variables(agent, double.url),
        )
        assert double.works == []
    (record,) = await done.records()
    assert record.outcome is Outcome.BUDGET_EXHAUSTED
    assert record.reward == 0.0
    bodies = await done.events(record.key.trial_id)
    assert any(isinstance(body, ModelRefused) for body in bodies)
    (stopped,) = [body for body in bodies if isinstance(body, AgentStopped)]
    assert stopped.reason == "budget"
    agent_s = sum(p.duration_s for p in record.counted.phases if p.phase == "agent")
    assert agent_s < 45, json.dumps([str(body) for body in bodies])[-3000:]
    said = (done.folder / record.key.trial_name / "agent").rglob("*.txt")
    assert any("mechagym:" in path.read_text(encoding="utf-8") for path in said)


@pytest.mark.must("llm-25")
async def test_what_was_recorded_is_said_again_without_a_provider(host: Host):
    agent, tape = "claude-code@2.1.197", host.home / "tape.jsonl"
    what = (str(TASKS), "-t", TASK, "-a", agent, *BOXES["local"])
    async with provider_double(turns(agent), key=KEY) as double:
        env = variables(agent, double.url)
        done = await host.run(*what, "-m", SHELLS[agent][2], "--record", str(tape), env=env)
    assert done.exit_code == 0, done.err
    assert KEY not in tape.read_text(encoding="utf-8")
    again = await host.run(*what, "-m", f"replay:{tape}", job="again", env={})
    assert again.exit_code == 0, again.err + again.out
    (record,) = await again.records()
    assert (record.outcome, record.spend.billed_nano) == (Outcome.PASSED, 0)
    assert record.spend.usage.tokens > 0
