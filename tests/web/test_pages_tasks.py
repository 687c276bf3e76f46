"""The pages of tasks, the form that runs one, and the page that tells what became of the wish."""

import re
from html import unescape
from pathlib import Path

import pytest

from mechagym.events import AgentStarted, StartOp
from mechagym.records import to_json
from mechagym.run.config import AgentChoice, JobConfig, Sources
from mechagym.store import Store, TaskRow
from mechagym.store.views import health
from mechagym.store.views.dashboard import UNTAKEN
from mechagym.web.worker import frozen
from tests.store.makers import a_job, a_key, a_try, tell
from tests.web.conftest import READ, Site

DIGEST = "d" * 64
HOSTILE = "</b><script>alert(1)</script>"
TASK = TaskRow(
    digest=DIGEST, dataset="bench", name="sums[1]", difficulty="easy", category="arithmetic",
    tags=("a&b", HOSTILE), needs=("gpu",), agent_timeout_s=90.0,
)  # fmt: skip
FRESH = TaskRow(digest="f" * 64, dataset="other", name="fresh")


async def told(store: Store) -> None:
    """A task with three trials of two agents (a pass, a fail, a fault), and one never run."""
    config = JobConfig(
        name="one", sources=Sources(sources=("/data/bench",)),
        agents=(AgentChoice(name="oracle"),), out_dir=Path("/nowhere"),
    )  # fmt: skip
    job = a_job("one", config=to_json(config))
    of = {"task": TASK.name, "task_digest": DIGEST}
    keys = [
        a_key(job, 1, **of),
        a_key(job, 2, **of, repeat=2),
        a_key(job, 3, **of, agent="map@1", model="some:model"),
    ]
    await store.see_tasks([TASK, FRESH])
    await store.create_job(job, keys)
    started = AgentStarted(agent="oracle", version="1", instruction=f"Add **up** {HOSTILE}")
    store.emitter(keys[2].trial_id, try_number=1)(started)
    for key, reward in zip(keys, (1.0, 0.0, None), strict=True):
        tell(store, key, a_try(reward=reward, nano=3_000_000_000))
    await store.flush()


@pytest.fixture
def full(site: Site) -> Site:
    """A site that knows two tasks."""
    site.run(told, site.store)
    return site


def shown(site: Site, path: str) -> str:
    """A page that must be there, without its escapes and runs of blanks."""
    answer = site.client.get(path)
    assert answer.status_code == 200, answer.text
    assert "<script>" not in answer.text
    return re.sub(r"\s+", " ", unescape(re.sub(r"</?(?:td|small|a|b)\b[^>]*>", " ", answer.text)))


def names_on(site: Site, query: str) -> list[str]:
    text = site.client.get(f"/tasks{query}").text
    return re.findall(r'<td><a href="/tasks/\w{64}">(.*?)</a>', text)


def test_the_list_says_of_each_task_what_the_api_says(full: Site):
    text = shown(full, "/tasks")
    for task in full.get("/tasks")["items"]:
        assert task["name"] in text
        result = task["result"]
        if result["graded"]:
            interval = f"{result['low'] * 100:.0f}–{result['high'] * 100:.0f} %"
            assert f"50 % · {result['passed']} of {result['graded']} {interval} 1 " in text
            assert "$3.00" in text
        else:
            assert "– never run" in text
    assert "flaky" in text


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["sums[1]", "fresh"]),
        ("?state=never_run", ["fresh"]),
        ("?state=flaky&text=SUM", ["sums[1]"]),
        ("?dataset=other", ["fresh"]),
        ("?difficulty=easy", ["sums[1]"]),
        ("?tag=a%26b", ["sums[1]"]),
        ("?needs=gpu&category=arithmetic", ["sums[1]"]),
        ("?job_id=one-id", ["sums[1]"]),
        ("?author=nobody", []),
    ],
)
def test_the_url_holds_the_filters(full: Site, query: str, names: list[str]):
    assert names_on(full, query) == names
    assert full.client.get("/tasks?state=odd").status_code == 422


def test_a_chip_takes_its_own_filter_away_and_keeps_the_others(full: Site):
    text = full.client.get("/tasks?tag=a%26b&needs=gpu&text=sum").text
    chips = re.findall(r'class="chip" aria-current="true" href="([^"]+)"', text)
    assert list(map(unescape, chips)) == ["/tasks?text=sum&needs=gpu", "/tasks?text=sum&tag=a%26b"]
    assert '<input type="hidden" name="tag" value="a&amp;b">' in text


def test_long_lists_go_on_with_their_filters(full: Site):
    many = [TaskRow(digest=f"{n:064x}", dataset="many", name=f"t{n:03}") for n in range(60)]
    full.run(full.store.see_tasks, many)
    text = full.client.get("/tasks?dataset=many").text
    (more,) = re.findall(r'rel="next" href="/tasks([^"]+)"', text)
    assert names_on(full, unescape(more)) == [f"t{n:03}" for n in range(50, 60)]


def test_an_empty_list_says_how_to_fill_it(site: Site):
    assert "mechagym run" in shown(site, "/tasks")
    assert "No task is like this" in shown(site, "/tasks?text=x")


def test_a_task_shows_its_trials_by_agent_and_model_and_its_instruction_as_text(full: Site):
    text = shown(full, f"/tasks/{DIGEST}")
    assert "oracle@0.1.0 – 50 % · 1 of 2" in text
    assert "map@1 some:model – – 1 " in text
    raw = full.client.get(f"/tasks/{DIGEST}").text
    cells = re.findall(r'<a class="cell is-(\w+)" href="/trials/one-t(\d)"', raw)
    assert sorted(cells) == [("failed", "2"), ("infra_error", "3"), ("passed", "1")]
    assert "<strong>up</strong>" in raw
    assert "<script>alert" in text
    assert "told with the first trial" in shown(full, f"/tasks/{FRESH.digest}")
    assert full.client.get("/tasks/none").status_code == 404


def test_a_run_is_asked_once_and_says_what_was_chosen(full: Site):
    page = full.client.get(f"/tasks/{DIGEST}").text
    (key,) = re.findall(r'name="key" value="(\w+)"', page)
    said = {
        "key": key, "agent": "map", "model": "some:model", "repeats": "3",
        "sandbox": "local", "usd": "0.5", "tokens": "9000",
    }  # fmt: skip
    asked = [full.client.post(f"/tasks/{DIGEST}/run", data=said) for _ in range(2)]
    assert {answer.status_code for answer in asked} == {303}
    (where,) = {answer.headers["location"] for answer in asked}
    assert full.get(where)["payload"]["entry"] == {
        "sources": ["/data/bench"], "include": ["bench/sums[[]1]"],
        "agents": [{"name": "map"}], "models": ["some:model"], "repeats": 3,
        "sandbox": "local", "budget": {"usd": 0.5, "tokens": 9000},
    }  # fmt: skip
    text = shown(full, where)
    assert '"usd": 0.5' in text
    assert "/data/bench" in text


def test_what_the_form_leaves_open_is_left_to_the_host(full: Site):
    said = {"agent": "oracle", "model": "", "repeats": "1", "sandbox": "", "usd": "", "tokens": ""}
    answer = full.client.post(f"/tasks/{DIGEST}/run", data=said)
    entry = full.get(answer.headers["location"])["payload"]["entry"]
    assert entry.keys() == {"sources", "include", "agents", "repeats"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"repeats": "0"}, {"repeats": "many"}, {"usd": "-1"}, {"usd": "nan"}, {"tokens": "1.5"},
        {"agent": ""}, {"sandbox": "host"}, {"force": "yes"},
    ],
)  # fmt: skip
def test_a_form_that_makes_no_job_is_refused(full: Site, wrong: dict[str, str]):
    answer = full.client.post(f"/tasks/{DIGEST}/run", data={"agent": "oracle"} | wrong)
    assert answer.status_code == 422, answer.text
    assert full.get("/health")["ops"] == []


def test_a_task_of_unknown_place_has_no_form(full: Site):
    path = f"/tasks/{FRESH.digest}"
    assert "lie is not known here" in shown(full, path)
    assert full.client.post(f"{path}/run", data={"agent": "oracle"}).status_code == 422


@pytest.mark.must("web-33")
def test_who_may_only_read_can_run_nothing(full: Site):
    headers = {"Authorization": f"Bearer {READ}"}
    text = full.stranger.get(f"/tasks/{DIGEST}", headers=headers).text
    assert 'method="post"' not in text
    answer = full.stranger.post(f"/tasks/{DIGEST}/run", data={"agent": "oracle"}, headers=headers)
    assert answer.status_code == 403


def test_an_op_shows_how_it_stands_until_its_job_is_there(
    full: Site, monkeypatch: pytest.MonkeyPatch
):
    where = full.client.post(f"/tasks/{DIGEST}/run", data={"agent": "oracle"}).headers["location"]
    waiting = full.client.get(where)
    assert ">asked<" in waiting.text
    assert 1 <= int(waiting.headers["refresh"]) <= UNTAKEN.total_seconds() + 1
    monkeypatch.setattr("mechagym.store.views.dashboard.UNTAKEN", -UNTAKEN)
    monkeypatch.setattr("mechagym.web.pages.op.UNTAKEN", -UNTAKEN)
    silent = full.client.get(where)
    assert "mechagym worker" in silent.text
    assert "refresh" not in silent.headers
    op_id = int(where.rpartition("/")[2])

    async def begin() -> None:
        view = await full.store.ask(health.op, op_id)
        assert view is not None
        assert isinstance(view.op.op, StartOp)
        entry = frozen(view.op.op, view.op, full.settings)
        await full.store.create_job(a_job(entry.name or ""), [])
        await full.store.end_op(op_id, applied=True, detail="job begun")

    full.run(begin)
    done = full.client.get(where).text
    assert ">done<" in done
    assert re.search(r'href="/jobs/[\w-]+-oracle-op\d+-id"', done)
    assert full.client.get("/ops/999").status_code == 404


def test_a_refusal_says_why(full: Site):
    where = full.client.post(f"/tasks/{DIGEST}/run", data={"agent": "oracle"}).headers["location"]
    op_id = int(where.rpartition("/")[2])

    async def refuse() -> None:
        await full.store.end_op(op_id, applied=False, detail=f"no such place {HOSTILE}")

    full.run(refuse)
    text = shown(full, where)
    assert "Refused: no such place" in text
    assert "none came of it" in text
