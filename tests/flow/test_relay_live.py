"""The real Claude Code in a Docker box whose one way out is a relay."""

import shutil

import pytest

from mechagym.events import BoxOpened, ModelAnswered, NetworkProved
from mechagym.records import Outcome
from mechagym.testing.provider import provider_double
from tests.flow.conftest import BOXES, KEY, TASKS, Host
from tests.flow.test_clis_live import SHELLS, TASK, turns, variables

AGENT = "claude-code@2.1.197"
NOT_ALL_OF_ROOT = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", "--")
"""Who may not enter other namespaces: the first way into a box does not work."""

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.usefixtures("npm")]


@pytest.mark.must("llm-28", "llm-33")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv: util-linux")
async def test_it_solves_a_task_through_a_relay_alone(host: Host):
    async with provider_double(turns(AGENT), key=KEY) as double:
        done = await host.run(
            *(str(TASKS), "-t", TASK, "-a", AGENT, "-m", SHELLS[AGENT][2], *BOXES["docker"]),
            env=variables(AGENT, double.url),
            by=NOT_ALL_OF_ROOT,
        )
    assert done.exit_code == 0, done.err + done.out
    (record,) = await done.records()
    assert (record.outcome, record.reward) == (Outcome.PASSED, 1.0)
    bodies = await done.events(record.key.trial_id)
    (box,) = [body.box for body in bodies if isinstance(body, BoxOpened)]
    assert "way in: relay" in box.notes
    assert sum(isinstance(body, ModelAnswered) for body in bodies) >= 3
    proofs = [body for body in bodies if isinstance(body, NetworkProved)]
    assert proofs
    assert all(proof.held for proof in proofs)
    events = (done.folder / record.key.trial_name / "events.jsonl").read_text(encoding="utf-8")
    assert "REACHED-THE-WORLD" not in events
