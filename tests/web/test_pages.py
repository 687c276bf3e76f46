"""The pages over a store with a job: what they show is what their queries say, and text is text."""

import re
from datetime import UTC, datetime

import pytest

from mechagym.events import Event, EventBody, MessageSaid, ToolCalled, ToolReturned
from mechagym.web.pages.thread import HEAD, TAIL, cut, thread
from tests.web.conftest import Site
from tests.web.test_api import told

AT = datetime(2026, 1, 1, tzinfo=UTC)
HOSTILE = "</b><script>alert(1)</script>\x1b[31mred\u202e"


@pytest.fixture
def full(site: Site) -> Site:
    """A site with a job of five trials."""
    site.run(told, site.store)
    return site


def shown(site: Site, path: str) -> str:
    """A page that must be there."""
    answer = site.client.get(path)
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def test_the_page_of_a_job_shows_what_the_job_came_to(full: Site):
    (job,) = full.get("/jobs")["items"]
    text = shown(full, f"/jobs/{job['id']}")
    assert re.sub(r'value="\w+-', "", shown(full, "/jobs/one")) == re.sub(r'value="\w+-', "", text)
    cells = re.findall(r'<a class="cell is-(\w+)" href="(/trials/[^"]+)"', text)
    assert len(cells) == job["trials"]
    outcomes = full.get("/jobs/one/stats")["outcomes"]
    for outcome, count in outcomes.items():
        assert sum(state == outcome for state, _ in cells) == count
    assert f"{job['ended']} <small" in text
    assert f"{job['result']['ungraded']} not graded" in text
    assert "BoxDied" in text
    assert full.client.get("/jobs/none").status_code == 404


def test_each_cell_leads_to_its_trial(full: Site):
    text = shown(full, "/jobs/one")
    for path in set(re.findall(r'href="(/trials/[^"]+)"', text)):
        page = shown(full, path)
        assert 'data-query="steps(' in page
        assert f'data-topics="{path[1:].replace("s/", ":")}"' in page
    assert full.client.get("/trials/none").status_code == 404


def test_a_form_asks_once_and_is_told_what_is_wrong(full: Site):
    said = {"kind": "stop", "drain": "true", "key": "k1"}
    for _ in range(2):  # sent twice, as impatient people do
        answer = full.client.post("/jobs/one/ask", data=said)
        assert answer.status_code == 303, answer.text
        assert answer.headers["location"] == "/jobs/one-id#asked"
    assert shown(full, "/jobs/one").count("stop <b>") == 1
    assert full.client.post("/jobs/one/ask", data={"kind": "explode"}).status_code == 422
    assert full.client.post("/jobs/none/ask", data=said).status_code == 404


@pytest.mark.parametrize("path", ["/jobs", "/jobs/one", "/api"])
def test_who_may_only_read_sees_no_button(full: Site, path: str):
    headers = {"Authorization": "Bearer " + "r" * 43}
    text = full.stranger.get(path, headers=headers).text
    assert 'method="post"' not in text
    assert "read only" in text


def test_calls_stand_beside_what_they_returned_and_long_text_says_what_is_left_out():
    bodies: tuple[EventBody, ...] = (
        MessageSaid(text=HOSTILE, thinking="hm"),
        ToolCalled(call_id="a", tool="Bash", arguments={"command": "ls"}),
        ToolCalled(call_id="b", tool="Edit", arguments={"path": "x", "old": "y"}),
        ToolReturned(call_id="a", output="x" * 10_000, is_error=True, duration_s=0.5),
        ToolReturned(call_id="gone", output="of a call before this window"),
    )
    events = [
        Event(seq=n, subject="t", try_number=1, at=AT, body=body)
        for n, body in enumerate(bodies, 1)
    ]
    said, thought, ran, edited, late = thread(events, AT)
    assert (said.text, thought.thinking) == (HOSTILE, "hm")
    assert (ran.title, ran.code, ran.failed, ran.duration_s) == ("Bash", "ls", True, 0.5)
    assert f"{10_000 - HEAD - TAIL:,} characters are left out" in ran.output
    assert (edited.output, '"old": "y"' in edited.code) == ("", True)
    assert late.output == "of a call before this window"
    assert cut("x" * (HEAD + TAIL)) == "x" * (HEAD + TAIL)
