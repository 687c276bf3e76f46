"""The six tools: what is offered, that calls are paired by id, and that files are byte for byte."""

import json
import math
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import ModelResponse, ToolCallPart, ToolReturnPart

from mechagym.agents.base import ModelFacts
from mechagym.agents.map.arguments import EditFile
from mechagym.agents.map.clock import Clock
from mechagym.agents.map.tools.offered import definitions, read_call
from mechagym.agents.map.tools.shown import Gathering, cut, of_text
from mechagym.agents.map.tools.toolbox import Toolbox
from mechagym.agents.map.tools.writing import edit
from mechagym.agents.map.types import BadCall, Surroundings, ToolAction
from mechagym.events import ToolCalled, ToolReturned
from mechagym.sandbox.base import Box
from tests.actors import open_box, read
from tests.agents.map.play import call, completes, play, runs, says, text_of

GOLDEN = Path(__file__).parent / "data" / "tools.json"
PLACE = Surroundings(
    instruction="", workdir="/app", home="/root", user=None, helper="/tmp/.map-test"
)


@asynccontextmanager
async def toolbox(box: Box, **more: Any) -> AsyncIterator[Toolbox]:
    tools = Toolbox(box, PLACE, clock=Clock(None), facts=more.pop("facts", ModelFacts()), **more)
    await tools.open()
    yield tools


def action(tool: str, **arguments: Any) -> ToolAction:
    made = read_call(ToolCallPart(tool_name=tool, args=arguments, tool_call_id="c1"), "")
    assert isinstance(made, ToolAction), made
    return made


@pytest.mark.must("map-3")
def test_schemas_are_as_they_were_agreed():
    offered = {
        d.name: {"description": d.description, "parameters": d.parameters_json_schema}
        for d in definitions()
    }
    assert offered == json.loads(GOLDEN.read_text(encoding="utf-8"))
    for tool in offered.values():
        schema: Any = tool["parameters"]
        assert schema["additionalProperties"] is False
        names = list(schema["properties"])
        assert names[: len(schema["required"])] == schema["required"]
        assert "anyOf" not in json.dumps(schema)
        assert "$ref" not in json.dumps(schema)


@pytest.mark.parametrize(
    ("tool", "arguments", "field"),
    [
        ("read_file", {}, "path"),
        ("read_file", {"path": "a", "lines": 3}, "lines"),
        ("run_command", {"command": "ls", "timeout_s": 5_000}, "timeout_s"),
        ("edit_file", {"path": "a", "old_text": "", "new_text": "b"}, "old_text"),
        ("write_file", '{"path": "a", "content": ', "JSON"),
        ("look", {}, "look"),
        ("run_command", {"command": "echo \0"}, "NUL"),
        ("write_file", {"path": "a\0b", "content": ""}, "path"),
        ("write_file", {"path": "a", "content": "\ud800"}, "surrogate"),
    ],
)
def test_a_malformed_call_names_its_fault(tool: str, arguments: Any, field: str):
    made = read_call(ToolCallPart(tool_name=tool, args=arguments, tool_call_id="c1"), "")
    assert isinstance(made, BadCall)
    assert field in made.problem


def test_an_optional_argument_may_be_null():
    made = action("read_file", path="a", start_line=None)
    assert made.tool_args.model_dump(exclude_defaults=True) == {"path": "a"}


@pytest.mark.must("map-3")
async def test_calls_of_one_reply_run_in_order_and_are_paired_by_id(mini: Box):
    reply = says(
        call("task_complete", "first", summary="so", confirm=True),
        call("run_command", "second", command="echo one > a.txt; cat a.txt"),
        call("run_command", "third", command="cat a.txt; echo two"),
    )
    seen = await play(mini, [reply, completes(), completes()], options={"switches": "off"})
    assert [c.call_id for c in seen.of(ToolCalled)] == ["first", "second", "third"]
    returned = [r.call_id for r in seen.of(ToolReturned)]
    assert returned == ["second", "third", "first"], "completing comes last"
    assert seen.ended.turns == 1
    seen = await play(
        mini, [ModelResponse(parts=reply.parts[1:]), completes()], options={"switches": "off"}
    )
    parts = [part for part in seen.asked[1][-1].parts if isinstance(part, ToolReturnPart)]
    assert [(part.tool_call_id, str(part.content).split("\n")[0]) for part in parts] == [
        ("second", "one"),
        ("third", "one"),
    ]


async def test_ids_that_come_again_are_made_unique_and_stay_paired(mini: Box):
    replies = [runs("echo one"), runs("echo two"), completes()]
    seen = await play(mini, replies, options={"switches": "off"})
    ids = [c.call_id for c in seen.of(ToolCalled)]
    assert len(set(ids)) == 3
    for turn in (1, 2):
        asked, answered = seen.asked[turn][-2:]
        calls = [part.tool_call_id for part in asked.parts if isinstance(part, ToolCallPart)]
        assert calls == [p.tool_call_id for p in answered.parts if isinstance(p, ToolReturnPart)]


@pytest.mark.must("map-4")
@pytest.mark.parametrize("kind", ["memory", pytest.param("docker", marks=pytest.mark.live)])
async def test_a_file_is_written_byte_for_byte(kind: str):
    texts = (
        "\\bfoo\\d+\n",
        "",
        "no newline",
        "\r\n\t\\n$HOME `x` 'y' \"z\" %s",
        "ü€😀\n",
        "\\b\b\n",
    )
    async with open_box(kind) as box, toolbox(box) as tools:
        for number, text in enumerate(texts):
            path = f"deep/er/{number}.txt"
            done = await tools.do(action("write_file", path=path, content=text), "/app")
            assert done.result.ok, done.result.output
            found = await box.exec(["cat", f"/app/{path}"])
            assert found.stdout == text.encode()
            assert f"{len(text.encode())} bytes" in done.result.output


@pytest.mark.must("map-4")
@given(text=st.text(), old=st.text(min_size=1), new=st.text())
def test_an_edit_is_made_only_where_the_old_text_is_once(text: str, old: str, new: str):
    asked = EditFile(path="a", old_text=old, new_text=new)
    edited = edit(text, asked)
    times = text.count(old)
    if times == 1:
        assert (edited.text, edited.problem) == (text.replace(old, new), "")
    elif times == 0:
        assert "does not occur" in edited.problem
    else:
        assert f"{times} times" in edited.problem
        everywhere = edit(text, asked.model_copy(update={"replace_all": True}))
        assert (everywhere.text, everywhere.count) == (text.replace(old, new), times)


@pytest.mark.must("map-4")
async def test_a_refused_edit_shows_the_nearest_lines_and_changes_nothing(mini: Box):
    async with toolbox(mini) as tools:
        text = "def one():\n    return 1\n\ndef two():\n    return 2\n"
        await tools.do(action("write_file", path="a.py", content=text), "/app")
        wrong = action("edit_file", path="a.py", old_text="def too():", new_text="x")
        done = await tools.do(wrong, "/app")
        assert not done.result.ok
        assert "     4\tdef two():" in done.result.output
        twice = action("edit_file", path="a.py", old_text="    return ", new_text="x")
        assert not (await tools.do(twice, "/app")).result.ok
        assert await read(mini, "/app/a.py") == text
        right = action("edit_file", path="a.py", old_text="return 2", new_text="return 3")
        done = await tools.do(right, "/app")
        assert done.result.changed_paths == ("/app/a.py",)
        assert "-    return 2\n+    return 3" in done.result.output


async def test_overwriting_shows_what_changed_and_the_same_again_is_no_change(mini: Box):
    async with toolbox(mini) as tools:
        write = action("write_file", path="a.txt", content="one\ntwo\n")
        assert (await tools.do(write, "/app")).result.changed_paths == ("/app/a.txt",)
        assert (await tools.do(write, "/app")).result.changed_paths == ()
        other = action("write_file", path="a.txt", content="one\n" + "three\n" * 2_000)
        shown = (await tools.do(other, "/app")).result.output
        assert "-two" in shown
        assert "the diff has" in shown
        assert len(shown) < 2_300


@pytest.mark.must("map-4")
@given(
    st.lists(st.text(alphabet=st.sampled_from("ab\n"), min_size=1, max_size=40), max_size=30),
    st.integers(1, 60),
)
def test_the_numbers_of_the_notice_are_true(pieces: list[str], repeat: int):
    text = "".join(pieces) * repeat
    part = cut(of_text(text), scale=0.002)  # 40 and 20 characters
    if part is None:
        assert len(text) <= 60
        return
    assert text.startswith(part.head)
    assert text.endswith(part.tail)
    middle = text[len(part.head) : len(text) - len(part.tail)]
    assert (part.chars, part.lines) == (len(middle), middle.count("\n"))
    assert part.shown_chars + part.chars == len(text)
    assert f"[… {part.chars} characters and {part.lines} lines" in part.text("x")
    for end in (part.head[-1:], middle[-1:]):
        assert end in ("\n", "") or "\n" not in text[:40] or "\n" not in text[-20:]


@given(st.binary(max_size=300), st.integers(1, 7))
def test_an_output_that_comes_in_pieces_is_counted_as_a_whole(data: bytes, size: int):
    gathering = Gathering()
    for start in range(0, len(data), size):
        gathering.add(data[start : start + size])
    output, text = gathering.output(), data.decode("utf-8", "replace")
    assert (output.text, output.chars, output.lines) == (text, len(text), text.count("\n"))


def test_past_ten_megabytes_the_end_is_known_and_the_notice_says_so():
    gathering = Gathering()
    for number in range(1_500):
        gathering.add(f"{number:07}\n".encode() * 1_000)
    output = gathering.output()
    assert output.chars == 12_000_000
    assert not output.whole
    part = cut(output)
    assert part is not None
    assert part.tail.endswith("0001499\n")
    assert part.chars == 12_000_000 - part.shown_chars


@pytest.mark.must("map-4")
async def test_a_long_output_is_kept_whole_where_the_notice_says(mini: Box):
    """Example 3: 214,213 characters; 30,000 at most are seen, and the file named can be read."""
    line = "x" * 49
    command = f"yes {line} | head -n 4284; printf {'y' * 13}"
    read_it: list[str] = []

    def reads(messages: list[Any]) -> ModelResponse:
        found = re.search(r"all of it is in (\S+) …\]", text_of(messages[-1]))
        assert found, text_of(messages[-1])[19_000:21_000]
        read_it.append(found[1])
        return says(call("read_file", "r", path=found[1], start_line=4284, end_line=4285))

    seen = await play(mini, [runs(command), reads, completes()], options={"switches": "off"})
    shown = seen.of(ToolReturned)[0].output
    notice = re.search(r"\[… (\d+) characters and (\d+) lines are left out here;", shown)
    assert notice
    head, tail = shown.split("[…")[0], shown.rpartition("…]\n")[2].removesuffix("\n[exit code 0]")
    assert len(head) + len(tail) + int(notice[1]) == 214_213
    assert len(head) + len(tail) <= 30_000
    assert head.count("\n") + tail.count("\n") + int(notice[2]) == 4_284
    assert f"  4284\t{line}\n  4285\t{'y' * 13}" in seen.of(ToolReturned)[1].output


async def test_what_is_no_text_is_named(mini: Box):
    png = b"\x89PNG\r\n\x1a\n" + bytes(20)
    await mini.put(png, "/app/a.png")
    await mini.put(b"\x7fELF" + bytes(100), "/app/prog")
    async with toolbox(mini) as tools:
        done = await tools.do(action("read_file", path="a.png"), "/app")
        assert (done.result.image, "image/png, 28 bytes" in done.result.output) == (None, True)
        done = await tools.do(action("read_file", path="prog"), "/app")
        assert "an ELF program or library, 104 bytes" in done.result.output
        done = await tools.do(action("read_file", path="/app"), "/")
        assert not done.result.ok
        assert "a.png\nprog" in done.result.output
    async with toolbox(mini, facts=ModelFacts(takes_images=True)) as tools:
        done = await tools.do(action("read_file", path="a.png"), "/app")
        assert (done.result.image, done.result.media_type) == (png, "image/png")


@pytest.mark.live
async def test_what_is_no_regular_file_is_told_at_once(local_box: Box):
    async with toolbox(local_box) as tools:
        for call_ in (
            action("read_file", path="/dev/null"),
            action("write_file", path="/dev/null", content="x"),
            action("edit_file", path="/dev/null", old_text="x", new_text="y"),
        ):
            done = await tools.do(call_, "/app")
            assert not done.result.ok
            assert "regular file" in done.result.output


async def test_a_folder_that_is_gone_locks_nobody_out(quick_box: Box):
    async with toolbox(quick_box) as tools:
        await tools.do(action("run_command", command="mkdir -p /app/gone"), "/app")
        command = "rmdir /app/gone; echo still here"
        done = await tools.do(action("run_command", command=command), "/app/gone")
        assert "still here" in done.result.output
        done = await tools.do(action("run_command", command="echo on"), "/app/gone")
        assert done.result.output.startswith("[the folder /app/gone is gone: this runs in /]\non")
        assert done.workdir == "/"


async def test_lines_are_numbered_and_ranges_kept(mini: Box):
    await mini.put(b"one\ntwo\nthree\n", "/app/a.txt")
    async with toolbox(mini) as tools:
        whole = await tools.do(action("read_file", path="a.txt"), "/app")
        assert whole.result.output == "     1\tone\n     2\ttwo\n     3\tthree"
        part = action("read_file", path="a.txt", start_line=2, end_line=2)
        assert (await tools.do(part, "/app")).result.output == "     2\ttwo"
        gone = await tools.do(action("read_file", path="b.txt"), "/app")
        assert "no such file" in gone.result.output
        backwards = action("read_file", path="a.txt", start_line=3, end_line=2)
        assert not (await tools.do(backwards, "/app")).result.ok


async def test_the_same_result_has_the_same_digest(mini: Box):
    async with toolbox(mini) as tools:
        same = [await tools.do(action("run_command", command="echo a"), "/app") for _ in range(2)]
        other = await tools.do(action("run_command", command="echo b"), "/app")
        assert same[0].result.result_digest == same[1].result.result_digest
        assert other.result.result_digest != same[0].result.result_digest


async def test_what_a_command_changed_is_found(quick_box: Box):
    box = quick_box
    async with toolbox(box) as tools:
        for command, changed in (
            ("echo one > a.txt; mkdir -p sub; echo two > sub/b.txt", ("a.txt", "sub/b.txt")),
            ("cat a.txt", ()),
            ("echo more >> a.txt; rm sub/b.txt", ("a.txt", "sub/b.txt")),
            ("mkdir -p __pycache__ && echo x > __pycache__/a.pyc", ()),
            ("mv a.txt c.txt", ("a.txt", "c.txt")),
        ):
            done = await tools.do(action("run_command", command=command), "/app")
            assert done.result.ok, done.result.output
            assert done.result.changed_paths == tuple(f"/app/{name}" for name in changed), command


def test_a_clock_without_an_end_never_ends():
    assert Clock(None).left_s == math.inf
