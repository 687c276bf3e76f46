"""A box is surveyed where it is: on Debian, on busybox alone, and without Python."""

import io
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mechagym.errors import SandboxError
from mechagym.records import from_json, to_json
from mechagym.records.survey import Survey
from mechagym.sandbox.base import Box, BoxSpec, RegistryImage
from mechagym.sandbox.survey import names_in, survey
from tests.actors import BOXES, open_box, sandbox_of
from tests.testgen.boxes import NOTHING, python_box, tree_of

APPLETS = (
    "sh ls cat head tail sort grep sed awk tr wc stat id uname df mkdir rm env sha256sum cut find"
    " printf sleep true nproc tar chmod chown touch mv readlink test expr basename dirname"
)
TAG = "mechagym-test-busybox:1"


@asynccontextmanager
async def busybox_box() -> AsyncIterator[Box]:
    """A machine that has busybox and nothing else: what an Alpine without packages is."""
    if not shutil.which("busybox"):
        pytest.skip("apt-get install busybox-static")
    sandbox = sandbox_of("docker")
    probe = await sandbox.probe()
    if not probe.usable:
        pytest.skip(f"docker: {probe.reason}; {probe.remedy}")
    if subprocess.run(["docker", "image", "inspect", TAG], capture_output=True).returncode:
        subprocess.run(
            ["docker", "import", "-", TAG], input=_root(), capture_output=True, check=True
        )
    image = RegistryImage(reference=TAG)
    await sandbox.prepare(image, lambda _: None)
    async with sandbox.open(BoxSpec(image=image, workdir="/app", network=NOTHING)) as box:
        yield box


def _root() -> bytes:
    """The root of such a machine, as an archive."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        archive.add(shutil.which("busybox") or "", "bin/busybox")
        for applet in APPLETS.split():
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        for folder in ("app", "tmp", "proc", "etc", "root"):
            made = tarfile.TarInfo(folder)
            made.type, made.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(made)
        passwd = tarfile.TarInfo("etc/passwd")
        text = b"root:x:0:0:root:/root:/bin/sh\n"
        passwd.size = len(text)
        archive.addfile(passwd, io.BytesIO(text))
    return raw.getvalue()


async def fill(box: Box) -> None:
    """Files of several kinds, and a name that needs care."""
    await box.put(b"name;qty\nx;1\n", "/app/data/stock.csv")
    await box.put(b"def total(values):\n    return 0\n", "/app/shelf.py")
    await box.put(b"\x00\x01\x02", "/app/blob.bin")
    await box.put(b"a line\n", "/app/two words.txt")
    await box.put(b"deep\n", "/app/a/b/c/too_deep.txt")
    await box.put(b"ref\n", "/app/.git/HEAD")


def check(found: Survey) -> None:
    """What every machine tells."""
    assert (found.workdir, found.user, found.lacks) == ("/app", "root", ())
    files = {file.path: file for file in found.files}
    assert files["/app/shelf.py"].size_bytes == 32
    assert files["/app/data"].is_folder
    assert "/app/two words.txt" in files
    assert "/app/a/b/c/too_deep.txt" not in files
    assert not any("/.git" in path for path in files)
    previews = {preview.path: preview for preview in found.previews}
    assert previews["/app/shelf.py"].names == ("total",)
    assert previews["/app/data/stock.csv"].names == ("name", "qty")
    assert "/app/blob.bin" not in previews
    assert "grep" in found.tools
    assert from_json(Survey, to_json(found)) == found


@pytest.mark.must("testgen-4")
@pytest.mark.parametrize("name", BOXES[1:])
async def test_survey_of_debian_without_python(name: str):
    async with open_box(name) as box:
        await fill(box)
        before = await tree_of(box, "/app", "/tmp", "/root")
        found = await survey(box, timeout_s=20)
        assert await tree_of(box, "/app", "/tmp", "/root") == before
    check(found)
    assert "Debian" in found.distribution
    assert found.language("Python") is None
    assert found.package_managers == ("apt-get",)
    assert found.cpus
    assert found.memory_mb
    assert found.disk_free_mb
    assert "PATH" in found.env_names


@pytest.mark.live
@pytest.mark.must("testgen-4")
async def test_survey_of_a_machine_with_busybox_alone():
    async with busybox_box() as box:
        await fill(box)
        found = await survey(box, timeout_s=20)
    check(found)
    assert found.languages == ()
    assert found.shell == "sh"
    assert found.cpus


@pytest.mark.live
@pytest.mark.must("testgen-4")
async def test_survey_of_a_machine_with_python():
    async with python_box() as box:
        found = await survey(box, timeout_s=20)
    language = found.language("Python")
    assert language is not None
    assert language.version.startswith("3.")
    assert any("==" in package for package in language.packages)
    assert len(language.packages) <= 200


async def test_survey_of_a_small_machine():
    async with open_box("memory") as box:
        await box.put(b"a,b\n1,2\n", "/app/x.csv")
        found = await survey(box, timeout_s=20)
    assert [preview.names for preview in found.previews] == [("a", "b")]


@pytest.mark.live
async def test_secrets_and_values_of_the_environment_stay_there():
    async with open_box("local") as box:
        found = await survey(_WithEnv(box), timeout_s=20)  # type: ignore[arg-type]
    assert "PLAIN" in found.env_names
    assert "TWO" in found.env_names
    assert not any(name.startswith(("MY_", "leaked")) for name in found.env_names)
    assert "planted" not in to_json(found)


class _WithEnv:
    """A box in which some variables are set."""

    def __init__(self, box: Box) -> None:
        self._box, self.info = box, box.info

    async def exec(self, argv, options):
        from dataclasses import replace

        env = {
            "PLAIN": "planted-1",
            "MY_API_KEY": "planted-2",
            "MY_PASSWORD": "planted-3",
            "TWO": "x\nleaked=planted-4",
        }
        return await self._box.exec(argv, replace(options, env=env))


@pytest.mark.live
async def test_a_survey_that_takes_too_long_tells_what_it_lacks():
    async with open_box("local") as box:
        slow = "#!/bin/sh\nsleep 30\n"
        await box.put(slow.encode(), "/usr/local/bin/node")
        await box.exec(["chmod", "+x", "/usr/local/bin/node"])
        found = await survey(box, timeout_s=3)
    assert found.lacks == ("languages", "packages")
    assert "grep" in found.tools


@pytest.mark.live
async def test_a_box_that_answers_nothing_is_an_error():
    async with open_box("local") as box:
        await box.exec(["sh", "-c", "rm -f /bin/sh /usr/bin/sh"])
        with pytest.raises(SandboxError) as caught:
            await survey(box, timeout_s=5)
    assert caught.value.reason == "no_survey"


@pytest.mark.parametrize(
    ("path", "text", "names"),
    [
        ("a.py", "class A:\n    async def b(self): ...\n", ("A", "b")),
        ("a.js", "function f(){}\nconst g = (x) => x\nclass H {}", ("f", "g", "H")),
        ("a.c", "static int add(int a) {\n}\nint x = add(1);\n", ("add",)),
        ("a.rs", "pub fn go() {}\nstruct S;", ("go", "S")),
        ("a.go", "func (r *R) Do() {}\ntype T struct {}", ("Do", "T")),
        ("a.R", "fit <- function(x) x\n", ("fit",)),
        ("a.json", '{"a": [{"b": 1}]}', ("a", "b")),
        ("a.json", '{"cut": [{"b": 1}, {"c', ("cut", "b")),
        ("a.csv", "1,2\n3,4\n", ()),
        ("a.sql", "CREATE TABLE IF NOT EXISTS orders (id)", ("orders",)),
        ("a.txt", "def no(): pass", ()),
    ],
)
def test_names_in_files(path: str, text: str, names: tuple[str, ...]):
    assert names_in(path, text) == names


def test_the_text_keeps_its_limit():
    found = Survey(
        backend="m",
        image="i",
        network="public",
        workdir="/app",
        user="root",
        tools=("x" * 500,) * 9,
    )
    for limit in (200, 1000, 100_000):
        assert len(found.text(limit)) <= limit
    assert "cut" in found.text(160)
    assert "Working directory: /app" in found.text(400)
