"""What passes the gateway is recorded without secrets, and said again to the byte, offline."""

import socket
from typing import Any

import anyio
import httpx2
import pytest

from mechagym.llm.names import ModelName
from mechagym.llm.providers import Dialect
from mechagym.llm.tape import HttpExchange, TapeWriter, read_tape
from mechagym.testing.provider import Failure, Trouble, Turn, in_order
from tests.llm.gateway_stand import FULL, PATHS, USAGE, asking, stand
from tests.llm.parts import KEY

ANTHROPIC, CHAT, RESPONSES = PATHS
CUT = Turn(text=FULL.text, usage=USAGE, trouble=Trouble(cut_characters=True))


def hide(text: str) -> tuple[str, int]:
    return text.replace(KEY, "[hidden]"), text.count(KEY)


async def record(path) -> list[tuple[Dialect, dict[str, Any], bytes]]:
    """Talk on every wire, plain and streamed, and once in vain; gives what was asked and heard."""
    asked = [(wire, asking(wire, stream=stream)) for wire in PATHS for stream in (False, True)]
    asked.append((ANTHROPIC, asking(ANTHROPIC, messages=[{"role": "user", "content": "bad"}])))
    script = in_order([CUT] * 6 + [Failure(status=400, message=f"not with {KEY}")])
    writer = TapeWriter(path, hide)
    async with stand(script, tape=writer) as at, at.client() as client:
        heard = []
        for wire, body in asked:
            got = await client.post(PATHS[wire], json=body)
            heard.append((wire, body, got.content))
        await client.post("/v1/messages/count_tokens", json=asking(ANTHROPIC))
    writer.close()
    return heard


@pytest.mark.must("llm-25")
@pytest.mark.parametrize("mode", ["strict", "lenient"])
async def test_a_tape_says_again_to_the_byte_what_was_said(tmp_path, mode, monkeypatch):
    tape = tmp_path / "tape.jsonl"
    heard = await record(tape)
    assert KEY not in tape.read_text(encoding="utf-8")
    assert read_tape(tape)[0].redactions > 0
    played = ModelName("replay", f"{tape}?{mode}")
    order = heard if mode == "strict" else list(reversed(heard))
    async with stand(in_order([])) as at:
        no_way_out(monkeypatch, at.url)
        token = at.grant(models=(played,), rewrite={"*": played})
        async with at.client(token) as client:
            for wire, body, content in order:
                got = await client.post(PATHS[wire], json=body)
                if got.status_code == 200:
                    assert got.content == content
                else:
                    assert got.json()["error"]["message"] == "not with [hidden]"
            missing = await client.post(PATHS[CHAT], json=asking(CHAT, messages=[]))
            assert (missing.status_code, missing.headers["x-should-retry"]) == (404, "false")
            assert missing.json()["error"]["code"] == "tape_miss"
        assert at.bench.double.asked == []
    assert sum(answered.spend.billed_nano for answered in at.bench.answered) == 0
    assert [a.spend.usage for a in at.bench.answered] == [USAGE] * 6
    assert at.bench.is_even()
    assert at.bench.models.unplayed() == []


def no_way_out(monkeypatch, url: str) -> None:
    """Only the gateway itself can be connected to from now on."""
    port, connect = int(url.rpartition(":")[2]), socket.socket.connect_ex

    def refusing(self: socket.socket, address: tuple[str, int]) -> int:
        assert address[1] == port, f"a connection to {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", lambda s, a: refusing(s, a) and None)


async def test_an_answer_that_broke_off_is_not_on_the_tape(tmp_path):
    tape = tmp_path / "tape.jsonl"
    writer = TapeWriter(tape, hide)
    broken = Turn(text="x" * 500, trouble=Trouble(end_after_bytes=100))
    async with stand([broken, FULL], tape=writer) as at, at.client() as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.post(PATHS[CHAT], json=asking(CHAT, stream=True))
        assert (await client.post(PATHS[CHAT], json=asking(CHAT, stream=True))).is_success
    writer.close()
    [kept] = read_tape(tape)[1]
    assert isinstance(kept, HttpExchange)
    assert kept.body == bytes(at.bench.double.works[1].sent)
    assert set(kept.headers) == {"content-type", "request-id"}


async def test_an_answer_whose_caller_left_after_its_last_event_is_on_the_tape(tmp_path):
    tape = tmp_path / "tape.jsonl"
    writer = TapeWriter(tape, hide)
    endless = Turn(text="hi", usage=USAGE, trouble=Trouble(stall_after_bytes=10**9))
    async with stand(endless, tape=writer) as at, at.client() as client:
        said = await spoken_until(client, "response.completed")
        with anyio.fail_after(20):
            while not at.bench.answered:
                await anyio.sleep(0.01)
    writer.close()
    [kept] = read_tape(tape)[1]
    assert isinstance(kept, HttpExchange)
    assert kept.body.startswith(said)


async def spoken_until(client: httpx2.AsyncClient, last: str) -> bytes:
    """Ask for a stream and leave after its last event, as some agents do."""
    said = b""
    body = asking(RESPONSES, stream=True)
    async with client.stream("POST", PATHS[RESPONSES], json=body) as got:
        async for chunk in got.aiter_raw():
            said += chunk
            if f"event: {last}".encode() in said and said.endswith(b"\n\n"):
                break
    return said
