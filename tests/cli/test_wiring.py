"""Names become objects: ours, those of others by path, and helpful words for the rest."""

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from mechagym import wiring
from mechagym.agents.nop import NopAgent
from mechagym.errors import ConfigError


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
        ("orcale", "no agent is called 'orcale', did you mean `oracle`?", "there are: nop, oracle"),
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
