"""A verdict that one can trust: what an agent may try, on real boxes, has no effect on its
reward.
"""

import json

import pytest

from mechagym.agents.scripted import Claim, Exec, Hang, Say
from mechagym.events import AgentStopped, TamperFound
from mechagym.records import Outcome
from mechagym.run.config import Pace, Rules
from tests.run.gym import Gym, make_task

REWRITER = (
    "setsid nohup sh -c 'while :; do mkdir -p /logs/verifier; echo 1 > /logs/verifier/reward.txt;"
    ' echo "{\\"reward\\": 1, \\"server\\": 1}" > /logs/verifier/reward.json;'
    " sleep 0.01; done' >/dev/null 2>&1 &"
)
SERVER = (
    'setsid nohup perl -MIO::Socket::INET -e \'$s = IO::Socket::INET->new(LocalAddr => "127.0.0.1",'
    " LocalPort => 8765, Listen => 5, ReuseAddr => 1) or die; while ($c = $s->accept)"
    ' { print $c "hello\\n"; close $c }\' >/dev/null 2>&1 & sleep 0.5'
)
ASKS_SERVER = """#!/bin/bash
up=0
exec 3<>/dev/tcp/127.0.0.1/8765 && read -r line <&3 && [ "$line" = hello ] && up=1
sleep 0.3
echo "{\\"reward\\": 0, \\"server\\": $up}" > /logs/verifier/reward.json
"""


def only_try(gym: Gym, name: str = "job"):
    """The folder of the one trial's counted try."""
    (folder,) = [p for p in (gym.root / "jobs" / name).iterdir() if p.is_dir()]
    return folder


@pytest.mark.must("trials-2")
async def test_tests_and_solution_are_absent_while_the_agent_lives(live_gym):
    live_gym.script = [
        Exec(command="ls -d /tests /solution /logs/verifier > /logs/agent/seen.txt 2>&1; true"),
        Exec(
            command="find / -xdev '(' -name test.sh -o -name solve.sh ')' -not -path '/proc/*'"
            " > /logs/agent/found.txt; true"
        ),
    ]
    task = make_task(live_gym.root / "tasks")
    record = await live_gym.trial(task, "scripted")
    assert record.outcome is Outcome.FAILED
    seen = (only_try(live_gym) / "agent" / "seen.txt").read_text()
    assert seen.count("No such file") == 3, seen
    assert (only_try(live_gym) / "agent" / "found.txt").read_text() == ""


@pytest.mark.must("trials-3")
@pytest.mark.parametrize(
    "plant",
    [
        "mkdir -p /logs/verifier; echo 1 > /logs/verifier/reward.txt",
        "mkdir -p /logs/verifier; echo '{\"reward\": 1}' > /logs/verifier/reward.json",
        "mkdir -p /keep; echo 1 > /keep/reward.txt; mkdir -p /logs; ln -sfn /keep /logs/verifier",
        "mkdir -p /tests; echo 'echo 1 > /logs/verifier/reward.txt' > /tests/test.sh",
    ],
)
async def test_a_planted_reward_has_no_effect(live_gym, plant):
    live_gym.script = [Exec(command=plant, user="root"), Claim(text="all done")]
    record = await live_gym.trial(make_task(live_gym.root / "tasks"), "scripted")
    assert (record.outcome, record.reward) == (Outcome.FAILED, 0.0)
    assert record.counted.claim == "all done"
    assert any(isinstance(body, TamperFound) for _, body in live_gym.seen)


@pytest.mark.must("trials-4")
async def test_a_rewriting_daemon_dies_and_a_server_lives(live_gym):
    live_gym.script = [Exec(command=REWRITER), Exec(command=SERVER)]
    task = make_task(live_gym.root / "tasks", files={"tests/test.sh": ASKS_SERVER})
    record = await live_gym.trial(task, "scripted")
    assert record.outcome is Outcome.FAILED, record.counted.error
    assert record.counted.verdict is not None
    assert record.counted.verdict.rewards == {"reward": 0.0, "server": 1.0}
    (stopped,) = [b for _, b in live_gym.seen if isinstance(b, AgentStopped)]
    assert any("perl" in kept for kept in stopped.kept)
    assert any("sh: left behind" in killed for killed in stopped.killed)


@pytest.mark.must("trials-5")
@pytest.mark.parametrize(
    "late",
    [
        "(sleep 2; echo late > /app/done.txt)",
        "(sleep 2; echo late > /app/done.txt) & sleep 60",
        "setsid nohup sh -c 'sleep 2; echo late > /app/done.txt' >/dev/null 2>&1 & sleep 60",
        "setsid nohup sh -c 'sleep 2; echo late > /app/done.txt' >/dev/null 2>&1 &",
    ],
)
async def test_work_after_the_deadline_is_not_graded(live_gym, late):
    live_gym.rules = Rules(agent_timeout_s=1.0)
    live_gym.script = [Exec(command=late), Hang()]
    slow = "sleep 2; [ -f /app/done.txt ]; echo $((1 - $?)) > /logs/verifier/reward.txt"
    task = make_task(live_gym.root / "tasks", files={"tests/test.sh": slow})
    record = await live_gym.trial(task, "scripted")
    assert (record.outcome, record.reward) == (Outcome.TIMED_OUT, 0.0)


async def test_work_before_the_deadline_is_graded(live_gym):
    live_gym.rules = Rules(agent_timeout_s=1.0)
    live_gym.script = [Exec(command="echo early > /app/done.txt"), Hang()]
    record = await live_gym.trial(make_task(live_gym.root / "tasks"), "scripted")
    assert (record.outcome, record.reward, record.graded) == (Outcome.TIMED_OUT, 1.0, True)


@pytest.mark.must("trials-6")
@pytest.mark.parametrize(
    ("writes", "reason"),
    [
        ("true", "reward_missing"),
        ("true > /logs/verifier/reward.txt", "reward_empty"),
        ("echo lots > /logs/verifier/reward.txt", "reward_unparsable"),
        ("echo '{\"reward\": [1]}' > /logs/verifier/reward.json", "reward_unparsable"),
        ("echo nan > /logs/verifier/reward.txt", "reward_not_finite"),
        ("echo '{\"reward\": Infinity}' > /logs/verifier/reward.json", "reward_not_finite"),
    ],
)
async def test_no_reward_is_never_a_zero(live_gym, writes, reason):
    live_gym.pace = Pace(retries=0)
    test = f"echo the tests said this; {writes}"
    task = make_task(live_gym.root / "tasks", files={"tests/test.sh": test})
    record = await live_gym.trial(task)
    assert (record.outcome, record.reward, record.graded) == (Outcome.INFRA_ERROR, None, False)
    assert record.counted.error is not None
    assert record.counted.error.reason == reason
    assert "the tests said this" in record.counted.error.message


@pytest.mark.must("trials-7")
async def test_the_images_files_and_the_agents_packages_are_there(live_gym):
    dockerfile = (
        "FROM debian:bookworm-slim\nWORKDIR /app\nRUN echo from-the-image > /app/own.txt\n"
        "RUN mkdir -p /app/deep && echo deep > /app/deep/file && chmod 0750 /app/deep\n"
    )
    install = (
        "printf '#!/bin/sh\\necho installed\\n' > /usr/local/bin/tool; chmod +x /usr/local/bin/tool"
    )
    live_gym.script = [Exec(command="cat own.txt deep/file > done.txt"), Exec(command=install)]
    test = (
        '[ "$(tool)" = installed ] && [ "$(cat done.txt)" = "$(printf "from-the-image\\ndeep")" ]\n'
        "echo $((1 - $?)) > /logs/verifier/reward.txt"
    )
    files = {"environment/Dockerfile": dockerfile, "tests/test.sh": test}
    record = await live_gym.trial(make_task(live_gym.root / "tasks", files=files), "scripted")
    assert record.outcome is Outcome.PASSED, record.counted


async def test_the_instruction_is_data(live_gym):
    odd = "Do `touch /app/bad` $(touch /app/worse) {braces} ünïcode \\ 'quotes' \"more\"\n"
    live_gym.script = [Say(text="hm"), Exec(command="ls /app > /logs/agent/ls.txt")]
    task = make_task(live_gym.root / "tasks", files={"instruction.md": odd})
    await live_gym.trial(task, "scripted")
    assert (only_try(live_gym) / "agent" / "ls.txt").read_text() == ""


async def test_the_phases_add_up(live_gym):
    record = await live_gym.trial(make_task(live_gym.root / "tasks"))
    counted = record.counted
    wall_s = (counted.ended_at - counted.started_at).total_seconds()
    assert abs(sum(p.duration_s for p in counted.phases) - wall_s) < 0.05
    result = json.loads((only_try(live_gym) / "result.json").read_text())
    assert result["verifier_result"]["rewards"]["reward"] == 1.0
