"""Running the commands of others: said before, and their fault kept in one text."""

import os
import subprocess
from collections.abc import Mapping, Sequence

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(argv: Sequence[str], *, show: str, env: Mapping[str, str] | None = None) -> str | None:
    """Run a command after showing what it is for; its fault with the last lines, or None."""
    print(show, flush=True)
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:{SYSTEM_PATH}", **(env or {})},
    )
    if done.returncode == 0:
        return None
    tail = "\n  ".join(done.stdout.splitlines()[-15:])
    return f"{argv[0]} failed with exit code {done.returncode}\n  {tail}"
