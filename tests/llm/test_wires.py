"""The real SDKs against a provider on loopback: one attempt per request, on every wire."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import (
    BinaryContent,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from mechagym.budget import Budget
from mechagym.errors import BudgetExhausted, ConfigError, ModelError, PriceUnknown
from mechagym.llm.credentials import Credentials
from mechagym.llm.names import ModelName
from mechagym.llm.providers import SHIPPED, Provider, Wire
from mechagym.llm.settings import LlmSettings, RetryLimits
from mechagym.records import Spend, Usage
from mechagym.testing.provider import Failure, ToolCall, Trouble, Turn
from tests.llm.parts import KEY, KEYS, QUICK, WIRES, ask, ask_streamed, bench

pytestmark = pytest.mark.anyio
ONCE = RetryLimits(tries=1)


@pytest.fixture(params=WIRES, ids=str)
def wire(request: pytest.FixtureRequest) -> Wire:
    found: Wire = request.param
    return found


@pytest.fixture(params=[ask, ask_streamed], ids=["plain", "streamed"])
def way(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.must("llm-2")
@pytest.mark.parametrize(
    "trouble",
    [
        Failure(status=429, retry_after_s=0),
        Failure(status=503),
        Failure(status=500),
        Failure(status=408),
        Turn(text="x", trouble=Trouble(hang_up=True)),
        Turn(text="x" * 500, trouble=Trouble(end_after_bytes=60)),
    ],
    ids=["429", "503", "500", "408", "dropped", "broken"],
)
async def test_a_request_is_one_attempt_on_the_wire(wire: Wire, way: Any, trouble: Any):
    async with bench(trouble, retry=ONCE) as b:
        with pytest.raises(ModelError):
            await way(b.open(WIRES[wire]))
        assert len(b.double.works) == 1
        assert b.is_even()


@pytest.mark.parametrize(
    ("status", "code", "kind", "tries"),
    [
        (429, None, "rate_limited", 6),
        (503, None, "unavailable", 6),
        (529, None, "unavailable", 6),
        (500, None, "server", 4),
        (502, None, "server", 4),
        (400, None, "rejected", 1),
        (401, None, "unauthorised", 1),
        (403, None, "rejected", 1),
        (404, None, "rejected", 1),
        (422, None, "rejected", 1),
    ],
)
@pytest.mark.must("llm-17")
async def test_tries_over_the_wire(wire: Wire, status: int, code: Any, kind: str, tries: int):
    async with bench(Failure(status=status, code=code)) as b:
        with pytest.raises(ModelError) as caught:
            await ask(b.open(WIRES[wire]))
        assert (caught.value.reason, len(b.double.works)) == (kind, tries)
        assert {event.status for event in b.failed} == {status}
        assert b.meter.settled == Spend()
        assert b.is_even()


@pytest.mark.must("llm-17")
@pytest.mark.parametrize("form", ["seconds", "milliseconds", "date"])
async def test_when_to_come_again_is_understood_in_three_forms(
    wire: Wire, form: Any, monkeypatch: pytest.MonkeyPatch
):
    slept = quick_sleep(monkeypatch)
    refusal = Failure(status=429, retry_after_s=40, retry_after_form=form)
    async with bench([refusal, Turn(text="now")]) as b:
        reply = await ask(b.open(WIRES[wire]))
    assert reply.text == "now"
    assert any(38 < seconds <= 42 for seconds in slept), slept


def quick_sleep(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Long sleeps are noted and left out; the pace's clock is not moved by them."""
    slept: list[float] = []
    real = anyio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(min(seconds, 0.001))

    monkeypatch.setattr(anyio, "sleep", sleep)
    monkeypatch.setattr("mechagym.llm.pace.Pace.silent_s", property(lambda _self: 0.0))
    return slept


async def test_after_bad_days_there_is_an_answer(wire: Wire, way: Any):
    script = [
        Turn(text="lost", trouble=Trouble(hang_up=True)),
        Turn(text="", usage=Usage(input=7, output=1)),
        Failure(status=500),
        Failure(status=429),
        Failure(status=529),
        Turn(text="here", usage=Usage(input=10, output=5)),
    ]
    async with bench(script) as b:
        reply = await way(b.open(WIRES[wire]))
        assert reply.text == "here"
        assert len(b.double.works) == len(b.requested) == 6
        assert b.is_even()
        kept = [event.error for event in b.failed if event.spend.usage.tokens]
        assert len(kept) == 2, "what was lost and the empty reply may be billed"


async def test_a_call_that_was_lost_costs_what_was_held(wire: Wire):
    async with bench(Turn(text="x", trouble=Trouble(hang_up=True))) as b:
        with pytest.raises(ModelError) as caught:
            await ask(b.open(WIRES[wire]))
        assert (caught.value.reason, len(b.double.works)) == ("lost", 3)
        assert b.meter.settled == sum((event.held for event in b.requested), Spend())


async def test_nobody_there_costs_nothing(wire: Wire):
    async with bench(Turn(text="x")) as b:
        providers = {n: replace(p, base_url="http://127.0.0.1:9") for n, p in SHIPPED.items()}
        b.models.settings = replace(b.models.settings, providers=providers)
        with pytest.raises(ModelError) as caught:
            await ask(b.open(WIRES[wire]))
        assert (caught.value.reason, len(b.requested)) == ("not_sent", 6)
        assert b.meter.settled == Spend()
        assert b.is_even()


async def test_silence_has_an_end(wire: Wire, way: Any):
    stall = Turn(text="x" * 400, trouble=Trouble(stall_after_bytes=0))
    async with bench(stall, retry=ONCE) as b:
        providers = {
            name: replace(provider, timeout_s=0.2, first_output_s=0.2)
            for name, provider in b.models.settings.providers.items()
        }
        b.models.settings = replace(b.models.settings, providers=providers)
        with pytest.raises(ModelError, match="no answer within") as caught:
            await way(b.open(WIRES[wire]))
        assert caught.value.reason == "lost"
        assert b.meter.settled == b.requested[0].held
        assert b.is_even()


@pytest.mark.must("llm-3")
async def test_a_cancel_in_a_call_leaves_no_hold(wire: Wire, way: Any):
    async with bench(Turn(text="x" * 400, trouble=Trouble(stall_after_bytes=150))) as b:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(way, b.open(WIRES[wire]))
            while not (b.double.works and b.double.works[0].sent):
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        assert b.meter.settled == b.requested[0].held
        assert b.is_even()


async def test_a_reader_who_leaves_a_stream_pays_what_was_held(wire: Wire):
    async with bench(Turn(text="x" * 4000)) as b:
        model = b.open(WIRES[wire])
        parameters = ModelRequestParameters()
        message = [ModelRequest.user_text_prompt("hi")]
        async with model.request_stream(list(message), None, parameters) as stream:
            async for _ in stream:
                break
        assert b.meter.settled == b.requested[0].held
        assert b.is_even()


@pytest.mark.must("llm-15")
async def test_an_unknown_price_reaches_no_provider(wire: Wire, way: Any):
    async with bench(Turn(text="x")) as b:
        name = replace(WIRES[wire], name=WIRES[wire].name + "-unheard-of")
        with pytest.raises(PriceUnknown):
            await way(b.open(name))
        assert b.double.asked == []
        assert b.of(object)[0].reason == "price_unknown"


async def test_a_budget_ends_the_calls_and_is_not_retried(wire: Wire, way: Any):
    async with bench(Turn(text="x"), budget=Budget(usd=0.05)) as b:
        model = b.open(WIRES[wire])
        await way(model, "hello", max_tokens=3_000)
        b.meter.settle(b.meter.reserve(Spend()), Spend(billed_nano=45_000_000))
        with pytest.raises(BudgetExhausted):
            await way(model, "hello", max_tokens=3_000)
        assert len(b.double.works) == len(b.answered) == 1
        assert b.is_refused("budget_usd")


@pytest.mark.must("llm-21")
async def test_the_lowered_limit_is_what_the_provider_is_told(wire: Wire, way: Any):
    async with bench(Turn(text="x"), budget=Budget(tokens=5_000)) as b:
        await way(b.open(WIRES[wire]))
        limit = b.requested[0].output_limit
        assert 2_048 <= limit < 8_192
        assert str(limit) in b.double.works[0].body.decode()
        assert b.requested[0].edits == (f"output limit {limit}",)


def in_body(value: Any) -> Iterator[Any]:
    """Every key and value of a request's JSON."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from in_body(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from in_body(inner)
    else:
        yield value


PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TOOLS = ModelRequestParameters(
    function_tools=[
        ToolDefinition(
            name=name,
            description="look",
            parameters_json_schema={
                "type": "object",
                "properties": {"path": {"type": "string"}},
                "required": ["path"],
            },
        )
        for name in ("read", "list")
    ]
)


@pytest.mark.must("llm-5")
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
async def test_a_round_trip_with_all_there_is(wire: Wire, streamed: bool):
    """System, text, image, two parallel calls with ids, their results, thinking, an answer."""
    calls = (
        ToolCall(id="call_a", name="read", arguments={"path": "ä.txt"}),
        ToolCall(id="call_b", name="list", arguments={"path": "/"}),
    )
    script = [
        Turn(thinking="let me look", calls=calls, usage=Usage(input=90, output=20, reasoning=4)),
        Turn(text="all is well", usage=Usage(input=50, cache_read=60, output=9)),
    ]
    history: list[Any] = [
        ModelRequest(
            parts=[
                SystemPromptPart(content="be brief"),
                UserPromptPart(
                    content=["what is this?", BinaryContent(data=PIXEL, media_type="image/png")]
                ),
            ]
        )
    ]
    async with bench(script) as b:
        model = b.open(WIRES[wire])

        async def turn() -> ModelResponse:
            if not streamed:
                return await model.request(history, None, TOOLS)
            async with model.request_stream(history, None, TOOLS) as stream:
                async for _ in stream:
                    pass
            return stream.get()

        first = await turn()
        asked = [part for part in first.parts if isinstance(part, ToolCallPart)]
        assert [(call.tool_name, call.args_as_dict()) for call in asked] == [
            ("read", {"path": "ä.txt"}),
            ("list", {"path": "/"}),
        ]
        if wire != "google":  # that wire has no ids
            assert [call.tool_call_id.split("|")[0] for call in asked] == ["call_a", "call_b"]
        thoughts = [part.content for part in first.parts if isinstance(part, ThinkingPart)]
        assert thoughts == ["let me look"]
        results = [
            ToolReturnPart(
                tool_name=c.tool_name, content=f"of {c.tool_name}", tool_call_id=c.tool_call_id
            )
            for c in asked
        ]
        history += [first, ModelRequest(parts=results)]
        last = await turn()
        assert [part.content for part in last.parts if isinstance(part, TextPart)] == [
            "all is well"
        ]
        said = [str(value) for value in in_body(b.double.works[1].json)]
        for expected in ("be brief", "what is this?", "of read", "of list"):
            assert any(expected in value for value in said), expected
        forms = (base64.b64encode(PIXEL).decode(), base64.urlsafe_b64encode(PIXEL).decode())
        assert any(form in value for value in said for form in forms)
        if wire != "google":
            assert said.count("call_a") == said.count("call_b") == 2
        assert sum((e.spend.usage for e in b.answered), Usage()) == Usage(
            input=140, cache_read=60, output=29, reasoning=4
        )
        assert b.is_even()


TEXT = "Grüße 👩‍🚀, 日本語 and plain words; " * 3


@pytest.mark.must("llm-6")
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(size=st.integers(1, 40), step=st.integers(1, 7))
@pytest.mark.parametrize("wire", WIRES)
def test_a_joined_stream_is_the_plain_text_wherever_it_is_cut(wire: Wire, size: int, step: int):
    usage = Usage(input=11, output=22)
    cut = Turn(text=TEXT, usage=usage, delta_chars=step, trouble=Trouble(piece_bytes=size))

    async def run() -> None:
        async with bench([cut, Turn(text=TEXT, usage=usage)]) as b:
            streamed = await ask_streamed(b.open(WIRES[wire]))
            plain = await ask(b.open(WIRES[wire]))
            assert streamed.text == plain.text == TEXT
            assert [event.spend.usage for event in b.answered] == [usage, usage]

    anyio.run(run)


@pytest.mark.must("llm-6")
async def test_a_character_cut_in_two_survives(wire: Wire):
    cut = Turn(text=TEXT, delta_chars=3, trouble=Trouble(cut_characters=True))
    async with bench(cut) as b:
        assert (await ask_streamed(b.open(WIRES[wire]))).text == TEXT
        assert b.answered[0].measured


async def test_a_reply_without_usage_is_not_free(wire: Wire, way: Any):
    async with bench(Turn(text="x", usage=None), retry=ONCE) as b:
        if wire == "anthropic":  # its SDK cannot read a message without usage
            with pytest.raises(ModelError, match="could not be read"):
                await way(b.open(WIRES[wire]))
        else:
            await way(b.open(WIRES[wire]))
            assert not b.answered[0].measured
        assert b.meter.settled == b.requested[0].held
        assert b.is_even()


MINE = Provider(
    name="mine",
    wire="openai-chat",
    key_env=("MINE_KEY",),
    headers={"x-team": "gym"},
    price="free",
)


@pytest.mark.must("llm-7")
@pytest.mark.parametrize("name", ["fm:local", "vllm:qwen3:8b", "ollama:qwen3:8b", "mine:any"])
async def test_a_service_needs_no_code(name: str, way: Any):
    async with bench(Turn(text="hé", calls=(ToolCall(id="c", name="read"),))) as b:
        mine = replace(MINE, base_url=f"{b.double.url}/v1")
        providers = {**b.models.settings.providers, "mine": mine}
        b.models.settings = LlmSettings(providers=providers, retry=QUICK)
        b.models.credentials = Credentials(environ={"MINE_KEY": "sk-mine-0123456789"})
        b.models.prices = replace(b.models.prices, free=b.models.prices.free | {"mine"})
        reply = await way(b.open(ModelName(*name.split(":", 1))), "hi", max_tokens=100)
        assert reply.text == "hé"
        asked = b.double.works[0]
        assert (asked.wire, asked.model) == ("openai-chat", name.split(":", 1)[1])
        assert asked.json["max_tokens"] == 100
        assert asked.stream == (way is ask_streamed and name != "fm:local"), "fm does not stream"
        if name == "mine:any":
            assert (asked.headers["x-team"], asked.key) == ("gym", "sk-mine-0123456789")
        else:
            assert asked.key is None, "a service without key is given none"
        assert b.meter.settled.billed_nano == 0
        assert b.meter.settled.usage == Usage(input=10, output=5)


async def test_the_environment_is_not_read(wire: Wire, monkeypatch: pytest.MonkeyPatch):
    for name in ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, "sk-of-the-environment")
    for name in ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "org-of-the-environment")
    async with bench(Turn(text="x")) as b:
        assert (await ask(b.open(WIRES[wire]))).text == "x"
        headers = b.double.works[0].headers
        assert "of-the-environment" not in str(headers)
        assert b.double.works[0].key == KEY


async def test_a_key_that_changed_is_read_again_at_once(wire: Wire):
    environ = dict(KEYS)
    async with bench(Turn(text="in"), credentials=Credentials(environ=environ)) as b:
        b.double.key = "sk-the-new-key-0123456789"
        model = b.open(WIRES[wire])
        with pytest.raises(ModelError) as caught:
            await ask(model)
        assert caught.value.reason == "unauthorised"
        assert len(b.double.works) == 1
        environ.update(dict.fromkeys(KEYS, "sk-the-new-key-0123456789"))
        assert (await ask(model)).text == "in"
        assert len(b.double.works) == 3


async def test_without_a_key_nothing_is_opened():
    async with bench(Turn(text="x"), credentials=Credentials(environ={})) as b:
        with pytest.raises(ConfigError, match="no key") as caught:
            b.open(WIRES["anthropic"])
        assert "ANTHROPIC_API_KEY" in (caught.value.remedy or "")
        with pytest.raises(ConfigError, match="nowhere"):
            b.open(ModelName("nowhere", "x"))


async def test_a_stop_leaves_no_time_for_another_try(wire: Wire):
    async with bench(Failure(status=500)) as b:
        with pytest.raises(ModelError):
            await ask(b.open(WIRES[wire], left_s=lambda: 4.0))
        assert len(b.double.works) == 1


async def test_without_time_nothing_is_sent_and_nothing_held(wire: Wire, way: Any):
    async with bench(Turn(text="x")) as b:
        with pytest.raises(ModelError) as caught:
            await way(b.open(WIRES[wire], left_s=lambda: 0.0))
        assert caught.value.reason in ("no_time", "no_turn")
        assert b.double.asked == []
        assert b.events == []


@pytest.mark.parametrize("wire", ["anthropic", "openai-responses", "google"])
async def test_a_large_request_is_counted_by_the_provider_before_it_is_refused(wire: Wire):
    async with bench(Turn(text="x"), budget=Budget(tokens=10_000)) as b:
        reply = await ask(b.open(WIRES[wire]), "word " * 4_000, max_tokens=2_000)
        assert reply.text == "x"
        assert len(b.double.asked) == 2, "one count, one call"
        assert b.requested[0].held.usage.input < 8_000
        assert b.is_even()


async def test_where_nobody_counts_a_large_request_is_refused():
    async with bench(Turn(text="x"), budget=Budget(tokens=10_000)) as b:
        with pytest.raises(BudgetExhausted):
            await ask(b.open(WIRES["openai-chat"]), "word " * 4_000, max_tokens=2_000)
        assert b.double.asked == []
        assert b.is_refused("budget_tokens")


@pytest.mark.must("llm-13")
async def test_every_count_arrives_from_every_wire(wire: Wire, way: Any):
    """What the provider says, through its SDK and the library, is what is paid for."""
    full = Usage(
        input=1_000,
        cache_read=200,
        cache_write_5m=30,
        cache_write_1h=4 if wire == "anthropic" else 0,
        output=50,
        reasoning=6,
        web_searches=2 if wire == "anthropic" else 0,
    )
    said = replace(full, cache_write_5m=0) if wire == "google" else full
    async with bench(Turn(text="x", thinking="hm", usage=said)) as b:
        await way(b.open(WIRES[wire]))
        assert b.meter.settled.usage == said
        price = b.models.prices.find(WIRES[wire], datetime.now(UTC))
        assert b.meter.settled.billed_nano == price.cost_nano(said)


@pytest.mark.must("llm-35")
async def test_a_key_does_not_follow_a_redirect(wire: Wire, way: Any):
    async with bench(Turn(text="give it to me")) as elsewhere:
        away = elsewhere.double.url.replace("127.0.0.1", "localhost")
        redirect = Failure(status=307, headers={"location": f"{away}/v1/messages"})
        async with bench(redirect, retry=ONCE) as b:
            with pytest.raises(ModelError):
                await way(b.open(WIRES[wire]))
            assert len(b.double.works) == 1
        assert elsewhere.double.asked == []


@pytest.mark.must("llm-18")
@pytest.mark.parametrize("status", [429, 529])
async def test_a_refusal_slows_down_the_key_for_everybody(wire: Wire, way: Any, status: int):
    async with bench([Failure(status=status), *[Turn(text="x")] * 4]) as b:
        name = WIRES[wire]
        provider = b.models.provider(name)
        pace = b.models.paces.of(provider, b.models.credentials.get(provider))
        await way(b.open(name))
        assert pace.limit == 4
        for _ in range(3):
            await way(b.open(name))
        assert (pace.limit, pace.in_flight) == (5, 0)


async def test_an_error_of_the_server_slows_nobody(wire: Wire):
    async with bench([Failure(status=500), Turn(text="x")]) as b:
        name = WIRES[wire]
        provider = b.models.provider(name)
        await ask(b.open(name))
        assert b.models.paces.of(provider, b.models.credentials.get(provider)).limit == 8


@pytest.mark.must("llm-7")
async def test_the_bridge_on_the_device_is_asked_one_at_a_time(way: Any):
    async with bench(Turn(text="x", trouble=Trouble(wait_s=0.02))) as b:
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(way, b.open(ModelName("fm", "local")))
        spans = [(asked.began_s, asked.ended_s or 0.0) for asked in b.double.works]
        assert len(spans) == 4
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
        assert b.is_even()


async def test_a_call_holds_its_turn_until_its_stream_is_over():
    async with bench(Turn(text="x" * 400)) as b:
        model = b.open(ModelName("vllm", "x"))
        pace = b.models.paces.of(b.models.provider(ModelName("vllm", "x")), None)
        message = [ModelRequest.user_text_prompt("hi")]
        async with model.request_stream(list(message), None, ModelRequestParameters()) as stream:
            assert pace.in_flight == 1
            async for _ in stream:
                pass
        assert pace.in_flight == 0
