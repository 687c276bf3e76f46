"""`mechagym models` and `--model`, on a host of its own, with a provider double on loopback."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import click
import pytest
from anyio.from_thread import start_blocking_portal
from pydantic_ai.models import override_allow_model_requests

from mechagym.cli.completing import models
from mechagym.records import now
from mechagym.testing.provider import Listed, ProviderDouble, Turn, always, provider_double
from tests.cli.conftest import Cli

KEY = "sk-a-key-of-this-test-0123456789"
FRESH = "anthropic:fresh"  # 123,456 tokens in at $3 and 4,321 out at $7 a million
SOON, LATER = (f"{now().date() + timedelta(days=days)}" for days in (20, 31))


@pytest.fixture
def double() -> Iterator[ProviderDouble]:
    """A provider in a thread of its own, with two models."""
    models = (Listed(id="claude-brand-new", max_output=777), Listed(id="gpt-4o"))
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            provider_double(always(Turn(text="hi")), models=models)
        ) as started,
    ):
        yield started


@pytest.fixture
def own(home: Path) -> Path:
    """The user's folder of settings, with models of different ages."""
    folder = home / ".config/mechagym"
    folder.mkdir(parents=True)
    (folder / "catalogue.yaml").write_text(
        f"""
models:
  "anthropic:aged": {{retires_at: 2026-01-01, replacement: "anthropic:fresh"}}
  "anthropic:ageing": {{retires_at: {SOON}, replacement: "anthropic:fresh"}}
  "anthropic:ripe": {{retires_at: {LATER}}}
  "anthropic:fresh":
    {{context_window: 123456, max_output: 4321, released_at: 2026-02-03}}
"""
    )
    (folder / "pricing.yaml").write_text(
        """
version: 1
as_of: 2026-11-20
models:
  "anthropic:fresh": {input_per_mtok_usd: 1.5, output_per_mtok_usd: 7,
    cache_read_per_mtok_usd: 0.15, cache_write_5m_per_mtok_usd: 2, cache_write_1h_per_mtok_usd: 3}
"""
    )
    return folder


def listed(cli: Cli, *args: str) -> dict[str, dict[str, object]]:
    result = cli("models", *args, "--json")
    assert result.exit_code == 0, result.output
    return {row["id"]: row for row in json.loads(result.stdout)}


@pytest.mark.must("llm-8")
def test_the_list_says_all_of_a_model(cli: Cli, own: Path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    row = listed(cli, "anthropic:fresh")["anthropic:fresh"]
    assert row["context_window"] == 123456
    assert row["max_output"] == 4321
    assert row["usd_per_mtok"] == {
        "input": 1.5,
        "cache_read": 0.15,
        "cache_write_5m": 2.0,
        "cache_write_1h": 3.0,
        "output": 7.0,
    }
    assert str(row["price_ref"]).startswith("pricing.yaml@")
    assert (row["released_at"], row["retires_at"]) == ("2026-02-03", None)
    assert row["credential"] is True
    assert row["sources"]["max_output"] == str(own / "catalogue.yaml")  # type: ignore[index]


@pytest.mark.must("llm-8")
def test_the_wide_list_is_a_line_each_with_question_marks(cli: Cli, own: Path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    lines = cli("models", "--provider", "anthropic").stdout.splitlines()
    heads = lines[0].split("  ")
    assert [head.strip() for head in heads if head.strip()] == [
        "model", "context", "max out", "in", "read", "write 5m", "write 1h", "out",
        "released", "retires", "prices by", "key",
    ]  # fmt: skip
    cells = {line.split()[0]: line.split()[1:] for line in lines[2:]}
    fresh = cells["anthropic:fresh"]
    assert fresh[:9] == ["123k", "4.3k", "1.5", "0.15", "2", "3", "7", "2026-02-03", "?"]
    assert cells["anthropic:ripe"][:9] == ["?"] * 8 + [LATER]
    assert cells["anthropic:claude-haiku-4-5"][:7] == [
        "200k", "64.0k", "1", "0.1", "1.25", "2", "5",
    ]  # fmt: skip
    assert "anthropic:aged" not in cells
    assert {row[-1] for row in cells.values()} == {"no"}


def test_a_narrow_list_leaves_out_and_says_so(cli: Cli, own: Path):
    result = cli("models", "--provider", "anthropic")
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    assert "released" not in result.stdout
    assert "--json" in result.stderr


def test_a_pattern_finds_the_retired_too(cli: Cli, own: Path):
    assert {"anthropic:aged", "anthropic:ageing"} <= listed(cli, "anthropic:age*").keys()
    assert "anthropic:aged" in listed(cli, "AGED")
    assert listed(cli, "no-such-model-anywhere") == {}
    everything = listed(cli)
    assert "anthropic:aged" not in everything
    assert not [name for name in everything if name.startswith(("openrouter:", "openai-chat:"))]
    assert all(name.startswith("openrouter:") for name in listed(cli, "--provider", "openrouter"))


def test_a_provider_that_is_none(cli: Cli):
    result = cli("models", "--provider", "antropic")
    assert result.exit_code == 2
    assert "did you mean `anthropic`?" in result.stderr


def test_the_list_asks_nobody_and_refresh_does(
    cli: Cli, own: Path, double: ProviderDouble, monkeypatch
):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", double.url)
    assert "anthropic:claude-brand-new" not in listed(cli, "--provider", "anthropic")
    assert double.asked == []
    assert cli("run", "x", "-m", "anthropic:claude-brand-new").exit_code == 2
    rows = listed(cli, "--refresh", "--provider", "anthropic")
    assert rows["anthropic:claude-brand-new"]["max_output"] == 777
    assert len(double.asked) == 1
    assert double.works == []
    again = listed(cli, "brand-new")["anthropic:claude-brand-new"]
    assert again["sources"]["max_output"] == f"anthropic's list of {now().date()}"  # type: ignore[index]
    assert len(double.asked) == 1


def test_openrouters_list_brings_prices(cli: Cli, own: Path, double: ProviderDouble, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("OPENROUTER_BASE_URL", f"{double.url}/api/v1")
    assert "openrouter:claude-brand-new" not in listed(cli, "--provider", "openrouter")
    row = listed(cli, "--refresh", "--provider", "openrouter")["openrouter:claude-brand-new"]
    assert (row["max_output"], row["usd_per_mtok"]["input"]) == (777, 1.0)  # type: ignore[index]
    assert str(row["price_ref"]).startswith("openrouter.pricing.yaml@")


def test_a_refresh_that_fails_is_told_and_the_rest_is_listed(cli: Cli, own: Path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
    result = cli("models", "fresh", "--refresh")
    assert result.exit_code == 0
    assert "warning: anthropic: " in result.stderr
    assert "anthropic:fresh" in result.stdout


def test_check_tells_states_apart_and_exits_by_them(
    cli: Cli, own: Path, double: ProviderDouble, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{double.url}/v1")
    good = cli("models", "check", "gpt-4o")
    assert (good.exit_code, double.works) == (0, [])
    assert "openai:gpt-4o" in good.stdout
    assert "ok" in good.stdout
    result = cli("models", "check", "gpt-4o", "openai:gpt-4", "claude", "--json")
    assert result.exit_code == 1
    states = {row["model"]: row["state"] for row in json.loads(result.stdout)}
    assert states == {
        "openai:gpt-4o": "ok",
        "openai:gpt-4": "model_missing",
        "anthropic:claude-sonnet-5-5": "no_credential",
    }
    assert cli("models", "check", "no-such").exit_code == 2


def test_a_deep_check_makes_one_small_call_and_says_its_cost(
    cli: Cli, double: ProviderDouble, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{double.url}/v1")
    with override_allow_model_requests(True):
        result = cli("models", "check", "--deep", "openai-chat:gpt-4o", "--json")
    assert result.exit_code == 0, result.output
    [asked] = double.works
    assert asked.json["max_completion_tokens"] == 1
    [found] = json.loads(result.stdout)
    assert "a call of 15 tokens cost $0.000075" in found["says"]  # 10 in at 2.50, 5 out at 10


def test_a_deep_check_whose_price_is_unknown_is_not_made(
    cli: Cli, double: ProviderDouble, home: Path, monkeypatch
):
    (home / "here/mechagym.toml").write_text(
        f'[llm.providers.mine]\nbase_url = "{double.url}/v1"\n'
    )
    with override_allow_model_requests(True):
        result = cli("models", "check", "--deep", "mine:gpt-4o", "--json")
    [found] = json.loads(result.stdout)
    assert "not called: mine:gpt-4o: its price is unknown" in found["says"]
    assert double.works == []


@pytest.mark.must("llm-4", "llm-8")
@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("anthropic:aged", "anthropic:aged was retired on 2026-01-01\n  take anthropic:fresh"),
        ("anthropic:claude-haiku-45", "nearest: anthropic:claude-haiku-4-5"),
        ("gtp-4o", "nearest: openai:gpt-4o"),
        ("opnai:gpt-4o", "no provider is called 'opnai'"),
        ("vllm:x", "VLLM_BASE_URL"),
        ("reader=gpt-4o", "'reader' is no role"),
        ("actor=gpt-4o", "has the role actor"),
    ],
)
def test_a_job_is_refused_for_its_model_before_it_starts(
    cli: Cli, own: Path, tasks: Path, model: str, says: str
):
    result = cli("run", tasks, "-a", "nop", "-m", model)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not (own.parent.parent / "here/jobs").exists()


@pytest.mark.must("llm-4")
def test_a_job_knows_its_models_by_their_full_ids(cli: Cli, own: Path, tasks: Path):
    result = cli(
        "run", tasks, "-a", "nop", "-m", "gpt-4o", "-m", "openai:gpt-4o",
        "-m", "anthropic:ageing", "-m", "ollama:qwen3:8b", "--dry-run", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["models"] == [
        "openai:gpt-4o",
        "anthropic:ageing",
        "ollama:qwen3:8b",
    ]
    warnings = [line for line in result.stderr.splitlines() if "retired" in line]
    assert warnings == [
        f"warning: anthropic:ageing will be retired on {SOON}: take anthropic:fresh"
    ]


@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        ("gpt", ["gpt-4o"]),
        ("anthropic:fr", ["anthropic:fresh"]),
        ("anthropic:age", ["anthropic:ageing"]),
    ],
)
def test_the_shell_offers_models(own: Path, begun: str, offered: list[str]):
    context, parameter = click.Context(click.Command("x")), click.Option(["--model"])
    assert models(context, parameter, begun) == offered
    assert "ollama:" in models(context, parameter, "")


@pytest.mark.parametrize(
    ("agent", "flags", "models"),
    [
        ("claude-code", (), ["anthropic:fresh"]),
        ("claude-code", ("-m", "claude"), ["anthropic:claude-sonnet-5-5"]),
        ("nop", (), []),
    ],
)
def test_the_default_model_is_for_agents_that_need_one(
    cli: Cli, own: Path, tasks: Path, monkeypatch, agent: str, flags, models: list[str]
):
    (own / "settings.toml").write_text('[llm]\ndefault_model = "anthropic:fresh"\n')
    result = cli("run", tasks, "-a", agent, *flags, "--dry-run", "--json", "--budget", 1)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["models"] == models


@pytest.mark.parametrize(
    ("flags", "cost", "says"),
    [
        (("-a", "nop", "-m", FRESH), 0, "cost at worst: $0"),
        (("-a", "claude-code", "-m", FRESH), None, "not bounded: set --budget"),
        (
            ("-a", "claude-code", "-a", "nop", "-m", FRESH, "--trial-budget", "0.5"),
            1.5,
            "$1.50, by the limit on usd of each trial, in up to 3 tries",
        ),
        (
            ("-a", "claude-code", "-m", FRESH, "--set", "budget.tokens=100000"),
            0.7,
            "$0.70, by the limit on tokens of the job",
        ),
        (("-a", "claude-code", "-m", "anthropic:ripe", "--budget", "5"), None, "unknown, as the"),
    ],
)
def test_a_dry_run_says_what_the_job_costs_at_worst(
    cli: Cli, own: Path, tasks: Path, flags: tuple[str, ...], cost: float | None, says: str
):
    result = cli("run", tasks, *flags, "--dry-run", "--json")
    assert result.exit_code == 0, result.stderr
    plan = json.loads(result.stdout)
    assert plan["worst_case"]["cost_usd"] == cost
    calls = {call["model"]: call["worst_usd"] for call in plan["calls"]}
    assert calls in ({}, {FRESH: 0.400615}, {"anthropic:ripe": None})
    shown = cli("run", tasks, *flags, "--dry-run")
    assert says in " ".join(shown.stdout.split())
    assert ("price is unknown" in shown.stderr) == ("unknown" in says)


@pytest.fixture
def tasks(home: Path, monkeypatch) -> Path:
    """One task, in the memory sandbox."""
    monkeypatch.setenv("MECHAGYM_SANDBOX", "memory")
    folder = home / "here/tasks/one"
    (folder / "tests").mkdir(parents=True)
    (folder / "task.toml").write_text(
        'schema_version = "1.4"\nenvironment = {docker_image = "a"}\n'
    )
    (folder / "instruction.md").write_text("Do nothing.\n")
    (folder / "tests/test.sh").write_text("echo 1 > /logs/verifier/reward.txt\n")
    return folder.parent


@pytest.mark.must("llm-4")
def test_ones_own_aliases_lie_over_the_shipped_ones(cli: Cli, own: Path, tasks: Path):
    (own / "models.yaml").write_text('version: 1\naliases: {mine: "anthropic:fresh", fm: "fm:x"}\n')

    def named(alias: str) -> object:
        result = cli("run", tasks, "-a", "nop", "-m", alias, "--dry-run", "--json")
        return json.loads(result.stdout)["models"]

    assert named("mine") == ["anthropic:fresh"]
    assert named("fm") == ["fm:x"]
    assert named("gpt-4o") == ["openai:gpt-4o"]
