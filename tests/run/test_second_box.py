"""Judging in a second box: what the agent made is carried over, what it did to its box is not."""

import pytest

from mechagym.agents.scripted import Exec
from mechagym.events import ArtifactCollected, BoxOpened
from mechagym.records import Outcome
from mechagym.run.config import Rules
from tests.run.gym import make_task

DOCKERFILE = "FROM debian:bookworm-slim\nWORKDIR /app\nRUN echo a > /app/old.txt\n"
LIES = "printf '#!/bin/sh\\necho 1 > /logs/verifier/reward.txt\\n' > /usr/bin/grader; chmod +x {}"
TEST = """[ -x /usr/bin/grader ] && exec grader
[ -f /app/done.txt ] && [ ! -e /app/old.txt ]
echo $((1 - $?)) > /logs/verifier/reward.txt
"""


@pytest.mark.parametrize(
    ("does", "reward"), [("echo x > done.txt; rm old.txt", 1.0), ("true", 0.0)]
)
async def test_a_pristine_box_has_the_agents_changes_and_not_its_tools(live_gym, does, reward):
    live_gym.rules = Rules(verify="pristine")
    live_gym.script = [
        Exec(command=LIES.format("/usr/bin/grader"), user="root"),
        Exec(command=does),
    ]
    files = {"environment/Dockerfile": DOCKERFILE, "tests/test.sh": TEST}
    record = await live_gym.trial(make_task(live_gym.root / "tasks", files=files), "scripted")
    assert record.reward == reward, record.counted.error
    opened = [body.purpose for _, body in live_gym.seen if isinstance(body, BoxOpened)]
    assert opened == ["agent", "verifier"]


async def test_a_separate_verifier_gets_the_declared_artifacts_alone(live_gym):
    toml = (
        'schema_version = "1.4"\nartifacts = ["/app/done.txt", {source = "/x", service = "db"}]\n'
        '[verifier]\nenvironment_mode = "separate"\n'
    )
    live_gym.script = [Exec(command="echo x > done.txt; echo x > other.txt")]
    test = (
        "[ -f /app/done.txt ] && [ ! -e /app/other.txt ]\n"
        "echo $((1 - $?)) > /logs/verifier/reward.txt"
    )
    files = {"tests/test.sh": test}
    task = make_task(live_gym.root / "tasks", toml=toml, files=files)
    record = await live_gym.trial(task, "scripted")
    assert record.outcome is Outcome.PASSED, record.counted.error
    refused = [r for _, b in live_gym.seen if isinstance(b, ArtifactCollected) for r in b.refused]
    assert refused == ["/x: no way into service db"]


async def test_more_removed_files_than_fit_a_command_line_are_removed(live_gym):
    live_gym.rules = Rules(verify="pristine")
    long = "x" * 200
    make = f"RUN for i in $(seq 12000); do : > /app/{long}$i; done\n"
    test = 'ls /app | wc -l; [ -z "$(ls /app)" ]\necho $((1 - $?)) > /logs/verifier/reward.txt'
    files = {
        "environment/Dockerfile": f"FROM debian:bookworm-slim\nWORKDIR /app\n{make}",
        "tests/test.sh": test,
    }
    live_gym.script = [Exec(command="find . -type f -delete")]
    record = await live_gym.trial(make_task(live_gym.root / "tasks", files=files), "scripted")
    assert record.outcome is Outcome.PASSED, record.counted
