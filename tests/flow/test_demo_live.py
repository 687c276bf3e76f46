"""What `make demo` shows of agents with a model: a scripted one, without key and network."""

import re
import shlex
from pathlib import Path

import pytest

from mechagym.records import Outcome
from tests.flow.conftest import PROJECT, TASKS, Host

pytestmark = pytest.mark.live

MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8").replace("\\\n\t", "")


def words(name: str) -> list[str]:
    """A variable of the Makefile, as the shell reads it; paths are the project's."""
    found = re.search(rf"^{name} = (.*)$", MAKEFILE, re.MULTILINE)
    assert found is not None
    value = re.sub(r"\$\((\w+)\)", lambda m: shlex.join(words(m[1])), found[1])
    return [re.sub(r"(^|[=:])(?=examples/)", rf"\1{PROJECT}/", word) for word in shlex.split(value)]


def test_its_paths_are_there():
    paths = [Path(re.sub(r".*[=:]", "", word)) for word in words("TINY") if "examples/" in word]
    assert TASKS in paths
    assert all(path.exists() for path in paths)


@pytest.mark.parametrize("agent", ["TINY", pytest.param("CLAUDE", marks=pytest.mark.slow)])
async def test_a_scripted_model_drives_an_agent_in_a_box(
    host: Host, agent: str, request: pytest.FixtureRequest
):
    argv = words(agent)
    if agent == "CLAUDE":
        request.getfixturevalue("npm")
        argv = ["claude-code@2.1.197" if word == "claude-code" else word for word in argv]
    done = await host.run(*argv, "--sandbox", "local", "--base", "host", env={})
    assert done.exit_code == 0, done.err + done.out
    (record,) = await done.records()
    assert record.outcome is Outcome.PASSED
    assert record.spend.billed_nano == 0
    assert record.spend.usage.tokens == 3_880
