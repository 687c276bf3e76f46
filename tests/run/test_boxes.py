"""From a task to its box: what of the network is known when it is opened."""

from pathlib import Path

import pytest

from mechagym.run.boxes import stays_offline
from tests.run.gym import make_task

NO, OPEN = 'network_mode = "no-network"\n', 'network_mode = "public"\n'
LISTED = 'network_mode = "allowlist"\nallowed_hosts = ["example.org"]\n'


@pytest.mark.parametrize(
    ("environment", "agent", "verifier", "stays"),
    [
        (NO, "", "", True),
        (NO, LISTED, "", True),
        (NO, OPEN, "", False),
        (NO, "", OPEN, False),
        (OPEN, NO, NO, True),
        ("", "", "", False),
    ],
)
def test_a_box_stays_offline_where_no_phase_has_an_open_network(
    tmp_path: Path, environment: str, agent: str, verifier: str, stays: bool
):
    sections = {"environment": environment, "agent": agent, "verifier": verifier}
    toml = 'schema_version = "1.4"\n' + "".join(f"[{k}]\n{v}" for k, v in sections.items())
    assert stays_offline(make_task(tmp_path, toml=toml)) is stays
