"""`auto` takes the first backend that really works, and says why not the others."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from mechagym.errors import SandboxError, SandboxUnusable
from mechagym.sandbox import detect
from mechagym.sandbox.base import Probe
from mechagym.sandbox.detect import choose
from mechagym.testing.memory import MemorySandbox


class Named(MemorySandbox):
    def __init__(self, name: str, probe: Callable[[], Awaitable[Probe]]) -> None:
        super().__init__()
        self.name = name
        self._probe = probe

    async def probe(self) -> Probe:
        return await self._probe()


def says(name: str, reason: str | None, remedy: str | None = None) -> Named:
    async def probe() -> Probe:
        return Probe(usable=reason is None, backend=name, reason=reason, remedy=remedy)

    return Named(name, probe)


def raises(name: str, error: Exception) -> Named:
    async def probe() -> Probe:
        raise error

    return Named(name, probe)


async def test_the_first_usable_one_in_order():
    good = says("local", None)
    dead = says("docker", "its daemon does not answer", "Start it: dockerd")
    chosen, probes = await choose([dead, good, raises("never", AssertionError("was asked"))])
    assert chosen is good
    assert [p.usable for p in probes] == [False, True]


async def test_each_refusal_has_reason_and_remedy():
    with pytest.raises(SandboxUnusable) as caught:
        await choose(
            [
                says("docker", "its daemon does not answer", "Start it: dockerd"),
                raises("local", SandboxError("no OCI runtime", remedy="apt-get install runc")),
                raises("podman", FileNotFoundError(2, "No such file or directory", "/x.sock")),
            ]
        )
    text = str(caught.value)
    for part in ("docker: its daemon", "Start it", "no OCI runtime", "install runc", "/x.sock"):
        assert part in text


async def test_a_probe_that_hangs_is_passed_over(monkeypatch):
    async def probe() -> Probe:
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(detect, "PROBE_S", 0.05)
    good = says("local", None)
    assert (await choose([Named("docker", probe), good]))[0] is good


async def test_nothing_to_choose_from():
    with pytest.raises(SandboxUnusable):
        await choose([])
