"""A host of its own for every command line test: home, folder and variables are the test's."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mechagym.cli.app import mechagym

Cli = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; the test stands in `home/here`, no variable of ours is set."""
    for name in list(os.environ):
        ours = name.startswith(("MECHAGYM_", "XDG_")) or name in {"NO_COLOR", "DOCKER_HOST"}
        if ours or name.upper().endswith(("_API_KEY", "_BASE_URL", "_PROXY", "_ORG_ID")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return tmp_path


@pytest.fixture
def cli(home: Path) -> Cli:
    """`cli("run", "x")` runs a command line and gives its exit code, output and stderr."""

    def run(*args: object) -> Result:
        return CliRunner().invoke(mechagym, [str(a) for a in args], terminal_width=80)

    return run
