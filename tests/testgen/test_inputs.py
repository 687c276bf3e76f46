"""Input files are really opened, and what is told of them is what is in them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mechagym.sandbox.survey import survey
from mechagym.testgen.facts import Opened, read_facts
from mechagym.testgen.inputs import look, missing_outputs, open_inputs
from mechagym.testgen.paths import named_paths, touches_tripwire
from tests.actors import open_box

ICS = """BEGIN:VCALENDAR
BEGIN:VEVENT
DTSTART:20260101T100000Z
SUMMARY:One
END:VEVENT
BEGIN:VEVENT
DTSTART;TZID=Europe/Berlin:20260301T100000
RRULE:FREQ=DAILY
END:VEVENT
END:VCALENDAR
"""
FORMATS = [
    ("a.csv", "name,qty\nx,3\ny,11\n", "csv", ["2 rows", "name, qty", "qty 3..11", "ASCII"]),
    ("a.tsv", "name\tqty\nx\t3\n", "tsv", ["1 rows", "name, qty"]),
    ("a.json", '{"talks": [{"id": 1}, {"id": 2}], "day": "x"}', "json", ["talks: 2 items", "id"]),
    ("a.jsonl", '{"k": 1}\n\n{"k": 2, "l": 3}\n', "jsonl", ["2 rows", "k, l", "1 blank lines"]),
    ("a.yaml", "users:\n- name: a\n- name: b\n", "yaml", ["users: 2 items", "name"]),
    ("a.toml", '[tool]\nname = "x"\n', "toml", ["tool"]),
    ("a.ics", ICS, "ics", ["2 events", "20260101T100000Z", "1 recurrence"]),
    ("a.xml", '<?xml version="1.0"?><s><i sku="1"/><i/></s>', "xml", ["2 <i>", "sku"]),
    ("a.html", '<html><p id="top">x</p><p>y</p></html>', "html", ["2 <p>", "ids top"]),
    ("a.log", "one line\nand a longer one\n", "text", ["2 lines", "longest 16"]),
]


@pytest.mark.must("testgen-6")
@pytest.mark.parametrize(("name", "text", "format_", "told"), FORMATS)
def test_facts_of_each_format(name: str, text: str, format_: str, told: list[str]):
    data = text.encode()
    read = read_facts(Opened(path=f"/app/{name}", head=data, size_bytes=len(data)))
    assert read.format == format_
    assert [part for part in told if part not in read.shape] == []
    assert read.sample == text[:600]


@pytest.mark.must("testgen-6")
def test_facts_of_a_database_are_its_schema(tmp_path: Path):
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE orders (id INTEGER, total REAL)")
        database.executemany("INSERT INTO orders VALUES (?, ?)", [(1, 2.0), (2, 3.0)])
        database.commit()
    data = path.read_bytes()
    read = read_facts(Opened(path="/app/a.db", head=data, size_bytes=len(data)))
    assert read.format == "sqlite"
    assert "CREATE TABLE orders (id INTEGER, total REAL) (2 rows)" in read.shape
    broken = read_facts(Opened(path="/app/a.db", head=data[:4500], size_bytes=len(data)))
    assert "orders" in broken.shape


@pytest.mark.parametrize(
    ("name", "data", "format_"),
    [
        ("a.json", b"{not json", "text"),
        ("a.csv", b'"never closed\n1', "csv"),
        ("a.xml", b"<a><b></a>", "text"),
        ("a.yaml", b"a: [", "text"),
        ("a.toml", b"= 3", "text"),
        ("a.csv", b"\x00\x01", "binary"),
        ("a.csv", b"", "csv"),
        ("a.txt", "Gr\xf6\xdfe".encode("latin-1"), "text"),
        ("a.png", b"\x89PNG\r\n", "png"),
    ],
)
def test_nothing_in_a_file_makes_it_fail(name: str, data: bytes, format_: str):
    read = read_facts(Opened(path=name, head=data, size_bytes=len(data)))
    assert read.format == format_


def test_a_cut_file_says_so():
    data = b"a,b\n" + b"1,2\n" * 10
    read = read_facts(Opened(path="a.csv", head=data, size_bytes=10_000))
    assert "first 44 of 10000 bytes" in read.shape


CALENDARS = (
    "Merge the calendars /app/a.ics and `b.ics` into /app/out/merged.ics, see /app/none.ics."
)


@pytest.mark.must("testgen-6")
async def test_example_1_both_calendars_are_in_the_facts():
    async with open_box("memory") as box:
        await box.put(ICS.encode(), "/app/a.ics")
        await box.put(ICS.replace("RRULE:FREQ=DAILY\n", "").encode(), "/app/b.ics")
        await box.put(b"x,y\n1,2\n", "/app/beside.csv")
        await box.put(b"int main;", "/app/no_data.c")
        facts = await open_inputs(box, CALENDARS, await survey(box, timeout_s=20))
        present = await look(box, named_paths(CALENDARS, "/app"))
    by_path = {fact.path: fact for fact in facts}
    assert set(by_path) == {"/app/a.ics", "/app/b.ics", "/app/beside.csv"}
    assert "2 events" in by_path["/app/a.ics"].shape
    assert "2 events" in by_path["/app/b.ics"].shape
    assert len(by_path["/app/a.ics"].sha256) == 64
    missing = missing_outputs(CALENDARS, present, "/app")
    assert missing == ("/app/out/merged.ics", "/app/none.ics")


def test_paths_that_are_named():
    text = "Read `/app/in.csv`, run `python3 /app/x.py IN OUT`, write `out.json`; see https://a.b/c.txt"
    assert named_paths(text, "/app") == ("/app/in.csv", "/app/x.py", "/app/out.json")
    assert named_paths("look into /tests/test.sh and /solution", "/app") == ()


@pytest.mark.parametrize("text", ["/tests", "cat /tests/x", "/logs/verifier/r", "'/solution'"])
def test_tripwires_are_seen(text: str):
    assert touches_tripwire(text)


@pytest.mark.parametrize(
    "text", ["/app/tests/x", "/testsuite", "/my/solution", "tests/", "./tests"]
)
def test_ordinary_folders_are_no_tripwires(text: str):
    assert not touches_tripwire(text)
