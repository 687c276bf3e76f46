"""The service: a run is started, watched by whoever comes, stopped, saved, and its suite run."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel

from mechagym.budget import Meter
from mechagym.errors import ConfigError, SandboxError
from mechagym.events import (
    Event,
    TestgenComplete,
    TestgenConfigAccepted,
    TestgenError,
    TestgenStart,
)
from mechagym.records import now
from mechagym.sandbox.base import Box
from mechagym.store import Store
from mechagym.store.testgen_rows import RunFilter
from mechagym.testgen.config import body_of, digest
from mechagym.testgen.limits import preset
from mechagym.testgen.service import About, TestGenRequest, TestGenService
from mechagym.testgen.types import TestGenConfig
from tests.actors import open_box
from tests.testgen.author import INSTRUCTION, answer

OpenBox = Callable[[], AbstractAsyncContextManager[Box]]


def a_request(**changes: Any) -> TestGenRequest:
    model = FunctionModel(answer)
    values: dict[str, Any] = {
        "instruction": INSTRUCTION,
        "config": TestGenConfig(),
        "limits": preset("quick"),
        "open_box": lambda: open_box("memory"),
        "open_writer": lambda *_: model,
        "meter": Meter(),
        "context": "interactive",
        "about": About(task_id="made/hello", task_digest="d1"),
    }
    return TestGenRequest(**(values | changes))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path / 'm.db'}") as opened:
        yield opened


async def seen(service: TestGenService, run_id: str, after: int = 0) -> list[Event]:
    with anyio.fail_after(60):
        return [event async for event in service.watch(run_id, after=after)]


async def test_a_run_is_made_saved_and_its_suite_tells_right_from_wrong(store: Store):
    async with TestGenService.open(store) as service:
        run_id = service.start(a_request())
        made = await service.result(run_id)
        assert (made.row.status, made.row.ready, made.row.task_id) == (
            "complete",
            True,
            "made/hello",
        ), made.row
        assert made.row.config_digest == digest(TestGenConfig())
        assert (made.suite.runner, made.suite.digest) == ("sh", made.row.suite_digest)
        assert made.row.task_type == "implementation"
        async with open_box("memory") as box:
            assert not (await service.run(made.suite, box)).passed
            await box.put(b"hello\n", "/app/out.txt")
            report = await service.run(made.suite, box)
            assert report.passed, report
            await box.put(b"hello\nworld\n", "/app/out.txt")
            assert not (await service.run(made.suite, box)).passed
            left = await box.exec(["ls", "-A", "/tmp"])
            assert left.stdout == b""
        [row] = await service.list(RunFilter(task_id="made/hello"))
        assert row == made.row


async def test_whoever_watches_sees_each_event_once_and_in_order(store: Store):
    async with TestGenService.open(store) as service:
        run_id = service.start(a_request())
        early: list[Event] = []
        late: list[Event] = []

        async def watch(into: list[Event], wait_s: float) -> None:
            await anyio.sleep(wait_s)
            into.extend(await seen(service, run_id))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, early, 0)
            tasks.start_soon(watch, late, 0.3)
        again = await seen(service, run_id, after=5)
        stored = await store.events(run_id)
        assert early == late == stored
        assert [event.seq for event in stored] == list(range(1, len(stored) + 1))
        assert again == stored[5:]
        assert isinstance(stored[-1].body, TestgenComplete)
        tests = [e.body.test.test_id for e in stored if e.body.kind == "testgen_test"]
        assert len(set(tests)) >= 5


async def test_an_event_is_seen_within_a_second_while_the_run_goes_on(store: Store):
    """Causality, not the clock: the model answers no further until the watcher has seen more."""
    first_seen = anyio.Event()

    async def waits(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        with anyio.fail_after(30):
            await first_seen.wait()
        return answer(messages, info)

    model = FunctionModel(waits)
    async with TestGenService.open(store) as service:
        run_id = service.start(a_request(open_writer=lambda *_: model))
        lags: list[float] = []
        async for event in service.watch(run_id):
            lags.append((now() - event.at).total_seconds())
            if event.body.kind == "testgen_inputs":
                first_seen.set()
        assert sorted(lags)[len(lags) // 2] < 1.0


async def test_a_stopped_run_is_told_and_saved(store: Store):
    async def hangs(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        await anyio.sleep_forever()
        raise AssertionError

    model = FunctionModel(hangs)
    async with TestGenService.open(store) as service:
        run_id = service.start(a_request(open_writer=lambda *_: model))
        async for event in service.watch(run_id):
            if event.body.kind == "testgen_inputs":
                await service.stop(run_id)
        made = await service.result(run_id)
        assert (made.row.status, made.row.stopped_by, made.row.ready) == (
            "limited",
            "cancelled",
            False,
        )
        ends = [e for e in await store.events(run_id) if isinstance(e.body, TestgenComplete)]
        assert len(ends) == 1


@pytest.mark.must("testgen-19")
async def test_a_box_that_does_not_open_is_a_failed_run_that_is_saved(store: Store):
    @asynccontextmanager
    async def broken() -> AsyncIterator[Box]:
        raise SandboxError("no engine today")
        yield

    async with TestGenService.open(store) as service:
        run_id = service.start(a_request(open_box=broken))
        made = await service.result(run_id)
        assert (made.row.status, made.row.stopped_by) == ("failed", "sandbox_error")
        kinds = [event.body.kind for event in await store.events(run_id)]
        assert kinds == [
            "testgen_config_saved",
            "testgen_start",
            "testgen_error",
            "testgen_complete",
        ]
        [error] = [e.body for e in await store.events(run_id) if isinstance(e.body, TestgenError)]
        assert error.message == "no engine today"


async def test_bad_limits_are_told_before_anything_starts(store: Store):
    async with TestGenService.open(store) as service:
        with pytest.raises(ConfigError, match="category"):
            service.start(a_request(context="custom", categories=("taste",)))
        with pytest.raises(ConfigError, match="no run"):
            await service.result("tg-0")
        assert await service.list(RunFilter()) == []


async def test_what_is_raised_while_it_serves_comes_out_as_it_is(store: Store):
    async def fails() -> None:
        async with TestGenService.open(store) as service:
            service.start(a_request())
            raise ConfigError("as it is")

    with pytest.raises(ConfigError, match="as it is"):
        await fails()
    await store.flush()
    [row] = await store.testgen.runs()
    assert (row.status, row.stopped_by) == ("limited", "cancelled"), "saved before its first step"


async def test_what_a_run_is_for_is_kept_and_shown_to_no_model(store: Store):
    prompts: list[str] = []

    def listens(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        prompts.append(str(messages))
        return answer(messages, info)

    model = FunctionModel(listens)
    about = About(task_id="canary-task", task_digest="canary-digest", trial_id="canary-trial")
    async with TestGenService.open(store) as service:
        run_id = service.start(a_request(about=about, open_writer=lambda *_: model))
        await service.result(run_id)
        [start] = [e.body for e in await store.events(run_id) if isinstance(e.body, TestgenStart)]
        assert (start.task_id, start.trial_id) == ("canary-task", "canary-trial")
        assert prompts
        assert not any("canary" in prompt for prompt in prompts)


async def test_a_run_takes_the_best_config_of_its_kind_of_work(store: Store):
    async with TestGenService.open(store) as service:
        assert await service.config_for("Fix it") == (TestGenConfig(), "1.0.0")
        warm = replace(TestGenConfig(), temperature=0.4)
        for task_type in (None, "debugging"):
            config = warm if task_type is None else replace(warm, max_rounds=4)
            accepted = TestgenConfigAccepted(
                digest=digest(config), version="1.0.1", body=body_of(config), task_type=task_type
            )
            store.emitter("testgen")(accepted)
        await store.flush()
        assert await service.config_for("Write it") == (warm, "1.0.1")
        assert await service.config_for("Fix it") == (replace(warm, max_rounds=4), "1.0.1")
