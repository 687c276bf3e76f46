"""Events in are events out: all of them, in order, without gaps, whatever happens between."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mechagym.errors import StoreError
from mechagym.events import (
    AgentStarted,
    EventBody,
    MessageSaid,
    PhaseEnded,
    PhaseStarted,
    ToolCalled,
    ToolReturned,
    body_to_json,
)
from mechagym.records import Phase
from mechagym.store import Store
from tests.store.makers import a_store_with

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
BODIES: st.SearchStrategy[EventBody] = st.one_of(
    st.builds(PhaseStarted, phase=st.sampled_from(Phase)),
    st.builds(PhaseEnded, phase=st.sampled_from(Phase), duration_s=st.floats(0, 1e6)),
    st.builds(MessageSaid, text=TEXT, thinking=st.none() | TEXT),
    st.builds(ToolCalled, call_id=TEXT, tool=TEXT, arguments=st.dictionaries(TEXT, TEXT)),
    st.builds(AgentStarted, agent=TEXT, version=TEXT, instruction=TEXT),
)


async def all_events(store: Store, subject: str) -> list[tuple[int, int, EventBody]]:
    found = await store.events(subject, limit=1_000_000)
    assert all(event.subject == subject and event.at.tzinfo is not None for event in found)
    return [(event.seq, event.try_number, event.body) for event in found]


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from("abc"), BODIES), max_size=40))
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[str, EventBody]]
):
    url = str(tmp_path_factory.mktemp("property") / "m.db")
    half = len(told) // 2

    async def tell_and_read() -> None:
        for part in (told[:half], told[half:]):  # a restart in the middle leaves no gap
            async with Store.open(url) as store:
                for subject, body in part:
                    store.emitter(subject, try_number=2)(body)
        async with Store.open(url) as store:
            for subject in "abc":
                expected = [body for name, body in told if name == subject]
                numbered = [(seq, 2, body) for seq, body in enumerate(expected, 1)]
                assert await all_events(store, subject) == numbered
            positions = [position for position, _ in await store.tail(after_position=0, limit=99)]
            assert positions == sorted(set(positions))
            assert len(positions) == len(told)

    anyio.run(tell_and_read)


async def test_reading_goes_on_after_a_seq(url: str):
    async with Store.open(url) as store:
        emit = store.emitter("s")
        for number in range(10):
            emit(MessageSaid(text=str(number)))
        await store.flush()
        later = await store.events("s", after=7, limit=2)
        assert [event.seq for event in later] == [8, 9]
        tail = await store.tail(after_position=0, limit=3)
        rest = await store.tail(after_position=tail[-1][0], limit=100)
        assert [event.seq for _, event in tail + rest] == list(range(1, 11))


async def test_an_event_is_there_soon_without_a_flush(url: str):
    async with Store.open(url) as store, Store.open(url) as other:
        store.emitter("s")(MessageSaid(text="hello"))
        with anyio.fail_after(5):
            while not await other.events("s"):
                await anyio.sleep(0.01)


async def test_a_payload_of_any_size_and_shape(url: str, tmp_path: Path):
    bodies = [
        ToolReturned(call_id="big", output="x" * 300_000),
        ToolReturned(call_id="same", output="y" * 300_000),
        ToolReturned(call_id="wide", output="é" * 40_000),
        ToolReturned(call_id="zero", output="a\x00b\x1b[0m"),
        ToolReturned(call_id="odd", output="\u2028 \U0001f600 } {0} $(ls) `"),
    ]
    async with Store.open(url) as store:
        for body in (*bodies, bodies[0]):
            store.emitter("s")(body)
        await store.flush()
        found = await store.events("s")
        assert [event.body for event in found] == [*bodies, bodies[0]]
    if url.startswith("sqlite"):
        files = [path for path in (tmp_path / "store" / "blobs").rglob("*") if path.is_file()]
        assert len(files) == 3  # one per content


async def test_broken_utf8_is_kept_as_well_as_it_can_be(url: str):
    async with Store.open(url) as store:
        emit = store.emitter("s")
        emit(ToolReturned(call_id="c", output=b"ok \xff\xfe".decode("utf-8", "surrogateescape")))
        emit(MessageSaid(text="after"))
        await store.flush()
        first, second = (event.body for event in await store.events("s"))
        assert isinstance(first, ToolReturned)
        assert first.output.startswith("ok ")
        assert second == MessageSaid(text="after")


async def test_secrets_are_redacted_before_they_are_kept(tmp_path: Path):
    secret = '12345678"\\quoted'
    url = str(tmp_path / "m.db")

    def redact(text: str) -> str:
        for form in (secret, json.dumps(secret)[1:-1], "12345678"):
            text = text.replace(form, "[redacted:KEY]")
        return text

    async with Store.open(url, redact=redact) as store:
        emit = store.emitter("s")
        emit(ToolCalled(call_id="c", tool="Bash", arguments={secret: ["x", {"y": secret}]}))
        emit(PhaseEnded(phase=Phase.AGENT, duration_s=12345678.5))
        emit(ToolReturned(call_id="c", output=f"{secret} {'z' * 100_000}"))
        await store.flush()
        called, ended, _ = (event.body for event in await store.events("s"))
        assert isinstance(called, ToolCalled)
        assert called.arguments == {"[redacted:KEY]": ["x", {"y": "[redacted:KEY]"}]}
        assert ended == PhaseEnded(phase=Phase.AGENT, duration_s=12345678.5)  # still JSON
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if b"quoted" in path.read_bytes()]


async def test_a_lost_payload_file_is_named(tmp_path: Path):
    async with Store.open(str(tmp_path / "m.db")) as store:
        store.emitter("s")(ToolReturned(call_id="c", output="x" * 100_000))
        await store.flush()
        (blob,) = (path for path in (tmp_path / "blobs").rglob("*") if path.is_file())
        blob.unlink()
        with pytest.raises(StoreError, match=blob.name) as failure:
            await store.events("s")
        assert failure.value.reason == "payload_missing"


async def test_events_written_long_ago_load(tmp_path: Path):
    url = str(tmp_path / "m.db")
    old = (Path(__file__).parent.parent / "data" / "events-0.1.jsonl").read_text().splitlines()
    async with Store.open(url):
        pass
    with sqlite3.connect(tmp_path / "m.db") as raw:
        raw.executemany(
            "INSERT INTO events (subject, seq, try_number, kind, at, payload)"
            " VALUES ('old', ?, 1, ?, '2026-01-01 00:00:00.000000', ?)",
            [(seq, json.loads(line)["kind"], line) for seq, line in enumerate(old, 1)],
        )
    raw.close()
    async with Store.open(url) as store:
        found = await store.events("old")
        assert [json.loads(body_to_json(event.body))["kind"] for event in found] == [
            json.loads(line)["kind"] for line in old
        ]
        store.emitter("old")(MessageSaid(text="new"))
        await store.flush()
        assert (await store.events("old", after=len(old)))[0].seq == len(old) + 1


async def test_many_writers_on_one_subject_leave_no_gap(url: str):
    async with Store.open(url) as first, Store.open(url) as second:

        async def write(store: Store, name: str) -> None:
            emit = store.emitter("shared")
            for number in range(60):
                emit(MessageSaid(text=f"{name}{number}"))
                if number % 7 == 0:
                    await store.flush()

        async with anyio.create_task_group() as group:
            group.start_soon(write, first, "a")
            group.start_soon(write, second, "b")
        await first.flush()
        await second.flush()
        found = await all_events(first, "shared")
        assert [seq for seq, _, _ in found] == list(range(1, 121))
        for name in "ab":
            said = [b.text for _, _, b in found if isinstance(b, MessageSaid) and b.text[0] == name]
            assert said == [f"{name}{number}" for number in range(60)]


async def test_emitting_from_threads_is_fine(url: str):
    async with Store.open(url) as store:
        emit = store.emitter("s")

        def tell(name: str) -> None:
            for number in range(200):
                emit(MessageSaid(text=f"{name}{number}"))

        async with anyio.create_task_group() as group:
            for name in "abcd":
                group.start_soon(anyio.to_thread.run_sync, tell, name)
        await store.flush()
        found = await all_events(store, "s")
        assert [seq for seq, _, _ in found] == list(range(1, 801))
        said = [body.text for _, _, body in found if isinstance(body, MessageSaid)]
        for name in "abcd":
            assert [text for text in said if text[0] == name] == [f"{name}{n}" for n in range(200)]


async def test_emitting_never_waits_for_the_disk(sqlite_url: str, tmp_path: Path):
    async with Store.open(sqlite_url) as store:
        with sqlite3.connect(tmp_path / "store" / "mechagym.db") as other:
            other.execute("BEGIN IMMEDIATE")  # as if another process wrote for long
            began = time.monotonic()
            for number in range(1_000):
                store.emitter("s")(MessageSaid(text=str(number)))
            assert time.monotonic() - began < 5
            other.rollback()
        other.close()
        await store.flush()
        assert len(await store.events("s")) == 1_000


WRITER = """
import sys, anyio
from mechagym.events import MessageSaid
from mechagym.store import Store

async def main():
    async with Store.open(sys.argv[1]) as store:
        emit = store.emitter("s")
        number = 0
        while True:
            for _ in range(50):
                number += 1
                emit(MessageSaid(text=str(number)))
            await store.flush()
            print(number, flush=True)

anyio.run(main)
"""


@pytest.mark.parametrize("batches", [1, 4, 9])
async def test_kill_nine_loses_nothing_that_was_flushed(url: str, batches: int):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    for _ in range(batches):
        flushed = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    async with Store.open(url) as store:
        said = [body.text for _, _, body in await all_events(store, "s")]  # type: ignore[union-attr]
        assert len(said) >= flushed
        assert said == [str(number) for number in range(1, len(said) + 1)]
        store.emitter("s")(MessageSaid(text="on"))
        await store.flush()
        assert (await store.events("s", after=len(said)))[0].seq == len(said) + 1


async def test_a_torn_wal_tail_costs_only_what_was_torn(tmp_path: Path):
    url = str(tmp_path / "m.db")
    writer = subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    for _ in range(5):
        writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    wal = tmp_path / "m.db-wal"
    os.truncate(wal, wal.stat().st_size - 1_000)
    async with Store.open(url) as store:
        said = [body.text for _, _, body in await all_events(store, "s")]  # type: ignore[union-attr]
        assert said
        assert said == [str(number) for number in range(1, len(said) + 1)]


async def test_closing_writes_what_is_left_even_when_cancelled(url: str):
    with anyio.CancelScope() as scope:
        async with Store.open(url) as store:
            await a_store_with(store)
            store.emitter("job-t1")(MessageSaid(text="last words"))
            scope.cancel()
            await anyio.sleep(1)
    assert scope.cancelled_caught
    async with Store.open(url) as store:
        assert [event.body for event in await store.events("job-t1")] == [
            MessageSaid(text="last words")
        ]


async def test_an_error_in_the_body_comes_out_as_it_is(url: str):
    with pytest.raises(ZeroDivisionError):
        async with Store.open(url):
            raise ZeroDivisionError
