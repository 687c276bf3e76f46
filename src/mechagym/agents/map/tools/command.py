"""`run_command`: a shell line in the working directory that persists, with an end in time.

The output is taken as it comes, both streams in one. What the command leaves in the background
lives on; what runs when its time is over dies with it.
"""

import shlex

from mechagym.agents.map.arguments import RunCommand
from mechagym.agents.map.tools.given import Given
from mechagym.agents.map.tools.shown import Gathering
from mechagym.sandbox.base import Box, ExecOptions

QUIET = {
    "CI": "1",
    "TERM": "dumb",
    "PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "DEBIAN_FRONTEND": "noninteractive",
    "PIP_NO_INPUT": "1",
}
"""What tells programs that nobody watches and nobody answers."""

_SHELL = "command -v bash || command -v sh"
# The folder is told when the shell ends, however it ends; `eval` keeps the line what it was.
_RUN = r"""
exec 2>&1
cd -- "$1" 2>/dev/null || { echo "[the folder $1 is gone: this runs in /]"; cd /; }
trap 'pwd > "$2"' EXIT
eval "$3"
"""
_BACKGROUND = r"""
cd -- "$1" 2>/dev/null || cd /
exec > "$2" 2>&1 < /dev/null
eval "$3"
"""


async def find_shell(box: Box) -> str:
    """Bash where the box has it, else sh."""
    result = await box.exec(("sh", "-c", _SHELL), ExecOptions(timeout_s=20.0))
    return result.text.strip() or "sh"


class Commands:
    """Runs commands of one box; `folder` is ours in it, for notes and logs."""

    def __init__(self, box: Box, *, program: str, folder: str) -> None:
        self._box, self._program, self._folder = box, program, folder
        self._started = 0

    async def run(self, asked: RunCommand, *, workdir: str, timeout_s: float) -> Given:
        """Run it, for at most `timeout_s`; or start it in the background."""
        if asked.background:
            return await self._start(asked, workdir)
        gathering, note = Gathering(), f"{self._folder}/cwd"
        options = ExecOptions(
            env=QUIET,
            timeout_s=timeout_s,
            limit_bytes=0,
            on_output=lambda _stream, data: gathering.add(data),
        )
        argv = (self._program, "-c", _RUN, "run", workdir, note, asked.command)
        result = await self._box.exec(argv, options)
        output = gathering.output()
        if result.timed_out:
            stated = f"ended after {timeout_s:g} s: it was not done; its output so far:"
            return Given(output=output, stated=stated, ok=False, timed_out=True)
        if result.signal:
            stated = f"ended by signal {result.signal}"
            return Given(output=output, stated=stated, ok=False, exit_code=result.exit_code)
        return Given(
            output=output,
            stated=f"exit code {result.exit_code}",
            ok=result.ok,
            exit_code=result.exit_code,
        )

    async def _start(self, asked: RunCommand, workdir: str) -> Given:
        self._started += 1
        log = f"{self._folder}/outputs/background-{self._started}.log"
        argv = (self._program, "-c", _BACKGROUND, "start", workdir, log, asked.command)
        result = await self._box.exec(argv, ExecOptions(env=QUIET, background=True))
        return Given(text=f"started with pid {result.pid}; its output goes to {log}")

    async def folder_now(self, workdir: str) -> str:
        """Where the last command left the shell, if that folder is still there."""
        script = f'cd -- "$(cat {shlex.quote(self._folder)}/cwd)" 2>/dev/null && pwd'
        result = await self._box.exec(("sh", "-c", script), ExecOptions(timeout_s=20.0))
        return result.text.rstrip("\n") or workdir
