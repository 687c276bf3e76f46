"""The parts of the gateway by themselves: splices, the reader of answers, the connection."""

import json
from itertools import pairwise

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.llm.gateway import connection as connections
from mechagym.llm.gateway.body import MAX_PARTS, read_body
from mechagym.llm.gateway.connection import MAX_BODY_BYTES
from mechagym.llm.gateway.headers import retry_after_s
from mechagym.llm.gateway.reach import look_through
from mechagym.llm.gateway.refusals import Refused
from mechagym.llm.gateway.tee import KEPT_BYTES, Tee
from mechagym.llm.speech import SPEECH
from mechagym.records import Usage
from mechagym.testing.provider import ToolCall, Turn
from mechagym.testing.provider.asked import Asked
from tests.llm.gateway_stand import PATHS, asking, stand

ANTHROPIC, CHAT, RESPONSES = PATHS
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), JSON, min_size=1, max_size=5)


@given(OBJECTS, OBJECTS, st.sampled_from([None, 2]), st.booleans())
def test_a_splice_changes_what_it_names_and_no_other_byte(old, changes, indent, ascii_only):
    raw = json.dumps(old, indent=indent, ensure_ascii=ascii_only).encode()
    body = read_body(raw)
    assert body.with_values({}) == raw
    assert json.loads(body.with_values(changes)) == old | changes
    one = next(iter(old))
    start, end = body.spans[one]
    spliced = body.with_values({one: 17}).decode()
    assert spliced == body.text[:start] + "17" + body.text[end:]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{",
        b'{"a":1}x',
        b'{"a":1,}',
        b'{"a" 1}',
        b'{"model":"a","model":"b"}',
        b'{"mod\\u0065l":"a","model":"b"}',
        b'{"a":"\xff"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":' + b"[" * 100_000,
        b'{"a":[' + b"0," * (MAX_PARTS + 1) + b"0]}",
    ],
    ids=range(12),
)
def test_a_body_that_could_be_read_in_two_ways_is_refused(raw):
    with pytest.raises(Refused):
        read_body(raw)


USAGE = Usage(input=30, cache_read=200, cache_write_5m=60, output=12, reasoning=7)
FULL = Turn(
    text='Grüße, "usage": {} 世界 🙂\n\ndata: x',
    calls=(ToolCall(id="c", name="f", arguments={"usage": {"input_tokens": 1}}),),
    usage=USAGE,
)


def spoken(wire, turn: Turn, *, stream: bool) -> bytes:
    body = json.dumps(
        {"model": "m", "stream": stream, "stream_options": {"include_usage": True}}
    ).encode()
    asked = Asked(method="POST", path=PATHS[wire], headers={}, body=body)
    if stream:
        return b"".join(SPEECH[wire].events(turn, asked))
    return json.dumps(SPEECH[wire].plain(turn, asked)).encode()


@given(st.data())
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", PATHS)
def test_the_reader_finds_the_usage_wherever_chunks_are_cut(wire, stream, data):
    said = spoken(wire, FULL, stream=stream)
    cuts = data.draw(st.lists(st.integers(0, len(said)), max_size=9))
    tee = Tee(wire, stream=stream)
    for start, end in pairwise(sorted([0, *cuts, len(said)])):
        tee.saw(said[start:end])
    tee.ended()
    assert tee.usage == USAGE
    assert tee.finish


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", PATHS)
def test_the_reader_keeps_a_bounded_part_of_a_long_answer(wire, stream):
    said = spoken(wire, Turn(text="ab" * 400_000, usage=USAGE, delta_chars=300_000), stream=stream)
    tee = Tee(wire, stream=stream)
    for start in range(0, len(said), 60_000):
        tee.saw(said[start : start + 60_000])
        assert len(tee._kept) <= KEPT_BYTES + 60_000
    tee.ended()
    assert tee.usage == USAGE


@pytest.mark.parametrize("wire", PATHS)
def test_without_its_end_an_answer_is_not_measured(wire):
    said = spoken(wire, FULL, stream=True)
    for cut in (1, len(said) // 2, said.rindex(b'"usage"')):
        tee = Tee(wire, stream=True)
        tee.saw(said[:cut])
        tee.ended()
        assert tee.usage is None


@given(st.binary(max_size=400), st.booleans())
@pytest.mark.parametrize("wire", PATHS)
def test_the_reader_bears_anything(wire, junk, stream):
    tee = Tee(wire, stream=stream)
    tee.saw(b'data: {"usage":{"input_tokens":[]},"choices":7,"delta":[]}\n' + junk + b"\n")
    tee.saw(junk)
    tee.ended()
    assert tee.usage is None


@pytest.mark.parametrize(
    ("content", "images", "stateful"),
    [
        ({"type": "text", "text": "x"}, 0, False),
        ({"type": "image", "source": {"type": "base64", "data": "x"}}, 1, False),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, 1, True),
        ({"type": "document", "source": {"type": "base64", "data": "x"}}, 0, True),
        ({"type": "document", "source": {"type": "text", "data": "x"}}, 0, False),
        ({"type": "input_image", "image_url": "data:image/png;base64,x"}, 1, False),
        ({"type": "input_file", "file_id": "f"}, 0, True),
    ],
)
def test_what_bytes_do_not_tell_is_counted(content, images, stateful):
    nested = {"type": "tool_result", "content": [content]}
    for block in (content, nested):
        for name in ("messages", "input"):
            found = look_through({name: [{"role": "user", "content": [block]}]})
            assert (found.images, found.stateful, found.outward) == (images, stateful, ())


def test_when_to_come_again_is_read_in_three_forms():
    assert retry_after_s([(b"retry-after", b"7")]) == 7
    assert retry_after_s([(b"retry-after-ms", b"1500"), (b"retry-after", b"7")]) == 1.5
    assert retry_after_s([(b"retry-after", b"Wed, 21 Oct 2015 07:28:00 GMT")]) == 0
    assert retry_after_s([(b"retry-after", b"soon")]) is None
    assert retry_after_s([]) is None


async def talk(url: str, said: bytes, *, expect: bytes) -> bytes:
    """Say something raw to the gateway and read until a text comes, or the end."""
    host, port = url.removeprefix("http://").split(":")
    got = b""
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(said)
        with anyio.fail_after(20):
            while expect not in got:
                try:
                    got += await stream.receive()
                except anyio.EndOfStream:
                    break
    return got


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n", 401),
        (b"POST http://169.254.169.254/v1/messages HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"POST /v1/../v1/messages HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"POST /v1/%6dessages HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"POST /v1/files HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        (b"GET /v1/messages/batches/1 HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        (b"GET /v1/responses HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n", 426),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n", 401),
    ],
)
async def test_paths_and_hosts_are_compared_as_they_come(said, status):
    async with stand() as at:
        got = await talk(at.url, said, expect=b"\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 %d " % status), got
    assert at.bench.double.asked == []


async def test_a_body_is_bounded_whether_its_length_is_told_or_not():
    async with stand() as at:
        token = at.grant().value.encode()
        head = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: " + token + b"\r\n"
        told = await talk(
            at.url, head + b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1), expect=b"}}"
        )
        assert b"request_too_large" in told
        chunk = b"%x\r\n" % (MAX_BODY_BYTES + 1) + b" " * (MAX_BODY_BYTES + 1)
        untold = await talk(
            at.url, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk, expect=b"}}"
        )
        assert b"request_too_large" in untold


async def test_who_sends_slowly_is_refused_and_who_says_nothing_is_left(monkeypatch):
    monkeypatch.setattr(connections, "REQUEST_S", 0.2)
    monkeypatch.setattr(connections, "IDLE_S", 0.2)
    async with stand() as at:
        token = at.grant().value.encode()
        head = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: " + token + b"\r\n"
        slow = await talk(at.url, head + b"Content-Length: 9\r\n\r\n{", expect=b"}}")
        assert slow.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in slow.lower()
        assert (await talk(at.url, b"GET /heal", expect=b"}}")).startswith(b"HTTP/1.1 408 ")
        assert await talk(at.url, b"", expect=b"}}") == b""


async def test_it_says_go_on_to_a_client_that_waits_for_it():
    body = json.dumps(asking(ANTHROPIC)).encode()
    async with stand() as at:
        token = at.grant().value.encode()
        head = (
            b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Content-Length: %d\r\nx-api-key: %s\r\n\r\n" % (len(body), token)
        )
        host, port = at.url.removeprefix("http://").split(":")
        async with await anyio.connect_tcp(host, int(port)) as stream:
            await stream.send(head)
            assert b" 100 " in await stream.receive()
            await stream.send(body)
            assert b" 200 " in await stream.receive()


async def test_requests_of_one_connection_are_answered_in_turn():
    body = json.dumps(asking(ANTHROPIC)).encode()
    async with stand() as at:
        one = (
            b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nx-api-key: %s\r\n\r\n"
        )
        said = one % (len(body), at.grant().value.encode()) + body
        last = b"GET /v1/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        got = await talk(at.url, said + said + last, expect=b"no such path")
    assert got.count(b"HTTP/1.1 200 ") == 2
    assert at.bench.is_even()
    assert len(at.bench.answered) == 2
