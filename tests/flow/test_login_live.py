"""A login mounted into a box, since somebody asked for it: the real Claude Code reads it there."""

import json
import signal
import stat
import sys
import time
from subprocess import DEVNULL

import anyio
import pytest

from mechagym.events import CredentialExposed, ModelAnswered, ToolReturned
from mechagym.records import Outcome
from mechagym.testing.provider import ToolCall, Trouble, Turn, always, provider_double
from tests.flow.conftest import BOXES, TASKS, Host, holders, solution

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.usefixtures("npm")]

TASK = "regex-failed-logins"
AGENT = "claude-code@2.1.197"
LOGIN = "sk-ant-oat01-planted-login-0123456789"
REFRESH = "sk-ant-ort01-planted-refresh-0123456789"
MOUNT = {"MECHAGYM_LLM__CREDENTIAL": "claude-code", "MECHAGYM_LLM__DELIVERY": "mount"}
LOOK = """\
file=/root/.claude/.credentials.json
stat -c 'file %a %u %F' "$file"; stat -L -c 'linked %a %F' "$CLAUDE_CONFIG_DIR/.credentials.json"
if echo x >>"$file" || rm -f "$file" || chmod 644 "$file"; then echo WRITTEN; fi; echo tried
touch /root/.claude/other && echo beside-it
grep -c accessToken "$file"; grep -c efreshToken "$file"
env | grep -c ANTHROPIC_API_KEY
"""


def plant(host: Host) -> None:
    login = {
        "accessToken": LOGIN,
        "refreshToken": REFRESH,
        "expiresAt": int((time.time() + 3600) * 1000),
        "scopes": ["user:inference"],
    }
    folder = host.home / ".claude"
    folder.mkdir()
    (folder / ".credentials.json").write_text(json.dumps({"claudeAiOauth": login}))


def turns(*scripts: str) -> list[Turn]:
    said = [
        ToolCall(id=f"call_{number}", name="Bash", arguments={"command": text})
        for number, text in enumerate(scripts)
    ]
    return [*(Turn(text="So.", calls=(call,)) for call in said), Turn(text="Done.")]


WHAT: tuple[str, ...] = (str(TASKS), "-t", TASK, "-a", AGENT, "-m", "anthropic:claude-haiku-4-5")
WHAT += ("--set", "budget.tokens=1000000")


@pytest.mark.must("llm-12")
@pytest.mark.parametrize("box", BOXES)
async def test_claude_code_is_logged_in_by_a_file_of_its_box(host: Host, box: str):
    plant(host)
    async with provider_double(turns(LOOK, solution(TASK)), key=LOGIN) as double:
        env = {"ANTHROPIC_BASE_URL": double.url, **MOUNT}
        done = await host.run(*WHAT, *BOXES[box], env=env)
    assert done.exit_code == 0, done.err + done.out
    (record,) = await done.records()
    assert record.outcome is Outcome.PASSED
    assert record.counted.credential_exposed
    bodies = await done.events(record.key.trial_id)
    (exposed,) = [body for body in bodies if isinstance(body, CredentialExposed)]
    assert exposed.target == "/root/.claude/.credentials.json"
    first = next(body for body in bodies if isinstance(body, ToolReturned))
    seen = [line for line in first.output.splitlines() if "/root" not in line]
    assert seen[:2] == ["file 600 0 regular file", "linked 600 regular file"], first.output
    assert "WRITTEN" not in seen
    assert seen[-5:] == ["tried", "beside-it", "1", "0", "0"], first.output

    # through the gateway, at the trial's expense, by the login as a bearer
    answers = [body for body in bodies if isinstance(body, ModelAnswered)]
    assert len(answers) == len(double.works) == 3
    assert record.spend.billed_nano == 0
    assert record.spend.imputed_nano > 0
    for asked in double.works:
        assert asked.headers["authorization"] == f"Bearer {LOGIN}"
        assert "oauth-2025-04-20" in asked.headers["anthropic-beta"]
        assert not {"x-mechagym-token", "x-api-key"} & asked.headers.keys()

    own = host.home / ".claude" / ".credentials.json"
    assert holders(host.home, LOGIN.encode()) == [own]
    assert holders(host.home, REFRESH.encode()) == [own]
    assert list((host.home / "data" / "logins").iterdir()) == []
    result = json.loads((done.folder / record.key.trial_name / "result.json").read_text())
    assert result["agent_result"]["metadata"]["credential_exposed"] is True


@pytest.mark.must("llm-12")
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_it_is_gone_after_a_signal_or_with_the_next_start(host: Host, by: signal.Signals):
    plant(host)
    logins = host.home / "data" / "logins"
    slow = always(Turn(text="late", trouble=Trouble(wait_s=60)))
    async with provider_double(slow) as double:
        env = host.environment({"ANTHROPIC_BASE_URL": double.url, **MOUNT})
        argv = [sys.executable, "-m", "mechagym", "run", *WHAT, *BOXES["local"], "--name", "job"]
        async with await anyio.open_process(
            argv, env=env, cwd=host.home, stdout=DEVNULL, stderr=DEVNULL
        ) as job:
            with anyio.fail_after(60):
                while not double.works:
                    await anyio.sleep(0.1)
            (place,) = [path for path in logins.iterdir() if path.is_dir()]
            (file,) = place.iterdir()
            assert [stat.S_IMODE(path.stat().st_mode) for path in (place, file)] == [0o700, 0o600]
            job.send_signal(by)
            with anyio.fail_after(30):
                await job.wait()
        assert file.exists() is (by == signal.SIGKILL)
        again = await host.run(
            *(str(TASKS), "-t", TASK, "-a", "nop", *BOXES["local"]), job="again", env={}
        )
        assert again.exit_code == 0, again.err
        assert list(logins.iterdir()) == []
