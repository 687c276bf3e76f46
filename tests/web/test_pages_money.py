"""The dashboard and the usage page: each figure is its query's, and each leads on."""

import csv
import html
import io
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from mechagym.events import BudgetWarned, TryEnded, TryStarted
from mechagym.records import Spend, now
from mechagym.store import Store, TaskRow, this_process
from mechagym.store.views import dashboard
from mechagym.web.pages import usage
from mechagym.web.pages.charts import DAYS, by_day
from mechagym.web.pages.window import WINDOWS
from tests.store.makers import a_job, a_key, a_try, tell
from tests.web.conftest import Site
from tests.web.test_api import told

HOSTILE = '=1+1</b><script>alert(1)</script>\u202e"'


@pytest.fixture
def full(site: Site) -> Site:
    """A site with a job of five trials, and one of hostile names that has a model."""
    site.run(told, site.store)
    site.run(hostile, site.store)
    return site


async def hostile(store: Store) -> None:
    job = a_job("bad")
    key = a_key(job, 9, task=HOSTILE, agent=HOSTILE, model=f"{HOSTILE}:x", trial_name=HOSTILE)
    await store.create_job(job, [key])
    tell(store, key, a_try(nano=2_500_000_000))
    row = TaskRow(digest=f"{9:064x}", dataset="bench", name="task-9", difficulty=HOSTILE)
    await store.see_tasks([row])
    await store.flush()


def shown(site: Site, path: str) -> str:
    """A page that must be there."""
    answer = site.client.get(path)
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def links(text: str) -> set[str]:
    """Where a page leads, but for its files."""
    return {html.unescape(each) for each in re.findall(r'href="(/(?!static)[^"#]*)"', text)}


def test_the_dashboard_says_what_its_queries_say(full: Site):
    text = shown(full, "/")
    seen = full.run(full.store.ask, dashboard.overview)
    share = seen.window
    assert (share.passed, share.graded, share.ungraded) == (3, 4, 1)
    assert '>75 % <small class="dim">3 of 4</small>' in text
    assert "1 not graded" in text
    assert f"{seen.waiting} waiting" in text
    assert "$2.51" in text.split('data-query="overview().today"')[1][:200]
    day = f"{now():%Y-%m-%d}: 75 % · 3 of 4, not graded 1"
    assert f'aria-label="{day}"' in text
    assert text.count('class="cell is-') == 5


@pytest.mark.parametrize("window", WINDOWS)
def test_nothing_known_is_a_dash_and_names_what_fills_it(site: Site, window: str):
    text = shown(site, f"/?window={window}")
    assert '<span class="value">–</span>' in text
    assert ">0 %<" not in text
    assert text.count("mechagym run") == 2
    text = shown(site, f"/usage?window={window}")
    assert "Nothing was spent" in text
    assert site.client.get("/?window=1y").status_code == 422


def test_the_axis_of_days_is_true_and_says_what_it_leaves_out():
    share = dashboard.Share(passed=1, graded=2, ungraded=3)
    today, since = date(2026, 5, 30), datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
    found = by_day([("2026-05-01", share), ("2026-05-04", share)], since, today)
    assert found
    assert [column.place for column in found.columns] == [0, 3]
    assert (found.places, found.first, found.last) == (30, "2026-05-01", "2026-05-30")
    first = found.columns[0]
    assert (first.since, first.until) == ("2026-05-01T12:30:00.000000Z", "2026-05-02")
    assert (first.share.share, first.y(0.5), first.y(0), first.y(1)) == (0.5, 50, 100, 0)
    old = by_day([("2020-01-01", share), ("2026-05-30", share)], None, today)
    assert old
    assert (old.places, len(old.columns), old.left_out) == (DAYS, 1, 1)
    assert by_day([], since, today) is None


@pytest.mark.must("web-30")
@pytest.mark.parametrize("group", ["model", "provider", "agent", "job", "trial", "day", "month"])
def test_what_the_page_and_its_csv_say_is_what_the_events_say(full: Site, group: str):
    told_by_events = full.run(spent_by_events, full.store)
    rows = list(csv.DictReader(io.StringIO(full.client.get(f"/usage.csv?group={group}").text)))
    for name in ("input", "cache_read", "cache_write_5m", "output", "reasoning", "tokens"):
        assert sum(int(row[name]) for row in rows) == getattr(told_by_events.usage, name)
    billed = sum((Decimal(row["cost_usd"]) for row in rows), Decimal(0))
    assert billed.scaleb(9) == told_by_events.billed_nano
    text = shown(full, f"/usage?group={group}")
    assert f'<span class="value">${billed:,.2f}</span>' in text
    lines = re.findall(r'<tr><td>.*?<td class="number">(\$[\d.,]+)</td>', text, re.DOTALL)
    assert lines == [f"${Decimal(row['cost_usd']):,.2f}" for row in rows]


async def spent_by_events(store: Store) -> Spend:
    """What all tries that ended say that they cost."""
    total = Spend()
    for job in ("one-id", "bad-id"):
        for trial in await store.trials(job):
            for event in await store.events(trial.key.trial_id):
                if isinstance(event.body, TryEnded):
                    total += event.body.record.spend
    return total


@pytest.mark.parametrize("path", ["/", "/usage", "/usage?group=job", "/usage?group=day"])
def test_every_link_leads_to_a_page(full: Site, path: str):
    found = links(shown(full, path))
    assert len(found) > 10
    for each in sorted(found):
        assert full.client.get(each).status_code == 200, each


@pytest.mark.parametrize("group", ["provider", "model", "agent", "job", "day", "week", "month"])
def test_a_line_leads_to_lines_of_the_same_sum(full: Site, group: str):
    lines = re.findall(LINE, shown(full, f"/usage?group={group}"), re.DOTALL)
    assert lines
    for path, cost in lines:
        text = shown(full, html.unescape(path))
        assert f'<span class="value">{cost}</span>' in text, path


LINE = r'<tr><td><a href="([^"]*)">.*?<td class="number">(\$[\d.,]+)</td>'


def test_filters_and_times_bind_and_can_be_taken_off(full: Site):
    text = shown(full, "/usage?group=trial&job_id=one-id&since=2000-01-01&until=&model=")
    assert text.count('<a href="/trials/one-t') == 4
    assert "/trials/bad" not in text
    assert 'href="/usage?group=trial&amp;since=2000-01-01T00%3A00%3A00Z"' in text
    assert "Nothing was spent in this time" in shown(full, "/usage?until=2000-01-01")
    for wrong in ("since=yesterday", "window=1y", "group=colour", "color=red"):
        assert full.client.get(f"/usage?{wrong}").status_code == 422


@pytest.mark.parametrize("path", ["/", "/usage", "/usage?group=agent", "/usage?group=trial"])
def test_hostile_names_are_text_in_page_and_sheet(full: Site, path: str):
    text = shown(full, path)
    assert "<script>alert" not in text
    assert "\u202e" not in text
    sheet = full.client.get("/usage.csv?group=agent")
    assert sheet.headers["content-disposition"] == 'attachment; filename="usage.csv"'
    (row, _) = csv.DictReader(io.StringIO(sheet.text))
    assert row["group"] == f"'{HOSTILE}"


def test_the_dearest_are_shown_and_all_are_summed(full: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(usage, "LINES", 2)
    text = shown(full, "/usage?group=trial")
    assert text.count('<a href="/trials/') == 2
    assert "These are the dearest 2" in text
    assert '<span class="value">$2.51</span>' in text
    assert len(full.client.get("/usage.csv?group=trial").text.splitlines()) == 6


def test_what_needs_a_person_leads_to_it(full: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dashboard, "UNTAKEN", timedelta(0))
    monkeypatch.setattr(dashboard, "SILENT", timedelta(0))

    async def happen(store: Store) -> None:
        await store.claim_job("one-id", this_process())
        store.emitter("one-id")(BudgetWarned(limit="usd", percent=75, spent=8.0, of=10.0))
        store.emitter("one-t5", try_number=1)(TryStarted(number=1, owner_pid=1, label="x"))
        await store.flush()

    full.run(happen, full.store)
    asked = full.post("/jobs/bad-id/ops", {"kind": "resume"}).json()
    text = shown(full, "/").split('id="needs"')[1].split("</section>")[0]
    found = re.findall(r'<tr><td><a href="([^"]+)">([^<]+)</a>', text)
    assert dict(found).keys() == {"/jobs/one-id", "/trials/one-t5", f"/ops/{asked['op_id']}"}
    assert "mechagym worker" in text
    for path, _ in found:
        shown(full, path)
