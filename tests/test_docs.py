"""What the pages say is so: commands exist with these options, links lead somewhere, sessions run.

A fenced block ```console shows commands (after `$ `, going on after `> `) and what they print: each
command is parsed by the command line itself. A block ```console run is a session that works as it
stands, in a folder that holds `examples/` and nothing else: the test runs a page's sessions in one
shell, in order.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mechagym.cli.app import mechagym

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```console([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


def commands(page: Path, tag: str | None = None) -> list[str]:
    """The commands of a page's console blocks; with a tag, of the blocks that carry it."""
    found: list[str] = []
    for info, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if tag is None or tag in info.split():
            for line in body.splitlines():
                if line.startswith("$ "):
                    found.append(line.removeprefix("$ "))
                elif line.startswith("> "):
                    found[-1] += "\n" + line.removeprefix("> ")
    return found


def parse(words: list[str]) -> None:
    """Let the command line read these words, as far as it can without doing anything."""
    command: click.Command = mechagym
    context = command.make_context("mechagym", words)
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest:
            assert command.invoke_without_command, f"{words}: a command is missing"
            return
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None, words
        command = found
        context = command.make_context(name, rest, parent=context)


@each_page
def test_its_commands_exist(page: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    targets = TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8"))
    for command in commands(page):
        match shlex.split(command.replace("\\\n", ""), comments=True):
            case ["mechagym", *words]:
                try:
                    parse(words)
                except click.UsageError as error:
                    # A file that an earlier command of the page would have made is none here.
                    if "does not exist" not in error.format_message():
                        pytest.fail(f"{command}: {error.format_message()}")
                except click.exceptions.Exit:
                    pass
            case ["make", target]:
                assert target in targets, command


@each_page
def test_its_links_lead_somewhere(page: Path):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands(page, "run")], ids=lambda p: p.name
)
def test_its_sessions_run(page: Path, tmp_path: Path):
    work = tmp_path / "work"
    shutil.copytree(ROOT / "examples", work / "examples")
    script = "".join(f"echo '$' {shlex.quote(c)}\n{c}\n" for c in commands(page, "run"))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=work,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "LANG": "C.UTF-8",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    if "no sandbox is usable" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
