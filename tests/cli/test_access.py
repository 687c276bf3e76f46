"""What a job with models is told before it starts: keys, prices, limits, dialects."""

from contextlib import nullcontext
from pathlib import Path
from typing import ClassVar

import httpx2
import pytest

from mechagym import config, wiring
from mechagym.agents.installed.command import CommandAgent
from mechagym.budget import Budget, Meter
from mechagym.errors import BudgetError, ConfigError
from mechagym.llm.providers import Dialect
from mechagym.llm.tape import TapeWriter, http_exchange
from mechagym.run.access import Borrower
from mechagym.run.config import AgentChoice, JobConfig, Rules, Sources
from mechagym.run.lending import GatewayAccess
from mechagym.run.logins import IN_BOX
from mechagym.sandbox.base import Labels
from tests.actors import make_task

HAIKU = "anthropic:claude-haiku-4-5"
CHATTING = f"{__name__}:Chatting"
SCRIPT = "scripted:tests.llm.scripts:says_text"


def job(home: Path, *models: str | None, agent: str = "command", **changes: object) -> JobConfig:
    values: dict[str, object] = {
        "name": "job",
        "sources": Sources(sources=("x",)),
        "agents": (
            AgentChoice(
                name=agent, options={"run": "true"} if agent in ("command", CHATTING) else {}
            ),
        ),
        "out_dir": home,
        "models": models or (None,),
    }
    return JobConfig(**(values | changes))  # type: ignore[arg-type]


def borrower(agent: str, model: str, dialects: tuple[Dialect, ...]) -> Borrower:
    return Borrower(
        trial_id="t",
        agent=agent,
        dialects=dialects,
        model=model,
        meter=Meter(budget=Budget()),
        emit=lambda _: None,
        public=False,
    )


class Chatting(CommandAgent):
    """Another's agent, which speaks chat alone."""

    dialects: ClassVar[tuple[Dialect, ...]] = ("openai-chat",)


async def opened(wanted: JobConfig) -> bool:
    settings = config.load()
    async with wiring.open_access(wanted, settings, keys=wiring.credentials(settings)) as access:
        return access is not None


async def test_there_is_a_gateway_where_an_agent_calls_a_model_from_its_box(home, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-1")
    assert await opened(job(home, HAIKU))
    assert not await opened(job(home, None))
    assert not await opened(job(home, "no-provider:x", agent="oracle"))


async def test_no_key_and_no_price_are_told_before_anything_starts(home, monkeypatch):
    with pytest.raises(ConfigError, match="no key") as caught:
        await opened(job(home, HAIKU))
    assert "ANTHROPIC_API_KEY" in (caught.value.remedy or "")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    with pytest.raises(BudgetError, match="price is unknown"):
        await opened(job(home, "openai:never-heard-of"))
    with pytest.raises(ConfigError, match="limit in tokens"):
        await opened(job(home, "openai:never-heard-of", allow_unpriced=True))
    budget = Budget(tokens=1_000)
    assert await opened(job(home, "openai:x", allow_unpriced=True, budget=budget))


@pytest.mark.must("llm-16")
@pytest.mark.parametrize(
    ("budget", "allowed"),
    [
        (Budget(usd=5), False),
        (Budget(usd=5, tokens=10), True),
        (Budget(seconds=60), True),
        (Budget(turns=3), True),
        (Budget(usd=5, usd_basis="imputed"), True),
    ],
)
async def test_a_login_needs_a_limit_that_acts(home, monkeypatch, budget: Budget, allowed: bool):
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", "oauth-token-1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-1")
    monkeypatch.setenv("MECHAGYM_LLM__CREDENTIAL", "claude-code")
    assert await opened(job(home, HAIKU, budget=budget))  # another agent has a key, and is billed
    for wanted in (
        job(home, HAIKU, agent="claude-code", budget=budget),
        job(home, HAIKU, agent="claude-code", rules=Rules(trial_budget=budget)),
    ):
        if allowed:
            assert await opened(wanted)
            continue
        with pytest.raises(ConfigError, match="bills no dollars"):
            await opened(wanted)


@pytest.mark.parametrize(
    ("agent", "model", "told"),
    [
        ("claude-code", None, "works with a model"),
        ("claude-code", "openai:gpt-4o", "speaks anthropic"),
        ("codex", HAIKU, "speaks openai-responses"),
        ("command", "google:gemini-3.1-pro-preview", "is reached by google"),
        ("claude-code", HAIKU, None),
        ("codex", "openai:gpt-4o", None),
        ("command", None, None),
    ],
)
def test_an_agent_and_a_model_must_speak_alike(home, agent: str, model: str | None, told):
    wanted, task = job(home, model, agent=agent), make_task(home / "task", {})
    if told is None:
        wiring.check_agents(wanted, [task], config.load())
        return
    with pytest.raises(ConfigError, match=told):
        wiring.check_agents(wanted, [task], config.load())


@pytest.mark.must("llm-12")
@pytest.mark.parametrize("delivery", ["gateway", "mount"])
async def test_a_login_is_put_into_the_boxes_of_its_agent_alone_and_where_asked_for(
    home, monkeypatch, delivery: str
):
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", "oauth-token-1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-1")
    monkeypatch.setenv("MECHAGYM_LLM__CREDENTIAL", "claude-code")
    monkeypatch.setenv("MECHAGYM_LLM__DELIVERY", delivery)
    settings = config.load()
    wanted = job(home, HAIKU, agent="claude-code", budget=Budget(tokens=10))
    async with wiring.open_access(wanted, settings, keys=wiring.credentials(settings)) as access:
        assert access is not None
        async with access.exposing("command", HAIKU, Labels()) as mounts:
            assert mounts == ()
        with access.lend(borrower("command", HAIKU, ("anthropic",))) as loan:
            assert loan.endpoint("http://x").login is None
        async with access.exposing("claude-code", HAIKU, Labels()) as mounts:
            assert [mount.target for mount in mounts] == ([IN_BOX] if delivery == "mount" else [])
        with access.lend(borrower("claude-code", HAIKU, ("anthropic",))) as loan:
            expected = IN_BOX if delivery == "mount" else None
            assert loan.endpoint("http://x").login == expected


@pytest.mark.parametrize(
    ("agent", "model", "spoken"),
    [
        ("claude-code", HAIKU, "anthropic"),
        ("claude-code", "openai:gpt-4o", None),
        ("codex", "openai:gpt-4o", "openai-responses"),
        ("codex", "openai-chat:gpt-4o", None),
        ("codex", "ollama:qwen3", None),
        ("codex", SCRIPT, "openai-responses"),
        ("command", HAIKU, "anthropic"),
        ("command", "openai:gpt-4o", "openai-responses"),
        ("command", "openrouter:openai/gpt-4o", "openai-chat"),
        ("command", "google:gemini-3.1-pro-preview", None),
        ("command", SCRIPT, "openai-chat"),
        (CHATTING, "openai:gpt-4o", "openai-chat"),
        (CHATTING, HAIKU, None),
    ],
)
async def test_what_is_refused_before_a_job_is_not_lent_in_it(
    home, monkeypatch, agent: str, model: str, spoken: str | None
):
    for name in ("ANTHROPIC", "OPENAI", "OPENROUTER", "GOOGLE"):
        monkeypatch.setenv(f"{name}_API_KEY", "a-key")
    wanted, settings = job(home, model, agent=agent), config.load()
    task = make_task(home / "task", {})
    speaks = wiring.agent_factory(agent).dialects  # type: ignore[attr-defined]
    refused = pytest.raises(ConfigError, match="reached by")
    with refused if spoken is None else nullcontext():
        wiring.check_agents(wanted, [task], settings)
    async with wiring.open_access(wanted, settings, keys=wiring.credentials(settings)) as access:
        assert access is not None
        with refused if spoken is None else nullcontext():
            lent = access.lend(borrower(agent, model, speaks))
            with lent as loan:
                assert loan.dialect == spoken


@pytest.mark.must("llm-16")
@pytest.mark.parametrize(
    ("agent", "billed"), [("claude-code", False), ("command", True), ("codex", True)]
)
async def test_only_who_works_by_the_login_is_not_billed(home, monkeypatch, agent, billed: bool):
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", "oauth-token-1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-1")
    monkeypatch.setenv("MECHAGYM_LLM__CREDENTIAL", "claude-code")
    agents = tuple(AgentChoice(name=name) for name in ("claude-code", "command"))
    wanted = job(home, HAIKU, agents=agents, budget=Budget(tokens=10_000))
    settings = config.load()
    async with wiring.open_access(wanted, settings, keys=wiring.credentials(settings)) as access:
        assert isinstance(access, GatewayAccess)
        with access.lend(borrower(agent, HAIKU, ("anthropic",))) as loan:
            admitted = access._gateway._grants.admit([(b"x-api-key", loan.token.encode())])
            assert admitted.grant.ledger.billed is billed


@pytest.mark.must("llm-25")
async def test_what_of_a_tape_nobody_played_is_told_at_the_end(home: Path):
    writer = TapeWriter(home / "a.tape", lambda text: (text, 0))
    for words in ("one", "two"):
        asked = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": words}]}
        writer.add(
            http_exchange(
                dialect="anthropic",
                path="/v1/messages",
                model=HAIKU,
                request=asked,
                answer=(200, {}),
            )
        )
    writer.close()
    told: list[str] = []
    settings, model = config.load(), f"replay:{home}/a.tape"
    keys = wiring.credentials(settings)
    async with wiring.open_access(
        job(home, model), settings, keys=keys, tell=told.append
    ) as access:
        assert isinstance(access, GatewayAccess)
        with access.lend(borrower("command", model, ("openai-chat", "anthropic"))) as loan:
            assert (loan.model, loan.dialect) == ("claude-haiku-4-5", "anthropic")
            async with access._gateway.listen() as url, httpx2.AsyncClient(base_url=url) as client:
                key = {"x-api-key": loan.token}
                got = await client.post("/v1/messages", json=asked, headers=key)
                assert got.status_code == 200
        assert told == []
    assert told == [f"{home}/a.tape: 1 of 2 exchanges were not played"]


@pytest.mark.parametrize("model", ["replay:nowhere.jsonl", "scripted:nowhere.yaml"])
async def test_a_tape_or_script_that_is_not_there_is_told_before_anything_starts(home, model: str):
    with pytest.raises(ConfigError, match=r"nowhere\."):
        await opened(job(home, model))
