"""How the command starts: quick, light, and without a part that is not needed."""

import os
import subprocess
import sys

import pytest

from mechagym.cli import app
from mechagym.cli.lazy import Later

HEAVY = (
    *("pydantic", "httpx2", "sqlalchemy", "rich", "yaml", "alembic", "anyio", "asyncio"),
    *("pydantic_ai", "genai_prices", "httpx2", "anthropic", "openai", "google.genai"),
)
PROBE = """
import sys
sys.argv = ["mechagym", *{args!r}]
from mechagym.cli import main
try:
    main()
except SystemExit:
    pass
loaded = [name for name in {heavy!r} if name in sys.modules]
status = open("/proc/self/status").read()  # not ru_maxrss: that has the parent's in it
memory_kb = int(status.split("VmHWM:")[1].split()[0])
print(loaded, memory_kb // 1024, "click" in sys.modules, file=sys.stderr)
"""


def start(*args: str) -> tuple[list[str], str]:
    """Run the command in a fresh process: its last line of stderr in words, and its stdout."""
    code = PROBE.format(args=args, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stderr.strip().splitlines()[-1].rsplit(" ", 2), done.stdout


@pytest.mark.must("llm-1")
@pytest.mark.parametrize("args", [("--help",), *((name, "--help") for name in app.COMMANDS)])
def test_help_imports_click_alone(args):
    (loaded, memory_mb, _), out = start(*args)
    assert out.startswith("Usage: ")
    assert loaded == "[]"
    assert int(memory_mb) <= 45


def test_version_does_not_even_import_click():
    (loaded, _, click), out = start("--version")
    assert (loaded, click) == ("[]", "False")
    assert out.startswith("mechagym ")


@pytest.mark.must("llm-1")
@pytest.mark.parametrize(("arg", "limit_s"), [("--version", 0.1), ("--help", 0.2)])
def test_it_starts_quick(arg, limit_s):
    """By processor time, which a busy machine does not stretch: at rest it is the wall time too."""

    def once() -> float:
        before = os.times()
        subprocess.run(
            [sys.executable, "-m", "mechagym", arg], stdout=subprocess.DEVNULL, check=True
        )
        after = os.times()
        return sum(after[2:4]) - sum(before[2:4])

    assert min(once() for _ in range(5)) <= limit_s


@pytest.mark.parametrize("name", app.COMMANDS)
def test_every_command_is_there(name):
    command = app.mechagym.commands[name]
    assert isinstance(command, Later)
    assert command.load().name == name
    assert not command.load().__doc__ or command.load().help


def test_unknown_commands_name_the_nearest(cli):
    result = cli("tsks")
    assert result.exit_code == 2
    assert "Did you mean 'tasks'?" in result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(cli, shell):
    result = cli("completion", shell)
    assert result.exit_code == 0
    assert "_MECHAGYM_COMPLETE" in result.stdout
