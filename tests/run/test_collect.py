"""Copying evidence out of a box: bounded, and what is not there is said."""

from pathlib import Path

import anyio

from mechagym.events import ArtifactCollected, EventBody
from mechagym.run import collect
from mechagym.run.collect import CONVENTION, Depot, place_of, with_convention
from mechagym.sandbox.base import Box, TransferCaps, TransferReport
from mechagym.tasks.model import Artifact
from tests.actors import open_box


class Stuck:
    """A box that never finishes a copy."""

    def __init__(self, box: Box) -> None:
        self._box = box

    def __getattr__(self, name: str):
        return getattr(self._box, name)

    async def get(
        self, source: str, target: Path, caps: TransferCaps = TransferCaps()
    ) -> TransferReport:
        await anyio.sleep_forever()
        return TransferReport()


def refused(events: list[EventBody]) -> list[str]:
    return [line for e in events if isinstance(e, ArtifactCollected) for line in e.refused]


async def test_a_copy_that_takes_too_long_is_told_and_ends(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(collect, "COLLECT_S", 0.05)
    events: list[EventBody] = []
    async with open_box("memory") as box:
        depot = Depot(box=Stuck(box), folder=tmp_path, emit=events.append)
        await depot.logs()
        assert await depot.artifacts([Artifact(source="/app")], {"/app"}) == []
    late = "not all was copied within 0.05 s"
    assert refused(events) == [f"/logs/agent: {late}", f"artifacts: {late}"]


async def test_what_cannot_be_copied_is_said_and_the_rest_comes(tmp_path: Path):
    wanted = with_convention(
        [Artifact(source="/app/a"), Artifact(source="/no"), Artifact(source="/x", service="db")]
    )
    assert wanted[-1] is CONVENTION
    events: list[EventBody] = []
    async with open_box("memory") as box:
        await box.put(b"1", "/app/a")
        depot = Depot(box=box, folder=tmp_path, emit=events.append)
        (done,) = await depot.artifacts(wanted, {"/app/a"})
    assert done.path.read_bytes() == b"1"
    assert refused(events) == [
        "/no: not there, or an empty folder",
        "/x: no way into service db",
    ]


async def test_what_an_artifact_excludes_is_left_out(tmp_path: Path):
    kept, dropped = ["a.txt", "deep/b.txt", "deep/builds/c"], [
        "x.pyc", "deep/y.pyc", "node_modules/z/w", "deep/node_modules/v", "deep/build/cache/u",
    ]  # fmt: skip
    patterns = ("*.pyc", "node_modules", "build/cache")
    events: list[EventBody] = []
    async with open_box("memory") as box:
        for path in (*kept, *dropped):
            await box.put(b"12", f"/app/out/{path}")
        depot = Depot(box=box, folder=tmp_path, emit=events.append)
        artifact = Artifact(source="/app/out", destination="out", exclude=patterns)
        (done,) = await depot.artifacts([artifact], {"/app/out"})
    found = {str(p.relative_to(done.path)) for p in done.path.rglob("*") if p.is_file()}
    assert found == set(kept)
    (told,) = [e for e in events if isinstance(e, ArtifactCollected)]
    assert (told.files, told.size_bytes) == (3, 6)


def test_no_artifact_has_its_place_outside():
    for destination in ("../../etc", "/etc", "./a/../../../b", "."):
        place = place_of(Artifact(source="/s", destination=destination))
        assert not place.is_absolute()
        assert ".." not in place.parts
