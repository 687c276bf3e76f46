"""The programs of installed agents: fetched once, whole or not at all, and what is said if not."""

import io
import tarfile
import threading
from pathlib import Path

import anyio
import pytest

from mechagym.agents.installed.tools import Tool, Toolbox
from mechagym.errors import AgentSetupError

TOOL = Tool(
    name="tool",
    command="the-tool",
    package="@x/tool",
    build="@x/tool-{machine}{suffix}@{version}",
    binary="bin/tool",
)
NPM = """#!/bin/sh
echo "$*" >>{log}
[ "$1" = view ] && {{ echo 2.0.10; exit 0; }}
case "$2" in *@6.6.6) echo "npm error code E404
npm error notarget No such version" >&2; exit 1;; esac
sleep 0.2
cp {archive} "$4"/package-1.0.0.tgz
"""


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An npm that has one package, and writes down what it was asked; nothing else is on PATH."""
    archive = tmp_path / "package.tgz"
    with tarfile.open(archive, "w:gz") as stream:
        data = b"#!/bin/sh\necho 1.2.3\n"
        entry = tarfile.TarInfo("package/bin/tool")
        entry.size = len(data)
        stream.addfile(entry, io.BytesIO(data))
    log = tmp_path / "asked"
    log.touch()
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "npm"
    script.write_text(NPM.format(log=log, archive=archive), encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return log


def test_it_is_fetched_once_however_many_ask(tmp_path: Path, npm: Path):
    async def ask() -> None:
        folder = await Toolbox(tmp_path / "cache").have(TOOL, "1.0.0")
        program = folder / TOOL.path("glibc")
        assert program.read_bytes().startswith(b"#!/bin/sh")
        assert program.stat().st_mode & 0o111

    threads = [threading.Thread(target=anyio.run, args=(ask,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert npm.read_text(encoding="utf-8").count("pack @") == 1
    kept = [path.name for path in (tmp_path / "cache" / "tool").iterdir()]
    assert sorted(kept) == ["1.0.0", "1.0.0.lock"]


async def test_the_build_for_another_libc_joins_the_same_folder(tmp_path: Path, npm: Path):
    box = Toolbox(tmp_path / "cache")
    folder = await box.have(TOOL, "1.0.0")
    assert await box.have(TOOL, "1.0.0", "musl") == folder == box.folder(TOOL, "1.0.0")
    assert TOOL.path("musl") != TOOL.path("glibc")
    assert (folder / TOOL.path("musl")).exists()
    assert "-musl@1.0.0" in npm.read_text(encoding="utf-8")


@pytest.mark.usefixtures("npm")
async def test_the_version_that_is_taken(tmp_path: Path):
    box = Toolbox(tmp_path / "cache")
    assert await box.version(TOOL, "7.7.7") == "7.7.7"
    assert await box.version(TOOL, None) == "2.0.10"  # npm's, as nothing is here
    for version in ("1.0.9", "1.0.10"):
        await box.have(TOOL, version)
    assert await box.version(TOOL, None) == "1.0.10"  # the newest that is here
    assert await box.version(TOOL, "latest") == "2.0.10"


@pytest.mark.usefixtures("npm")
async def test_what_cannot_be_had_says_why_and_leaves_nothing(tmp_path: Path):
    with pytest.raises(
        AgentSetupError, match=r"6\.6\.6 for glibc cannot be had: code E404; notarget No such"
    ):
        await Toolbox(tmp_path / "cache").have(TOOL, "6.6.6")
    assert not list((tmp_path / "cache" / "tool" / "6.6.6").iterdir())


async def test_without_npm_the_hosts_own_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    box = Toolbox(tmp_path / "cache")
    with pytest.raises(AgentSetupError, match="no npm on this host") as caught:
        await box.version(TOOL, None)
    assert "install Node.js" in (caught.value.remedy or "")
    own = tmp_path / "bin" / "the-tool"
    own.write_text("#!/bin/sh\necho 3.2.1 the tool\n", encoding="utf-8")
    own.chmod(0o755)
    assert await box.version(TOOL, None) == "3.2.1"
    folder = await box.have(TOOL, "3.2.1")
    assert (folder / TOOL.path("glibc")).read_bytes() == own.read_bytes()
