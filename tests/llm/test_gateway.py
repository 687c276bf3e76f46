"""The gateway on the wire: the real SDKs on one side, the provider double on the other."""

import hashlib
import json
from typing import Any

import anyio
import httpx2
import pytest
from anthropic import AuthenticationError, PermissionDeniedError
from openai import AuthenticationError as OpenAIAuthenticationError

from mechagym.budget import Budget
from mechagym.events import ModelAnswered, ModelFailed, ModelRefused, ReserveExceeded
from mechagym.llm.credentials import TOKEN_HEADER
from mechagym.llm.gateway import Token
from mechagym.llm.names import ModelName
from mechagym.llm.providers import Dialect
from mechagym.records import Usage
from mechagym.testing.provider import Failure, Trouble, Turn
from tests.llm.gateway_stand import (
    ALLOWED,
    FULL,
    HI,
    PATHS,
    USAGE,
    asking,
    sdk_of_anthropic,
    sdk_of_openai,
    stand,
)
from tests.llm.parts import KEY, WIRES

ANTHROPIC, CHAT, RESPONSES = PATHS


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.must("llm-26")
@pytest.mark.parametrize("trouble", [{}, {"piece_bytes": 7}, {"stamps": True}], ids=str)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", PATHS)
async def test_both_ways_pass_byte_for_byte(wire, stream, trouble):
    turn = Turn(text=FULL.text, calls=FULL.calls, usage=USAGE, trouble=Trouble(**trouble))
    body = asking(wire, stream=stream, unknown_field={"ü": [1.50, "a/b"]})
    if wire == CHAT and stream:
        body["stream_options"] = {"include_usage": True}
    raw = json.dumps(body, indent=3, ensure_ascii=False).replace("a/b", r"a\/b").encode()
    async with stand(turn) as at, at.client() as client:
        got = await client.post(PATHS[wire], content=raw, headers={"anthropic-beta": "x-1"})
    [asked] = at.bench.double.works
    assert digest(asked.body) == digest(raw)
    assert digest(got.content) == digest(bytes(asked.sent))
    assert (got.status_code, got.headers["request-id"]) == (200, "req_1")
    assert asked.headers["anthropic-beta"] == "x-1"
    [answered] = at.bench.answered
    assert (answered.measured, answered.spend.usage) == (True, USAGE)
    assert answered.request_id == "req_1"
    assert at.bench.is_even()


async def test_the_real_sdks_work_through_it():
    async with stand([FULL, FULL, FULL, FULL]) as at:
        token = at.grant().value
        async with sdk_of_anthropic(at, api_key=token) as client:
            name = WIRES["anthropic"].name
            plain = await client.messages.create(model=name, max_tokens=99, messages=HI)
            async with client.messages.stream(model=name, max_tokens=99, messages=HI) as stream:
                streamed = await stream.get_final_message()
            assert plain.content[1].text == streamed.content[1].text == FULL.text
            assert [m.id async for m in client.models.list()] == [m.name for m in ALLOWED]
            counted = await client.messages.count_tokens(model=name, messages=HI)
            assert counted.input_tokens > 1
        async with sdk_of_openai(at, token) as client:
            answer = await client.responses.create(model="gpt-4o", input="hi")
            assert answer.output_text == FULL.text
            chat = await client.chat.completions.create(model="gpt-4o", messages=HI)
            assert chat.choices[0].message.content == FULL.text
            assert (await client.models.retrieve("gpt-4o")).owned_by == "openai-chat"
    assert {a.key for a in at.bench.double.asked} == {KEY}
    assert at.bench.is_even()
    assert len(at.bench.answered) == 4


async def test_a_dialect_is_answered_by_who_speaks_it_and_by_nobody_else():
    async with stand([FULL, FULL]) as at:
        async with at.client(at.grant(models=(WIRES["openai-responses"],))) as client:
            for wire in ("openai-chat", "openai-responses"):
                assert (await client.post(PATHS[wire], json=asking(wire))).status_code == 200
        async with at.client(at.grant(models=(WIRES["openai-chat"],))) as client:
            got = await client.post(PATHS["openai-responses"], json=asking("openai-responses"))
        assert (got.status_code, got.json()["error"]["code"]) == (403, "model_not_allowed")
    assert [a.wire for a in at.bench.double.asked] == ["openai-chat", "openai-responses"]


@pytest.mark.must("llm-27")
async def test_tokens_are_taken_from_both_headers_and_die_when_revoked():
    async with stand() as at:
        token, other = at.grant(), at.grant(models=())
        for how in ({"api_key": token.value}, {"auth_token": token.value}):
            async with sdk_of_anthropic(at, **how) as client:
                made = await client.messages.create(
                    model=WIRES["anthropic"].name, max_tokens=99, messages=HI
                )
                assert made.usage.input_tokens == 30
        async with httpx2.AsyncClient(base_url=at.url) as client:
            chat = asking(CHAT)
            got = await client.post(PATHS[CHAT], json=chat, headers={"x-api-key": token.value})
            assert got.status_code == 200
        async with at.client(other) as client:
            refused = await client.post(PATHS[ANTHROPIC], json=asking(ANTHROPIC))
            assert refused.status_code == 403  # a living token, of a trial that may use nothing
        at.gateway.revoke(token)
        asked = len(at.bench.double.asked)
        for dead in (token.value, "mg_" + "x" * 43, "ä", KEY):
            async with sdk_of_anthropic(at, api_key="x") as client:
                with pytest.raises(AuthenticationError, match="mechagym: no living token"):
                    await client.with_options(
                        default_headers={"x-api-key": dead.encode().decode("latin-1")}
                    ).messages.create(model="m", max_tokens=9, messages=HI)
        async with sdk_of_openai(at, token.value) as client:
            with pytest.raises(OpenAIAuthenticationError) as caught:
                await client.models.list()
            assert caught.value.code == "invalid_api_key"
    assert len(at.bench.double.asked) == asked
    assert token.value not in repr(token)


async def test_beside_a_login_a_token_has_a_header_of_its_own_and_neither_goes_on():
    async with stand() as at, httpx2.AsyncClient(base_url=at.url) as client:
        token = at.grant().value
        login = {"authorization": "Bearer sk-ant-oat01-of-the-box"}
        refused = await client.post(PATHS[ANTHROPIC], json=asking(ANTHROPIC), headers=login)
        assert refused.status_code == 401
        both = {**login, TOKEN_HEADER: token}
        got = await client.post(PATHS[ANTHROPIC], json=asking(ANTHROPIC), headers=both)
        assert got.status_code == 200
        (asked,) = at.bench.double.works
        assert asked.headers["x-api-key"] == KEY
        assert "of-the-box" not in str(asked.headers)
        assert token not in str(asked.headers)


@pytest.mark.must("llm-30")
async def test_a_client_that_leaves_cancels_the_upstream_and_the_call_is_settled():
    turn = Turn(text="x" * 5_000, usage=USAGE, trouble=Trouble(stall_after_bytes=2_000))
    async with stand(turn) as at, at.client() as client:
        async with client.stream(
            "POST", PATHS[ANTHROPIC], json=asking(ANTHROPIC, stream=True)
        ) as got:
            async for _ in got.aiter_raw():
                break
            assert at.bench.meter.held.imputed_nano > 0
        with anyio.fail_after(20):
            while at.bench.double.works[0].ended is None or not at.bench.failed:
                await anyio.sleep(0.01)
    assert at.bench.double.works[0].ended == "client left"
    [requested], [failed] = at.bench.requested, at.bench.failed
    assert failed.spend == requested.held  # what was made may be billed
    assert at.bench.is_even()


async def test_a_client_that_leaves_before_the_answer_cancels_it_too():
    async with stand(Turn(trouble=Trouble(wait_s=600))) as at:
        async with at.client(timeout=0.5) as client:
            with pytest.raises(httpx2.ReadTimeout):
                await client.post(PATHS[RESPONSES], json=asking(RESPONSES))
        with anyio.fail_after(20):
            while not at.bench.failed:
                await anyio.sleep(0.01)
    assert at.bench.double.works[0].ended == "client left"
    assert at.bench.is_even()


async def test_a_client_that_leaves_after_the_last_event_has_a_measured_call():
    endless = Turn(text="hi", usage=USAGE, trouble=Trouble(stall_after_bytes=10**9))
    async with stand(endless) as at:
        async with (
            at.client() as client,
            client.stream("POST", PATHS[ANTHROPIC], json=asking(ANTHROPIC, stream=True)) as got,
        ):
            async for line in got.aiter_lines():
                if "message_stop" in line:
                    break
        with anyio.fail_after(20):
            while not at.bench.of(ModelAnswered, ModelFailed):
                await anyio.sleep(0.01)
    assert at.bench.answered[0].spend.usage == USAGE


OUTWARD: dict[str, tuple[Dialect, dict[str, Any]]] = {
    "anthropic search": (ANTHROPIC, {"tools": [{"type": "web_search_20260209", "name": "s"}]}),
    "anthropic fetch": (ANTHROPIC, {"tools": [{"type": "web_fetch_20250910", "name": "f"}]}),
    "anthropic code": (ANTHROPIC, {"tools": [{"type": "code_execution_20250825", "name": "c"}]}),
    "anthropic mcp": (ANTHROPIC, {"mcp_servers": [{"type": "url", "url": "https://x"}]}),
    "anthropic image by url": (
        ANTHROPIC,
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "t",
                            "content": [
                                {"type": "image", "source": {"type": "url", "url": "http://x"}}
                            ],
                        }
                    ],
                }
            ]
        },
    ),
    "chat search": (CHAT, {"web_search_options": {}, "plugins": [{"id": "web"}]}),
    "chat image by url": (
        CHAT,
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}],
                }
            ]
        },
    ),
    "responses search": (RESPONSES, {"tools": [{"type": "web_search"}]}),
    "responses hosted shell": (
        RESPONSES,
        {"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]},
    ),
    "responses in a namespace": (
        RESPONSES,
        {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "mcp"}]}]},
    ),
    "responses tool of tomorrow": (RESPONSES, {"tools": [{"type": "teleport"}]}),
    "responses file by url": (
        RESPONSES,
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "ftp://x"}]}]},
    ),
}


@pytest.mark.must("llm-31")
@pytest.mark.parametrize("case", OUTWARD)
async def test_what_reaches_out_from_the_providers_side_is_refused(case):
    wire, more = OUTWARD[case]
    async with stand() as at, at.client() as client:
        got = await client.post(PATHS[wire], json=asking(wire) | more)
        error = got.json()["error"]
        assert got.status_code == 403
        assert (error.get("code") or error["type"]) in ("tool_not_allowed", "permission_error")
        assert got.headers["x-should-retry"] == "false"
        assert at.bench.double.asked == []
        assert at.bench.meter.settled.billed_nano == 0


TOOLS_OF_CALLERS = {
    ANTHROPIC: [
        {"name": "read", "input_schema": {"properties": {"url": {"type": "string"}}}},
        {"type": "custom", "name": "x", "input_schema": {}},
        {"type": "bash_20250124", "name": "bash"},
    ],
    CHAT: [{"type": "function", "function": {"name": "f"}}],
    RESPONSES: [
        {"type": "function", "name": "f"},
        {"type": "local_shell"},
        {"type": "shell", "environment": {"type": "local"}},
    ],
}


@pytest.mark.parametrize("wire", PATHS)
async def test_tools_of_the_caller_pass_and_with_a_public_network_all_do(wire):
    said = {"role": "assistant", "content": [
        {"type": "tool_use", "id": "t", "name": "read", "input": {"source": {"type": "url"}}}
    ]}  # fmt: skip
    more = {"messages": [*HI, said]} if wire == ANTHROPIC else {}
    async with stand() as at:
        async with at.client() as client:
            own = asking(wire, tools=TOOLS_OF_CALLERS[wire]) | more
            assert (await client.post(PATHS[wire], json=own)).status_code == 200
        async with at.client(at.grant(public=True)) as client:
            fetch = asking(wire, tools=[{"type": "web_fetch_20250910", "name": "f"}])
            assert (await client.post(PATHS[wire], json=fetch)).status_code == 200


async def test_a_variant_without_a_price_is_refused_before_anything_is_sent():
    quickly = asking(RESPONSES, service_tier="turbo")
    async with stand() as at, at.client() as client:
        got = await client.post(PATHS[RESPONSES], json=quickly)
    assert (got.status_code, got.json()["error"]["code"]) == (400, "price_unknown")
    assert at.bench.double.asked == []


@pytest.mark.parametrize("wire", PATHS)
async def test_a_spent_budget_is_told_in_the_callers_dialect(wire):
    async with stand(budget=Budget(usd=0.000001)) as at, at.client() as client:
        got = await client.post(PATHS[wire], json=asking(wire))
    error = got.json()["error"]
    assert (got.status_code, got.headers["x-should-retry"]) == (402, "false")
    assert error["message"].startswith("mechagym: budget: usd limit")
    assert error.get("code", error["type"]) in ("billing_error", "insufficient_quota")
    assert at.bench.double.works == []
    [refused] = at.bench.of(ModelRefused)
    assert refused.reason == "budget_usd"


@pytest.mark.parametrize("wire", PATHS)
async def test_the_output_limit_is_lowered_in_the_body_and_in_the_event(wire):
    field = {ANTHROPIC: "max_tokens", CHAT: "max_completion_tokens"}.get(wire, "max_output_tokens")
    body = asking(wire) | {field: 90_000}
    async with stand(budget=Budget(usd=0.05)) as at, at.client() as client:
        got = await client.post(PATHS[wire], json=body)
    assert got.status_code == 200
    [asked], [requested] = at.bench.double.works, at.bench.requested
    limit = asked.json[field]
    assert 2_048 <= limit < 90_000
    assert requested.output_limit == limit
    assert requested.edits == (f"output limit {limit}",)
    assert asked.body == got.request.content.replace(b"90000", str(limit).encode())


async def test_a_limit_that_the_caller_does_not_name_is_put_in():
    async with stand(budget=Budget(usd=0.05)) as at, at.client() as client:
        for wire in (CHAT, RESPONSES):
            assert (await client.post(PATHS[wire], json=asking(wire))).status_code == 200
    chat, responses = at.bench.double.works
    assert chat.json["max_completion_tokens"] >= 2_048
    assert responses.json["max_output_tokens"] >= 2_048


async def test_a_stream_of_chat_is_always_asked_for_its_usage():
    async with stand() as at, at.client() as client:
        for options in ({}, {"stream_options": {"include_usage": False, "x": 1}}):
            body = asking(CHAT, stream=True) | options
            assert (await client.post(PATHS[CHAT], json=body)).status_code == 200
    first, second = at.bench.double.works
    assert first.json["stream_options"] == {"include_usage": True}
    assert second.json["stream_options"] == {"include_usage": True, "x": 1}
    assert [r.edits for r in at.bench.requested] == [("include_usage",)] * 2
    assert all(a.measured for a in at.bench.answered)


async def test_models_are_an_allow_list_with_rewrites():
    haiku = WIRES["anthropic"]
    async with stand() as at:
        token = at.grant(models=(haiku,), rewrite={"claude-3*": haiku, "gpt-*": ALLOWED[1]})
        async with at.client(token) as client:
            for name, status in {
                haiku.name: 200,
                str(haiku): 200,
                "claude-3-5-haiku-latest": 200,
                "gpt-4o": 403,  # a rewrite does not allow what the trial does not
                "claude-opus-4-6": 403,
            }.items():
                got = await client.post(PATHS[ANTHROPIC], json=asking(ANTHROPIC, model=name))
                assert got.status_code == status, name
            chat = asking(CHAT, model=haiku.name)
            assert (await client.post(PATHS[CHAT], json=chat)).status_code == 403
            others = asking(ANTHROPIC, models=["claude-opus-4-6"])
            assert (await client.post(PATHS[ANTHROPIC], json=others)).status_code == 403
    assert {a.model for a in at.bench.double.works} == {haiku.name}
    assert {r.model for r in at.bench.requested} == {str(haiku)}
    assert at.bench.requested[2].edits == (f"model claude-3-5-haiku-latest → {haiku.name}",)


@pytest.mark.parametrize(
    ("form", "header"), [("seconds", "retry-after"), ("milliseconds", "retry-after-ms"),
                         ("date", "retry-after")]
)  # fmt: skip
async def test_an_error_of_the_provider_passes_as_it_is_and_slows_the_key(form, header):
    failure = Failure(status=429, retry_after_s=30, retry_after_form=form)
    async with stand([failure]) as at, at.client() as client:
        got = await client.post(PATHS[ANTHROPIC], json=asking(ANTHROPIC))
        provider = at.bench.models.provider(WIRES["anthropic"])
        pace = at.bench.models.paces.of(provider, at.bench.models.credentials.get(provider))
        assert pace.limit == 4
        assert 20 < pace.silent_s <= 31
    assert got.status_code == 429
    assert got.content == bytes(at.bench.double.works[0].sent)
    assert got.headers[header]
    [failed] = at.bench.failed
    assert (failed.status, failed.spend.billed_nano) == (429, 0)
    assert at.bench.is_even()


async def test_a_provider_that_hangs_up_is_settled_and_one_that_is_not_there_is_not():
    async with stand(Turn(trouble=Trouble(hang_up=True))) as at, at.client() as client:
        lost = await client.post(PATHS[ANTHROPIC], json=asking(ANTHROPIC))
    assert (lost.status_code, lost.json()["error"]["type"]) == (502, "api_error")
    assert lost.headers["x-should-retry"] == "true"
    assert at.bench.failed[0].spend.billed_nano > 0

    async with stand() as at, at.client() as client:
        model = WIRES["anthropic"]
        at.close_provider(model)
        gone = await client.post(PATHS[ANTHROPIC], json=asking(ANTHROPIC))
    assert gone.status_code == 502
    assert at.bench.failed[0].spend.billed_nano == 0
    assert at.bench.is_even()


@pytest.mark.parametrize("wire", PATHS)
async def test_a_stream_that_breaks_off_breaks_off_and_is_unmeasured(wire):
    turn = Turn(text="x" * 500, usage=USAGE, trouble=Trouble(end_after_bytes=900))
    async with stand(turn) as at, at.client() as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.post(PATHS[wire], json=asking(wire, stream=True))
    [requested], [failed] = at.bench.requested, at.bench.failed
    assert failed.spend == requested.held
    assert at.bench.is_even()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", PATHS)
async def test_an_answer_without_usage_is_settled_at_what_was_held(wire, stream):
    async with stand(Turn(text="hi", usage=None)) as at, at.client() as client:
        assert (await client.post(PATHS[wire], json=asking(wire, stream=stream))).is_success
    [requested], [answered] = at.bench.requested, at.bench.answered
    assert not answered.measured
    assert answered.spend == requested.held


async def test_a_usage_beyond_the_reservation_is_a_fact_and_is_told():
    async with stand(Turn(usage=Usage(input=10, output=100_000))) as at, at.client() as client:
        assert (await client.post(PATHS[ANTHROPIC], json=asking(ANTHROPIC))).is_success
    assert at.bench.answered[0].spend.usage.output == 100_000
    assert at.bench.of(ReserveExceeded)


async def test_a_revoked_token_ends_its_stream_with_an_error_of_the_dialect():
    turn = Turn(text="x" * 500, trouble=Trouble(stall_after_bytes=700))
    for wire in PATHS:
        async with stand(turn) as at:
            token = at.grant()
            async with at.client(token) as client:
                body = asking(wire, stream=True)
                async with client.stream("POST", PATHS[wire], json=body) as got:
                    text = ""
                    async for chunk in got.aiter_text():
                        text += chunk
                        if at.bench.double.works[0].ended is None:
                            at.gateway.revoke(token)
        last = text.strip().splitlines()[-1]
        assert (
            "mechagym: the trial is over"
            in json.loads(last.removeprefix("data: "))[
                "message" if wire == RESPONSES else "error"
            ].__str__()
        )
        assert at.bench.is_even()


async def test_a_slow_client_slows_the_provider():
    turn = Turn(text="x" * 30_000_000, delta_chars=100_000)
    async with (
        stand(turn) as at,
        at.client() as client,
        client.stream("POST", PATHS[ANTHROPIC], json=asking(ANTHROPIC, stream=True)) as got,
    ):
        before = -1
        while len(at.bench.double.works[0].sent) != before:  # until nothing moves
            before = len(at.bench.double.works[0].sent)
            await anyio.sleep(0.3)
        assert before < 25_000_000
        size = sum([len(chunk) async for chunk in got.aiter_raw()])
    assert size == len(at.bench.double.works[0].sent) > 30_000_000


async def test_the_real_key_comes_back_in_no_answer():
    echo = Failure(status=401, message=f"wrong key: {KEY}", headers={"set-cookie": "a=b"})
    async with stand([echo]) as at, at.client() as client:
        got = await client.post(PATHS[ANTHROPIC], json=asking(ANTHROPIC))
    assert got.status_code == 401
    assert KEY not in got.text + str(got.headers)
    assert len(got.content) == len(at.bench.double.works[0].sent)
    assert "set-cookie" not in got.headers
    assert KEY not in repr(at.bench.events)


async def test_no_header_of_the_caller_speaks_for_an_account():
    ours = {
        "cookie": "a=b",
        "openai-organization": "o",
        "chatgpt-account-id": "c",
        "x-goog-api-key": "k",
        "proxy-authorization": "p",
        "x-forwarded-for": "1.2.3.4",
        "connection": "keep-alive, x-secret",
        "x-secret": "s",
        "authorization": "Bearer mine",
        "accept-encoding": "gzip",
        "x-stainless-lang": "python",
    }
    async with stand() as at, at.client() as client:
        assert (
            await client.post(PATHS[ANTHROPIC], json=asking(ANTHROPIC), headers=ours)
        ).is_success
    [asked] = at.bench.double.works
    assert not {*ours} & {*asked.headers} - {"x-stainless-lang", "accept-encoding"}
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["x-stainless-lang"] == "python"
    assert asked.headers["x-api-key"] == KEY


async def test_counting_is_free_and_estimated_where_the_provider_cannot():
    body = {"model": WIRES["anthropic"].name, "messages": HI}
    async with stand() as at, at.client() as client:
        got = await client.post("/v1/messages/count_tokens", json=body)
        assert got.content == bytes(at.bench.double.asked[0].sent)
        assert (at.bench.requested, at.bench.meter.turns) == ([], 0)


async def test_a_bound_that_would_refuse_asks_for_the_true_count_once():
    words = "long " * 40_000  # 200 kB: 100,000 tokens by our bound, 50,000 by the count
    body = asking(ANTHROPIC, messages=[{"role": "user", "content": words}])
    async with stand(budget=Budget(usd=0.15)) as at, at.client() as client:
        got = await client.post(PATHS[ANTHROPIC], json=body)
    assert got.status_code == 200
    assert [a.route for a in at.bench.double.asked] == [
        "/v1/messages/count_tokens",
        "/v1/messages",
    ]


async def test_too_many_streams_of_one_token_are_refused_and_others_are_not():
    async with stand(Turn(trouble=Trouble(wait_s=600))) as at:
        token = at.grant(max_streams=2)
        async with at.client(token) as client, anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(lambda: client.post(PATHS[ANTHROPIC], json=asking(ANTHROPIC)))
            while len(at.bench.double.works) < 2:
                await anyio.sleep(0.01)
            got = await client.post(PATHS[ANTHROPIC], json=asking(ANTHROPIC))
            assert (got.status_code, got.headers["x-should-retry"]) == (529, "true")
            got = await client.post(PATHS[CHAT], json=asking(CHAT))
            assert got.status_code == 503
            async with at.client() as other:
                assert (await other.get("/v1/models")).status_code == 200
            tasks.cancel_scope.cancel()


async def test_no_turn_in_time_is_told_as_overload(monkeypatch):
    monkeypatch.setattr("mechagym.llm.gateway.relay.TURN_S", 0.05)
    async with stand() as at, at.client() as client:
        provider = at.bench.models.provider(WIRES["anthropic"])
        at.bench.models.paces.of(provider, at.bench.models.credentials.get(provider)).slow_down(60)
        got = await client.post(PATHS[ANTHROPIC], json=asking(ANTHROPIC))
    assert (got.status_code, got.json()["error"]["type"]) == (529, "overloaded_error")
    assert at.bench.requested == []


async def test_a_missing_key_and_a_closed_dialect_are_told():
    async with stand() as at:
        async with at.client(at.grant(models=(ModelName("openrouter", "x/y"),))) as client:
            got = await client.post(PATHS[CHAT], json=asking(CHAT, model="x/y"))
            assert (got.status_code, got.json()["error"]["code"]) == (502, "no_credential")
        token = at.grant(dialects=frozenset({CHAT})).value
        async with sdk_of_anthropic(at, api_key=token) as sdk:
            name = WIRES["anthropic"].name
            with pytest.raises(PermissionDeniedError, match="does not speak anthropic"):
                await sdk.messages.create(model=name, max_tokens=9, messages=HI)


async def test_a_fault_of_ours_ends_one_call_and_no_other(monkeypatch, caplog):
    def broken(*_args, **_more):
        raise RuntimeError("a bug")

    async with stand() as at, at.client() as client:
        with monkeypatch.context() as patch:
            patch.setattr("mechagym.llm.gateway.relay.work_changes", broken)
            got = await client.post(PATHS[ANTHROPIC], json=asking(ANTHROPIC))
        assert (got.status_code, got.json()["error"]["type"]) == (500, "api_error")
        assert "RuntimeError" in caplog.text
        assert (await client.post(PATHS[ANTHROPIC], json=asking(ANTHROPIC))).is_success
    assert at.bench.is_even()


def test_a_token_does_not_print():
    assert "mg_" not in repr(Token("mg_secret"))
