"""What the tests of agents and verifiers share: a task made on the spot, and boxes to try it in."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mechagym.sandbox.base import Box, BoxSpec, RegistryImage, Sandbox
from mechagym.tasks.model import Collect, Step, Task, VerifierSection

IMAGE = RegistryImage(reference="debian:bookworm-slim")
QUICK_BOXES = ("memory", pytest.param("local", marks=pytest.mark.live))
BOXES = (*QUICK_BOXES, pytest.param("docker", marks=pytest.mark.live))


def sandbox_of(name: str) -> Sandbox:
    """A backend by its name."""
    match name:
        case "docker":
            from mechagym.sandbox.docker import DockerSandbox

            return DockerSandbox()
        case "local":
            from mechagym.sandbox.local import LocalSandbox

            return LocalSandbox()
        case _:
            from mechagym.testing.memory import MemorySandbox

            return MemorySandbox()


@asynccontextmanager
async def open_box(name: str) -> AsyncIterator[Box]:
    """A box with the working directory /app, or a skip that says what is missing."""
    sandbox = sandbox_of(name)
    probe = await sandbox.probe()
    if not probe.usable:
        pytest.skip(f"{name}: {probe.reason}; {probe.remedy}")
    await sandbox.prepare(IMAGE, lambda _: None)
    async with sandbox.open(BoxSpec(image=IMAGE, workdir="/app")) as box:
        yield box


@pytest.fixture(params=BOXES)
async def box(request: pytest.FixtureRequest) -> AsyncIterator[Box]:
    """A box of each kind; it closes with the test."""
    async with open_box(request.param) as opened:
        yield opened


@pytest.fixture(params=QUICK_BOXES)
async def quick_box(request: pytest.FixtureRequest) -> AsyncIterator[Box]:
    """A box of the backends that open one at once, for what does not depend on the backend."""
    async with open_box(request.param) as opened:
        yield opened


def make_task(
    folder: Path,
    files: Mapping[str, str],
    *,
    env: Mapping[str, str] | None = None,
    collect: tuple[Collect, ...] = (),
    user: str | None = None,
) -> Task:
    """A single-step task of these files (path → text)."""
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    step = Step(
        name="main",
        instruction="Do it.",
        tests_dir=folder / "tests",
        solution_dir=folder / "solution",
        verifier=VerifierSection(collect=collect, user=user),
    )
    return Task(
        name="made",
        folder=folder,
        digest="d1",
        schema_version="1.4",
        steps=(step,),
        solution_env=env or {},
    )


def make_steps(folder: Path, names: tuple[str, ...]) -> Task:
    """A multi-step task whose steps lie where Harbor has them; files are the caller's."""
    steps = tuple(
        Step(
            name=name,
            instruction=name,
            tests_dir=folder / "steps" / name / "tests",
            solution_dir=folder / "steps" / name / "solution",
        )
        for name in names
    )
    return Task(name="made", folder=folder, digest="d1", schema_version="1.4", steps=steps)


async def read(box: Box, path: str) -> str:
    """The text of a file of a box."""
    result = await box.exec(["cat", path])
    assert result.ok, result.stderr
    return result.text
