"""A private PostgreSQL server in a temporary folder: no port, no service, gone afterwards."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

INSTALL = "install it with: apt-get install postgresql && pip install 'mechagym[postgres]'"
NOBODY = 65534


def _programs() -> Path:
    """The folder of `initdb` and `pg_ctl`; Debian keeps them off the PATH."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        return folder
    found = shutil.which("pg_ctl")
    if found is None:
        pytest.skip(f"PostgreSQL is not installed; {INSTALL}")
    return Path(found).parent


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run a server and give the URL of its socket, without a database name."""
    pytest.importorskip("psycopg", reason=INSTALL)
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="mg-pg-", dir="/tmp"))
    user = NOBODY if os.getuid() == 0 else None
    if user is not None:
        os.chown(folder, user, user)

    def run(*argv: str) -> None:
        done = subprocess.run(
            argv, user=user, group=user, cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"

    data, log = str(folder / "data"), str(folder / "log")
    options = f"-c listen_addresses= -k {folder} -c fsync=off"
    try:
        run(str(programs / "initdb"), "-D", data, "-U", "gym", "-A", "trust", "-E", "UTF8")
        run(str(programs / "pg_ctl"), "-D", data, "-l", log, "-w", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://gym@/{{name}}?host={folder}"
        finally:
            run(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)
