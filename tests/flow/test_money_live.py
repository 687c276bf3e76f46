"""A cap holds over many trials at once, to the cent, and nothing begins that it cannot pay."""

import pytest

from mechagym.events import ModelAnswered
from mechagym.records import Outcome, Spend, Usage
from mechagym.testing.provider import Turn, always, provider_double
from tests.flow.conftest import KEY, TASKS, Host

pytestmark = [pytest.mark.live, pytest.mark.slow]

CAP_USD = 0.50
USAGE = Usage(input=3_000, output=2_000)  # 1.3 cents at the prices of claude-haiku-4-5
CALLER = """\
import json, os, urllib.request
body = {"model": os.environ["MODEL"], "max_tokens": 4096,
        "messages": [{"role": "user", "content": "x" * 4000}]}
for _ in range(8):
    request = urllib.request.Request(
        os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", json.dumps(body).encode(),
        {"x-api-key": os.environ["ANTHROPIC_API_KEY"], "content-type": "application/json",
         "anthropic-version": "2023-06-01"})
    urllib.request.urlopen(request).read()
"""


@pytest.mark.must("llm-19", "llm-21")
async def test_a_cap_over_twenty_trials_at_once_is_never_exceeded(host: Host):
    (host.home / "tool").mkdir()
    (host.home / "tool" / "caller.py").write_text(CALLER, encoding="utf-8")
    async with provider_double(always(Turn(text="ok", usage=USAGE)), key=KEY) as double:
        done = await host.run(
            *(str(TASKS), "-t", "merge-stock-lists", "-k", "20", "-n", "20"),
            *("-a", "command", "-m", "anthropic:claude-haiku-4-5", "--budget", str(CAP_USD)),
            *("--set", f"agent.mount={host.home / 'tool'}"),
            *("--set", "agent.run=python3 /opt/mechagym/command/caller.py"),
            *("--sandbox", "local", "--base", "host"),
            env={"ANTHROPIC_BASE_URL": double.url, "ANTHROPIC_API_KEY": KEY},
        )
    records = await done.records()
    spent = sum((record.spend for record in records), Spend())
    answered = [
        body
        for record in records
        for body in await done.events(record.key.trial_id)
        if isinstance(body, ModelAnswered)
    ]
    assert len(double.works) == len(answered)
    assert spent.billed_nano == len(answered) * 13_000_000
    assert CAP_USD * 0.7 < spent.cost_usd <= CAP_USD, done.out
    outcomes = {record.outcome for record in records}
    assert outcomes == {Outcome.BUDGET_EXHAUSTED}, done.out
