"""Names become objects: ours, those of others by path, and helpful words for the rest."""

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from mechagym import config, wiring
from mechagym.agents.nop import NopAgent
from mechagym.errors import ConfigError, SandboxUnusable


@pytest.mark.parametrize("group", ["mechagym.agents", "mechagym.sandboxes"])
def test_every_entry_point_of_ours_resolves(group):
    points = [p for p in entry_points(group=group) if p.dist and p.dist.name == "mechagym"]
    assert points
    for point in points:
        assert callable(point.load()), point.name


def test_a_name_and_a_path_mean_the_same():
    assert wiring.agent_factory("nop") is NopAgent
    assert wiring.agent_factory("mechagym.agents.nop:NopAgent") is NopAgent


@pytest.mark.parametrize(
    ("name", "message", "remedy"),
    [
        ("orcale", "no agent is called 'orcale', did you mean `oracle`?", "nop, oracle"),
        ("no_such_pkg.mod:X", "No module named 'no_such_pkg'", "PYTHONPATH"),
        ("mechagym.agents.nop:NopAgnt", "did you mean `NopAgent`?", ""),
    ],
)
def test_unknown_agents(name, message, remedy):
    with pytest.raises(ConfigError) as caught:
        wiring.agent_factory(name)
    assert message in caught.value.message
    assert remedy in (caught.value.remedy or "")


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch):
    plugin = tmp_path / "acme-1.0.dist-info"
    plugin.mkdir()
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (plugin / "entry_points.txt").write_text(
        "[mechagym.agents]\nfancy = acme_fancy:Agent [fancy]\nplain = acme_plain:Agent\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert {"fancy", "plain", "oracle"} <= set(wiring.names("agent"))
    with pytest.raises(ConfigError) as caught:
        wiring.agent_factory("fancy")
    assert caught.value.remedy == "install its extra: pip install 'acme[fancy]'"
    with pytest.raises(ConfigError) as caught:
        wiring.agent_factory("plain")
    assert "acme, which brings it, lacks acme_plain" in (caught.value.remedy or "")


async def opened(name: str, *, trusts_host: bool = False) -> wiring.Chosen:
    async with wiring.open_sandbox(name, config.load(), trusts_host=trusts_host) as chosen:
        return chosen


async def test_a_sandbox_by_name(home: Path):
    assert (await opened("memory")).sandbox.name == "memory"
    assert (await opened("mechagym.testing.memory:MemorySandbox")).sandbox.name == "memory"


async def test_a_sandbox_that_is_away_says_why_and_what_to_do(home: Path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with pytest.raises(SandboxUnusable) as caught:
        await opened("docker")
    assert "docker: " in str(caught.value)
    assert "/nowhere.sock" in str(caught.value)


async def test_auto_passes_over_what_is_away(home: Path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    monkeypatch.setattr("mechagym.wiring.sandboxes.AUTO", ("docker", "memory"))
    chosen = await opened("auto")
    assert chosen.sandbox.name == "memory"
    assert [probe.backend for probe in chosen.passed_over] == ["docker"]


async def test_auto_never_means_a_backend_that_isolates_nothing():
    assert not {"host", "memory"} & set(wiring.AUTO)


async def test_the_host_must_be_trusted_in_words(home: Path):
    with pytest.raises(ConfigError, match="isolates nothing"):
        await opened("host")
    assert (await opened("host", trusts_host=True)).sandbox.name == "host"
