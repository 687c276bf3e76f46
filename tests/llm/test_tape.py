"""What was said once is said again: in process by its words, over HTTP by its bytes, offline."""

import json
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import ModelRequest, ModelResponse, ToolCallPart, ToolReturnPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from mechagym.budget import Meter
from mechagym.errors import ConfigError, ModelError
from mechagym.events import EventBody
from mechagym.llm.canonical import key_of, last_user_text, of_body, of_messages, turn_of
from mechagym.llm.catalogue import Catalogue
from mechagym.llm.credentials import Credentials
from mechagym.llm.names import ModelName
from mechagym.llm.player import Player, open_player
from mechagym.llm.price_table import PriceTable
from mechagym.llm.settings import LlmSettings
from mechagym.llm.stack import Models
from mechagym.llm.tape import (
    HttpExchange,
    TapeWriter,
    chunks_of,
    http_exchange,
    read_tape,
)
from mechagym.records import Usage
from mechagym.testing.provider import ToolCall, Trouble, Turn
from mechagym.trajectory.redact import Redactor
from tests.llm.parts import WIRES, ask, ask_streamed, bench

pytestmark = pytest.mark.anyio
TOOL = ModelRequestParameters(
    function_tools=[ToolDefinition(name="read", parameters_json_schema={"type": "object"})]
)
SECRET = "planted-value-9876543210"
KEY_SHAPE = "sk-ant-" + "a" * 30
hide = Redactor({"planted": SECRET}).counted


@pytest.fixture
def tape(tmp_path: Path) -> Iterator[TapeWriter]:
    writer = TapeWriter(tmp_path / "a.tape", hide)
    yield writer
    writer.close()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a replay must not reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


def offline(events: list[EventBody], name: str) -> tuple[Any, Models, Meter]:
    models = Models(
        settings=LlmSettings(),
        catalogue=Catalogue(),
        prices=PriceTable.load(free=["replay"]),
        credentials=Credentials(environ={}),
    )
    meter = Meter()
    return (
        models.open_model(ModelName("replay", name), meter=meter, emit=events.append),
        models,
        meter,
    )


async def converse(model: Any, *, streamed: bool) -> list[ModelResponse]:
    """Two turns with a call of a tool between them."""
    history: list[Any] = [ModelRequest.user_text_prompt("look")]
    said = []
    for _ in range(2):
        if streamed:
            async with model.request_stream(history, None, TOOL) as stream:
                async for _event in stream:
                    pass
            said.append(stream.get())
        else:
            said.append(await model.request(history, None, TOOL))
        history.append(said[-1])
        calls = [part for part in said[-1].parts if isinstance(part, ToolCallPart)]
        results = [
            ToolReturnPart(tool_name="read", content="ok", tool_call_id=c.tool_call_id)
            for c in calls
        ]
        history.append(ModelRequest(parts=results))
    return said


SCRIPT = [
    Turn(
        text="reading",
        thinking="hm",
        calls=(ToolCall(id="c1", name="read"),),
        usage=Usage(input=100, cache_read=20, output=9),
    ),
    Turn(text="done", usage=Usage(input=150, output=3)),
]


@pytest.mark.must("llm-25")
@pytest.mark.parametrize("mode", ["strict", "lenient"])
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_conversation_is_recorded_and_said_again(
    wire: Any, streamed: bool, mode: str, tape: TapeWriter, tmp_path: Path
):
    async with bench(SCRIPT, tape=tape) as b:
        first = await converse(b.open(WIRES[wire]), streamed=streamed)
        spent = b.meter.settled
    events: list[EventBody] = []
    replay, models, meter = offline(events, f"{tmp_path}/a.tape?{mode}")
    again = await converse(replay, streamed=not streamed)
    assert [r.text for r in again] == [r.text for r in first] == ["reading", "done"]
    assert [[p.part_kind for p in r.parts] for r in again] == [
        [p.part_kind for p in r.parts] for r in first
    ]
    assert meter.settled.usage == spent.usage, "usage is replayed"
    assert (meter.settled.billed_nano, meter.settled.imputed_nano) == (0, spent.imputed_nano)
    assert models.unplayed() == []


@pytest.mark.must("llm-25")
async def test_a_replay_has_no_way_to_the_network(
    tape: TapeWriter, tmp_path: Path, request: pytest.FixtureRequest
):
    async with bench(Turn(text="hi"), tape=tape) as b:
        await ask(b.open(WIRES["anthropic"]))
    request.getfixturevalue("no_network")
    replay, _, meter = offline([], f"{tmp_path}/a.tape")
    assert (await ask_streamed(replay)).text == "hi"
    with pytest.raises(ModelError, match="no more exchanges") as caught:
        await ask(replay)
    assert caught.value.reason == "tape_miss"
    assert meter.held.usage == Usage()


async def test_a_tape_is_played_at_once_or_at_its_own_speed(
    tape: TapeWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with bench(Turn(text="hi", trouble=Trouble(wait_s=0.05)), tape=tape) as b:
        await ask(b.open(WIRES["anthropic"]))
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(anyio, "sleep", sleep)
    await ask(offline([], f"{tmp_path}/a.tape")[0])
    assert waited == []
    await ask(offline([], f"{tmp_path}/a.tape?recorded")[0])
    assert len(waited) == 1
    assert waited[0] >= 0.05


async def test_a_strict_miss_shows_what_differs(tape: TapeWriter, tmp_path: Path):
    async with bench([Turn(text="one"), Turn(text="two")], tape=tape) as b:
        await ask(b.open(WIRES["anthropic"]), "first question")
        await ask(b.open(WIRES["anthropic"]), "second question")
    strict, models, _ = offline([], f"{tmp_path}/a.tape?strict")
    with pytest.raises(ModelError) as caught:
        await ask(strict, "second question")
    told = [line.split() for line in str(caught.value).splitlines()]
    assert ["-", '"content":', '"first', 'question",'] in told
    assert ["+", '"content":', '"second', 'question",'] in told
    assert models.unplayed() == [f"{tmp_path}/a.tape: 2 of 2 exchanges were not played"]
    lenient, models, _ = offline([], f"{tmp_path}/a.tape")
    assert (await ask(lenient, "second question")).text == "two"
    assert models.unplayed() == [f"{tmp_path}/a.tape: 1 of 2 exchanges were not played"]


async def test_lenient_goes_by_the_last_words_where_no_key_fits(tape: TapeWriter, tmp_path: Path):
    async with bench([Turn(text="one")], tape=tape) as b:
        await ask(b.open(WIRES["anthropic"]), "question", temperature=0.5)
    name = f"{tmp_path}/a.tape"
    assert (await ask(offline([], name)[0], "question", temperature=0.7)).text == "one"
    with pytest.raises(ModelError):
        await ask(offline([], name + "?strict")[0], "question", temperature=0.7)


async def test_a_tape_has_its_own_patterns(tmp_path: Path):
    tape = TapeWriter(tmp_path / "p.tape", hide, normalise=[r"at \d\d:\d\d"])
    async with bench([Turn(text="one")], tape=tape) as b:
        await ask(b.open(WIRES["anthropic"]), "it is at 12:30 now")
    tape.close()
    strict, _, _ = offline([], f"{tmp_path}/p.tape?strict")
    assert (await ask(strict, "it is at 09:15 now")).text == "one"
    with pytest.raises(ConfigError, match="no pattern"):
        TapeWriter(tmp_path / "q.tape", hide, normalise=["("])


async def test_a_failed_try_is_not_on_the_tape(tape: TapeWriter, tmp_path: Path):
    from mechagym.testing.provider import Failure

    async with bench([Failure(status=500), Turn(text="hi")], tape=tape) as b:
        await ask(b.open(WIRES["anthropic"]))
    assert len(read_tape(tmp_path / "a.tape")[1]) == 1


@pytest.mark.must("llm-35")
async def test_no_secret_reaches_the_disk(tape: TapeWriter, tmp_path: Path):
    pieces = [SECRET[:9].encode(), SECRET[9:].encode(), b" end"]
    body = of_body({"messages": [{"role": "user", "content": f"my {SECRET} and {KEY_SHAPE}"}]})
    head = http_exchange(
        dialect="anthropic",
        path="/v1/messages",
        model="anthropic:x",
        request=body,
        answer=(200, {"Content-Type": "text/plain", "Set-Cookie": SECRET, "x-api-key": SECRET}),
    )
    tape.add(_with(head, pieces))
    async with bench(Turn(text=f"so {SECRET}"), tape=tape) as b:
        await ask(b.open(WIRES["anthropic"]), SECRET)
    written = (tmp_path / "a.tape").read_text()
    for form in (SECRET, SECRET[:9] + '"', KEY_SHAPE):
        assert form not in written
    header, exchanges = read_tape(tmp_path / "a.tape")
    assert header.redactions == 5
    assert isinstance(exchanges[0], HttpExchange)
    assert exchanges[0].body == b"[redacted:planted] end"
    assert exchanges[0].headers == {"content-type": "text/plain"}
    assert stat.S_IMODE((tmp_path / "a.tape").stat().st_mode) == 0o600


def _with(exchange: HttpExchange, pieces: list[bytes]) -> HttpExchange:
    from dataclasses import replace

    return replace(exchange, chunks=chunks_of((data, float(n)) for n, data in enumerate(pieces)))


@pytest.mark.must("llm-25")
@given(st.lists(st.binary(max_size=40), max_size=8))
def test_a_body_is_kept_to_the_byte(pieces: list[bytes]):
    exchange = http_exchange(
        dialect="openai-chat", path="/v1/x", model="m:m", request={"a": 1}, answer=(200, {})
    )
    kept = _with(exchange, pieces)
    assert [chunk.data for chunk in kept.chunks] == pieces
    assert kept.body == b"".join(pieces)


@pytest.mark.must("llm-25")
def test_an_http_exchange_is_found_by_its_request(tape: TapeWriter, tmp_path: Path):
    question = {"model": "m", "messages": [{"role": "user", "content": "é?"}], "user": "u-1"}
    exchange = http_exchange(
        dialect="openai-chat",
        path="/v1/chat/completions",
        model="openai-chat:m",
        request=of_body(question),
        answer=(200, {"content-type": "text/event-stream"}),
    )
    cut = "data: é\n\n".encode()
    tape.add(_with(exchange, [cut[:7], cut[7:]]))
    player = open_player(f"{tmp_path}/a.tape?strict")
    found = player.take("http", "openai-chat", of_body(question | {"user": "u-2"}))
    assert isinstance(found, HttpExchange)
    assert [chunk.data for chunk in found.chunks] == [cut[:7], cut[7:]]
    with pytest.raises(ModelError):
        player.take("http", "openai-chat", of_body(question))


def test_a_key_is_the_same_on_another_day():
    def asked(run: str, call: str) -> Any:
        return {
            "metadata": {"user_id": run},
            "messages": [
                {
                    "role": "user",
                    "content": f"session 0f8fad5b-d9cb-469f-a165-7086728{run}a at 12:0{call}",
                },
                {"role": "assistant", "content": [{"type": "tool_use", "id": call, "name": "x"}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call}]},
            ],
        }

    clock = [re.compile(r"at \d\d:\d\d")]
    one, two = of_body(asked("5950", "1"), clock), of_body(asked("5951", "2"), clock)
    assert one == two
    assert one["messages"][1]["content"][0]["id"] == one["messages"][2]["content"][0]["tool_use_id"]
    assert of_body(asked("5950", "1")) != of_body(asked("5950", "2")), "only what we were told to"
    other = asked("5950", "1")
    other["messages"][0]["content"] = "else"
    assert key_of(of_body(other)) != key_of(one)


@pytest.mark.parametrize(
    ("body", "turn", "text"),
    [
        ({"messages": [{"role": "user", "content": "a"}]}, 0, "a"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "a"}]},
                    {"role": "assistant", "content": "b"},
                    {"role": "user", "content": [{"type": "tool_result", "content": "c"}]},
                ]
            },
            1,
            "a",
        ),
        ({"input": "a"}, 0, "a"),
        (
            {
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
                    {"role": "assistant", "content": []},
                ]
            },
            1,
            "a",
        ),
        ({"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model"}]}, 1, "a"),
        ({}, 0, ""),
        ("odd", 0, ""),
    ],
)
def test_turn_and_last_words_in_every_dialect(body: Any, turn: int, text: str):
    request = of_body(body)
    assert (turn_of(request), last_user_text(request)) == (turn, text)


def test_turn_and_last_words_in_the_librarys_own():
    history: list[Any] = [
        ModelRequest.user_text_prompt("a"),
        ModelResponse(parts=[ToolCallPart(tool_name="read", args={}, tool_call_id="x")]),
        ModelRequest(parts=[ToolReturnPart(tool_name="read", content="r", tool_call_id="x")]),
    ]
    request = of_messages(history, {"max_tokens": 5, "temperature": 1}, TOOL)
    assert (turn_of(request), last_user_text(request)) == (1, "a")
    assert request["settings"] == {"temperature": 1}
    assert "x" not in json.dumps(request["messages"][2]["parts"][0]["tool_call_id"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no tape"),
        ('{"kind":"tape","version":9,"recorded_at":"2026-01-01T00:00:00Z"}\n', "version 9"),
        (
            '{"kind":"tape","recorded_at":"2026-01-01T00:00:00Z"}\n{"kind":"odd"}\n',
            ":2: no exchange",
        ),
    ],
)
def test_a_broken_tape_says_where(tmp_path: Path, text: str, says: str):
    path = tmp_path / "b.tape"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        read_tape(path)


def test_a_last_line_that_was_cut_off_is_left_out(tape: TapeWriter, tmp_path: Path):
    exchange = http_exchange(dialect="x", path="/", model="m:m", request={}, answer=(200, {}))
    tape.add(exchange)
    tape.add(exchange)
    path = tmp_path / "a.tape"
    path.write_bytes(path.read_bytes()[:-20])
    assert len(read_tape(path)[1]) == 1


def test_no_tape_is_written_over_another(tape: TapeWriter, tmp_path: Path):
    assert tape
    with pytest.raises(ConfigError, match="not there yet"):
        TapeWriter(tmp_path / "a.tape", hide)


def test_a_way_to_play_that_does_not_exist(tape: TapeWriter, tmp_path: Path):
    assert tape
    with pytest.raises(ConfigError, match="backwards"):
        open_player(f"{tmp_path}/a.tape?backwards")
    player: Player = open_player(f"{tmp_path}/a.tape?strict&recorded")
    assert (player.mode, player.speed) == ("strict", "recorded")
