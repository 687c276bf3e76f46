"""Two jobs set against each other: what the page shows is what the comparison says."""

import json
import re
from html import unescape

import pytest

from mechagym.records import TrialKey
from mechagym.run.compare import compare
from mechagym.run.statistics import SEED
from mechagym.store import JobRow, Store
from tests.store.makers import a_job, a_key, a_try, tell
from tests.web.conftest import Site

A = (1.0, 1.0, 0.0, 0.0, None)
B = (1.0, 0.0, 1.0, 1.0, 1.0)


async def told(store: Store) -> None:
    """Two jobs of five tasks; a third with another version of them; a fourth of two agents."""
    for name, rewards in (("left", A), ("right", B)):
        own = {"name": name, "sandbox": f"of-{name}", "rules": {"base": name}, "repeats": 1}
        job = a_job(name, config=json.dumps(own))
        await kept(store, job, [a_key(job, n) for n in range(1, 6)], rewards)
    other = a_job("other")
    await kept(store, other, [a_key(other, 1, task_digest="e" * 64)], (1.0,))
    two = a_job("two")
    keys = [a_key(two, 1), a_key(two, 2, task="task-1", task_digest=f"{1:064x}", agent="map@1")]
    await kept(store, two, keys, (1.0, 0.0))


async def kept(
    store: Store, job: JobRow, keys: list[TrialKey], rewards: tuple[float | None, ...]
) -> None:
    await store.create_job(job, keys)
    for key, reward in zip(keys, rewards, strict=True):
        tell(store, key, a_try(reward=reward, nano=2_000_000_000))
    await store.flush()


@pytest.fixture
def full(site: Site) -> Site:
    """A site with jobs to set against each other."""
    site.run(told, site.store)
    return site


def shown(site: Site, query: str) -> str:
    """The page without tags."""
    answer = site.client.get(f"/compare{query}")
    assert answer.status_code == 200, answer.text
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", answer.text)))


@pytest.mark.must("web-24")
def test_the_numbers_are_those_of_the_comparison(full: Site):
    left = full.run(full.store.records, "left-id")
    found = compare(left, full.run(full.store.records, "right-id"))
    text = shown(full, "?a=left&b=right")
    assert found.difference is not None
    assert found.p_value is not None
    low, high = found.difference.interval
    assert f"B − A {found.difference.mean:+.3f} 95 % interval {low:+.3f} – {high:+.3f}" in text
    assert f"seed {SEED}" in text
    assert "could be chance" in text
    assert f"McNemar p {found.p_value:.3f}" in text
    assert "tasks compared 4 of 5" in text
    for side in (found.a, found.b):
        assert side.score is not None
        interval = "{:.3f} – {:.3f}".format(*side.score.interval)
        assert f"{side.score.mean:.3f} {interval} {side.passes} of {side.graded}" in text
        assert f"${side.cost_usd:.2f} ${side.cost_per_pass:.2f}" in text
    page = full.client.get("/compare?a=left&b=right").text
    assert re.findall(r"<tr><td>(bench/task-\d)", page) == [row.task for row in found.rows]
    assert text.count(" gained ") == sum(row.change == "gained" for row in found.rows) == 2
    trials = set(re.findall(r'href="/trials/([\w-]+)"', page))
    assert trials == {f"{side}-t{n}" for side in ("left", "right") for n in range(1, 6)}


def test_the_configs_differences_are_shown_and_their_names_are_none(full: Site):
    text = shown(full, "?a=left&b=right")
    assert "rules.base left right sandbox of-left of-right" in text
    assert " repeats " not in text.partition("Differences of the configs")[2]


@pytest.mark.must("web-24")
@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("?a=left&b=other", "the task changed between the trials"),
        ("?a=left&b=two", "which one is meant? (name one: two:map@1, two:oracle@0.1.0)"),
        ("?a=left&b=<i>", "no job is called '<i>'"),
    ],
)
def test_what_cannot_be_compared_says_why_and_shows_no_number(full: Site, query: str, why: str):
    text = shown(full, query)
    assert why in text
    assert "McNemar" not in text


def test_one_agent_of_several_is_named(full: Site):
    text = shown(full, "?a=left&b=two:map")
    assert "B − A -1.000 95 % interval -1.000 – -1.000 · not enough data" in text
    assert "only in A bench/task-2" in text


def test_without_two_sides_it_asks_for_them(full: Site):
    page = full.client.get("/compare?a=left").text
    assert 'name="a" list="jobs" maxlength="300" required value="left"' in page
    assert '<option value="right">' in page
    assert "mechagym jobs compare" in page
