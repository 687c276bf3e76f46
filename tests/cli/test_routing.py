"""Before a job starts the router is asked for its models: by quotas, and what is switched off."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from mechagym import config, wiring
from mechagym.cli.launch import GRADED, UNGRADED
from mechagym.events import ModelSelected
from mechagym.llm.router.selection import TokensUsed
from mechagym.records import Spend, Usage, now
from mechagym.store import Store
from mechagym.wiring.routing import tokens_used
from tests.cli.conftest import Cli
from tests.store.makers import a_job, a_key, a_try, tell

HAIKU = "anthropic:claude-haiku-4-5"
FILE = """
version: 1
aliases: {}
providers: {anthropic: {%s}}
fallback: {default: ["openai:gpt-4o"]}
"""


@pytest.fixture
def run(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch):
    """Begins a job under a word on its provider. Boxes in memory have no way to a gateway, so the
    one trial of a job that begins is refused.
    """
    for name in ("ANTHROPIC", "OPENAI"):
        monkeypatch.setenv(f"{name}_API_KEY", "a-key-of-this-test")
    task = home / "here/tasks/one"
    (task / "tests").mkdir(parents=True)
    (task / "task.toml").write_text('schema_version = "1.4"\nenvironment = {docker_image = "a"}\n')
    (task / "instruction.md").write_text("Do nothing.\n")
    (task / "tests/test.sh").write_text("echo 1 > /logs/verifier/reward.txt\n")
    folder = home / ".config/mechagym"
    folder.mkdir(parents=True)

    def run(said: str, *more: str, name: str = "job"):
        (folder / "models.yaml").write_text(FILE % said)
        return cli(
            "run", task.parent, "-a", "command", "--set", "agent.run=true", "--sandbox", "memory",
            "--budget", 1, "--name", name, *(more or ("-m", HAIKU)),
        )  # fmt: skip

    return run


async def work(*told: tuple[str | None, float, int]) -> None:
    """Have trials in the store, each with its model, how many days ago it was, and its tokens."""
    async with Store.open(config.load().store) as store:
        job = a_job("before")
        keys = [a_key(job, n, model=model) for n, (model, _, _) in enumerate(told)]
        await store.create_job(job, keys)
        for key, (_, days, tokens) in zip(keys, told, strict=True):
            ended = now() - timedelta(days=days)
            spend = Spend(usage=Usage(input=tokens // 2, cache_read=tokens - tokens // 2))
            tell(store, key, replace(a_try(), ended_at=ended, started_at=ended, spend=spend))
        await store.flush()


async def test_what_is_used_is_counted_by_day_week_and_provider(home: Path):
    await work(
        *((HAIKU, 0.5, 100), ("anthropic:claude-opus-4-6", 3, 1_000), (HAIKU, 8, 10_000)),
        *(("openai:gpt-4o", 0.1, 7), (None, 0.1, 5)),
    )
    async with Store.open(config.load().store) as store:
        assert await tokens_used(store, now()) == {
            "anthropic": TokensUsed(daily=100, weekly=1_100),
            "openai": TokensUsed(daily=7, weekly=7),
        }


@pytest.mark.must("llm-24")
@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("weekly_tokens: 10000, daily_tokens: 1000", None),
        ("daily_tokens: 1000, soft_ratio: 0.5", "over 50% of its daily tokens"),
        ("weekly_tokens: 1500", "over 80% of its weekly tokens"),
        ("enabled: false", "anthropic is disabled"),
    ],
)
def test_no_job_starts_over_a_quota_or_by_another_model(run, said: str, why: str | None):
    anyio.run(work, (HAIKU, 0.1, 600), (HAIKU, 2, 700))
    result = run(said)
    if why is None:
        assert result.exit_code == UNGRADED, result.output
        return
    assert result.exit_code not in (GRADED, UNGRADED)
    assert why in " ".join(result.stderr.split())
    assert "gpt-4o" not in result.stderr, "no other model stands in"
    assert not Path("jobs/job").exists()
    assert run(said, "-m", "openai:gpt-4o", name="other").exit_code == UNGRADED


def test_what_the_router_said_is_kept_with_the_job(run):
    assert run("enabled: true").exit_code == UNGRADED

    async def kept() -> list[ModelSelected]:
        async with Store.open(config.load().store) as store:
            (job,) = await store.jobs()
            events = await store.events(job.job_id)
        return [event.body for event in events if isinstance(event.body, ModelSelected)]

    (selected,) = anyio.run(kept)
    assert (selected.role, selected.model, selected.rule) == ("actor", HAIKU, "override")


def test_who_calls_no_model_is_not_asked(cli: Cli, run):
    run("enabled: false")
    result = cli(
        "run", "tasks", "-a", "nop", "-m", HAIKU, "--sandbox", "memory", "--json", "--name", "nop"
    )
    assert json.loads(result.stdout.splitlines()[-1])
    assert "disabled" not in result.stderr
    assert wiring.calls_models("command")
    assert not wiring.calls_models("nop")
