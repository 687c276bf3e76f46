"""Whole jobs by the real command, on real boxes, against a provider on loopback."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from mechagym.events import Event, EventBody
from mechagym.records import TrialRecord
from mechagym.store import Store

PROJECT = Path(__file__).parents[2]
TASKS = PROJECT / "examples" / "tasks"
KEY = "sk-planted-" + "0123456789abcdefghij"
RUN_S = 170
INTERPRETER = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
"""Where an interpreter that has our packages from elsewhere finds them."""

BOXES = {"docker": ("--sandbox", "docker"), "local": ("--sandbox", "local", "--base", "host")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How the command ended, and where its records are."""

    exit_code: int
    out: str
    err: str
    home: Path
    job: str

    @property
    def folder(self) -> Path:
        return self.home / "jobs" / self.job

    async def records(self) -> list[TrialRecord]:
        async with Store.open(f"sqlite:///{self.home / 'data' / 'mechagym.db'}") as store:
            row = await store.find_job(self.job)
            assert row is not None, self.err
            return await store.records(row.job_id)

    async def events(self, subject: str) -> list[EventBody]:
        async with Store.open(f"sqlite:///{self.home / 'data' / 'mechagym.db'}") as store:
            found: list[Event] = await store.events(subject, limit=100_000)
            return [event.body for event in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A home of the test's own. `tools`: the fetched programs, kept from run to run."""

    home: Path
    tools: Path

    async def run(
        self, *argv: str, job: str = "job", env: Mapping[str, str], by: Sequence[str] = ()
    ) -> Done:
        """Run `mechagym run …` with nothing in its environment but what is given; `by`: a program
        that runs it.
        """
        command = [*by, sys.executable, "-m", "mechagym", "run", *argv, "--name", job]
        with anyio.fail_after(RUN_S):
            ended = await anyio.run_process(
                command, env=self.environment(env), cwd=self.home, check=False
            )
        return Done(
            exit_code=ended.returncode,
            out=ended.stdout.decode(),
            err=ended.stderr.decode(),
            home=self.home,
            job=job,
        )

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Folders of its own, and more."""
        cache = self.home / "cache"
        cache.mkdir(exist_ok=True)
        if not (cache / "tools").exists():
            (cache / "tools").symlink_to(self.tools)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "MECHAGYM_CACHE_DIR": str(cache),
            "MECHAGYM_DATA_DIR": str(self.home / "data"),
            "MECHAGYM_JOBS_DIR": str(self.home / "jobs"),
            "COLUMNS": "80",
            **{name: os.environ[name] for name in INTERPRETER if name in os.environ},
            **more,
        }


@pytest.fixture
def host(tmp_path: Path, pytestconfig: pytest.Config) -> Host:
    assert pytestconfig.cache is not None
    return Host(home=tmp_path, tools=Path(pytestconfig.cache.mkdir("tools")))


@pytest.fixture(scope="session")
def npm() -> None:
    """The real command-line agents come by npm."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm: apt-get install npm")


def solution(task: str) -> str:
    """The script that solves a bundled task, run by bash whatever shell reads it."""
    text = (TASKS / task / "solution" / "solve.sh").read_text(encoding="utf-8")
    return f"bash <<'SOLUTION_OF_THE_TASK'\n{text}\nSOLUTION_OF_THE_TASK\n"


def holders(folder: Path, *needles: bytes) -> list[Path]:
    """The files below a folder that hold any of these bytes."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if any(needle in path.read_bytes() for needle in needles)]
