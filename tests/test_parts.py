"""What `scripts/install-parts` knows of a machine; whoever may not install is told, not stopped."""

import importlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"
NOBODY = 65534


@pytest.fixture
def debian(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("parts.debian")


def sources(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


ONE_LINE = """\
# deb http://old.example/debian sid main
deb http://security.example/debian-security bookworm-security main
deb [arch=amd64] http://near.example/debian/ bookworm main
"""
DEB822 = """\
Types: deb
# http://snapshot.example/debian
URIs: http://near.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://near.example/debian-security
Suites: bookworm-security
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [("sources.list", ONE_LINE), ("sources.list.d/debian.sources", DEB822)],
)
def test_the_mirror_is_the_hosts_own(
    debian: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, text: str
):
    sources(tmp_path, "sources.list.d/a-vendor.list", "deb https://vendor.example/linux any main\n")
    sources(tmp_path, name, text)
    monkeypatch.setattr(debian, "APT_FOLDER", tmp_path)
    assert debian.mirror() == "http://near.example/debian"


def test_a_machine_without_apt_sources_has_no_mirror(
    debian: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(debian, "APT_FOLDER", tmp_path)
    assert debian.mirror() == ""


def test_only_debian_itself_is_debian(
    debian: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    release = tmp_path / "os-release"
    monkeypatch.setattr(debian, "OS_RELEASE", release)
    assert not debian.is_debian()
    release.write_text('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n')
    assert not debian.is_debian()
    release.write_text('NAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n')
    assert debian.is_debian()


def test_what_is_missing_is_one_command(
    debian: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    here = debian.Part(package="here", shown_by=str(tmp_path), why="is there")
    gone = debian.Part(package="gone", shown_by=str(tmp_path / "no"), why="is not")
    assert debian.missing_of([here, gone]) == [gone]
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert debian.how_to([gone, gone]).splitlines()[1:] == [
        "  sudo apt-get install --no-install-recommends gone"
    ]


@pytest.fixture
def scripts_for_all() -> Iterator[Path]:
    """A copy of the scripts that every user may read, wherever this clone lies."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(shutil.copytree(SCRIPTS, Path(folder) / "scripts"))


@pytest.mark.parametrize("which", ["--demo", "--test"])
def test_an_ordinary_user_is_told_and_not_stopped(scripts_for_all: Path, which: str):
    interpreter = "/usr/bin/python3"  # one that every user may run
    if not Path(interpreter).exists():
        pytest.skip("Debian's python3 is not installed: scripts/install-parts --demo")
    user = NOBODY if os.geteuid() == 0 else None
    done = subprocess.run(
        [interpreter, str(scripts_for_all / "install-parts"), which],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        user=user,
        group=user,
    )
    assert done.returncode == 0, done.stderr
    assert "all parts are there" in done.stdout or "left out: " in done.stdout
