"""The JSON API: one shape of errors, keys that are kept, cursors that hold, and what it says."""

import json
from pathlib import Path

import pytest

from mechagym.events import MessageSaid, StartOp
from mechagym.records import now
from mechagym.store import Store, TaskRow
from mechagym.web.api.shapes import usd
from mechagym.web.problems import MEDIA_TYPE
from tests.store.makers import a_job, a_key, a_store_with, a_try, tell
from tests.web.conftest import WRITE, Site

JSON_LIKE = {"type", "title", "status", "detail", "instance", "code", "error_id", "errors"}


async def told(store: Store, name: str = "one") -> None:
    keys = await a_store_with(store, trials=5, name=name)
    for key, reward in zip(keys, (1.0, 1.0, 0.0, None), strict=False):
        tell(store, key, a_try(reward=reward, nano=1_500_000))
    await store.flush()


@pytest.fixture
def full(site: Site) -> Site:
    """A site with a job of five trials."""
    site.run(told, site.store)
    return site


def test_a_job_says_what_it_came_to(full: Site):
    (job,) = full.get("/jobs")["items"]
    assert (job["name"], job["state"], job["trials"], job["ended"]) == ("one", "pending", 5, 4)
    assert job["cost_usd"] == "0.006"
    result = job["result"]
    assert (result["passed"], result["graded"], result["ungraded"]) == (2, 3, 1)
    assert result["share"] == pytest.approx(2 / 3)
    assert 0 < result["low"] < 2 / 3 < result["high"] < 1
    assert job["created_at"].endswith("Z")
    assert job["owner"] is None
    assert full.get("/jobs/one-id") == full.get("/jobs/one")
    stats = full.get("/jobs/one/stats")
    assert stats["outcomes"] == {"passed": 2, "failed": 1, "infra_error": 1}
    assert stats["groups"][0]["mean"]["tasks"] == 3
    assert full.get("/jobs/one/faults")[0]["fault"] == "BoxDied"


def test_money_is_exact():
    assert [usd(n) for n in (0, 1, 1_500_000, 10**9, 12_345_678_901, 100 * 10**9)] == [
        *("0", "0.000000001", "0.0015", "1", "12.345678901", "100"),
    ]


def test_a_trial_says_all_that_is_known_and_null_for_the_rest(full: Site):
    trial = full.get("/trials/one-t1")
    assert (trial["state"], trial["outcome"], trial["passed"]) == ("ended", "passed", True)
    assert trial["attempts"][0]["spend"]["tokens"] == 17
    assert trial["attempts"][0]["record"]["verdict"]["rewards"] == {"reward": 1.0}
    assert full.get("/trials/one-t1/tests")["passed"] is True
    assert full.get("/trials/one-t4/tests") is None
    waiting = full.get("/trials/one-t5")
    assert {waiting[name] for name in ("outcome", "reward", "turns", "duration_s", "fault")} == {
        None
    }
    assert [e["kind"] for e in full.get("/trials/one-t1/events")["items"]] == [
        *("try_started", "try_ended", "trial_ended"),
    ]
    assert full.get("/trials/one-t1/events?after=2")["items"][0]["seq"] == 3
    assert full.get("/trials/one-t1/events?limit=1")["next"] == 1
    assert full.get("/trials/one-t1/atif")["schema_version"]


def test_steps_come_in_windows_and_are_found(full: Site):
    async def say() -> None:
        emit = full.store.emitter("one-t5", try_number=1)
        for number in range(120):
            emit(MessageSaid(text=f"line {number}"))
        await full.store.flush()

    full.run(say)
    window = full.get("/trials/one-t5/steps?first=100&limit=10")
    assert (window["total"], window["first"], len(window["items"])) == (120, 100, 10)
    (seq,) = full.get("/trials/one-t5/steps/search?text=LINE%2077")["items"]
    window = full.get(f"/trials/one-t5/steps?step={seq}&limit=1")
    assert window["items"][0]["body"]["text"] == "line 77"


def test_tasks_datasets_usage_models_settings_health(full: Site):
    full.run(full.store.see_tasks, [TaskRow(digest="d", dataset="x", name="fresh", tags=("a",))])
    assert [t["name"] for t in full.get("/tasks?state=never_run")["items"]] == ["fresh"]
    assert [t["name"] for t in full.get("/tasks?tag=a")["items"]] == ["fresh"]
    assert len(full.get(f"/tasks/{1:064x}")["history"]) == 1
    assert full.get("/datasets") == [{"name": "bench", "tasks": 5}, {"name": "x", "tasks": 1}]
    (spent,) = full.get("/usage?group=total")
    assert (spent["tries"], spent["spend"]["cost_usd"]) == (4, "0.006")
    assert full.get("/usage?since=2999-01-01T00:00:00Z&group=day") == []
    models = full.get("/models?limit=5")
    assert len(models["items"]) == 5
    assert full.get("/models", params={"after": models["next"]})["items"][0] not in models["items"]
    settings = {each["key"]: each for each in full.get("/settings")}
    assert settings["concurrent"]["source"] == "default"
    assert settings["data_dir"]["can_be_saved"] is False
    health = full.get("/health")
    assert (health["store"]["kind"], health["ops"]) == ("sqlite", [])


@pytest.mark.must("web-34")
@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/jobs/nope", 404, "not_found"),
        ("GET", "/trials/nope", 404, "not_found"),
        ("GET", "/trials/nope/steps", 404, "not_found"),
        ("GET", "/tasks/nope", 404, "not_found"),
        ("GET", "/ops/77", 404, "not_found"),
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/jobs", 405, "method_not_allowed"),
        ("GET", "/jobs?limit=0", 422, "invalid"),
        ("GET", "/jobs?limit=501", 422, "invalid"),
        ("GET", "/jobs?limit=x", 422, "invalid"),
        ("GET", "/jobs?unknown=1", 422, "invalid"),
        ("GET", "/jobs/one?unknown=1", 422, "invalid"),
        ("GET", "/trials?unknown=1", 422, "invalid"),
        ("GET", "/trials?state=odd", 422, "invalid"),
        ("GET", "/jobs?after=%25", 422, "invalid"),
        ("GET", "/jobs?after=WyJ4IiwieSJd", 422, "invalid"),
        ("GET", "/trials?after=WyJ4IiwieSJd", 422, "invalid"),
        ("GET", "/usage?group=odd", 422, "invalid"),
        ("GET", "/stream?topics=odd", 422, "invalid"),
        ("GET", "/stream", 422, "invalid"),
        ("POST", "/ops", 422, "invalid"),
    ],
)
def test_every_error_has_one_shape(full: Site, method: str, path: str, status: int, code: str):
    answer = full.client.request(method, f"/api/v1{path}")
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    problem = answer.json()
    assert problem.keys() == JSON_LIKE
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["instance"] == f"/api/v1{path}".partition("?")[0]
    assert WRITE not in answer.text


@pytest.mark.must("web-34")
def test_the_same_key_is_the_same_request(full: Site):
    stop = {"kind": "stop"}
    first = full.post("/jobs/one/ops", stop, key="k")
    assert first.status_code == 202
    again = full.post("/jobs/one/ops", stop, key="k")
    assert (again.status_code, again.json()) == (202, first.json())
    other = full.post("/jobs/one/ops", {"kind": "stop", "drain": True}, key="k")
    assert (other.status_code, other.json()["code"]) == (409, "key_reused")
    assert full.post("/ops", {"kind": "reap"}, key="k").status_code == 409
    op = full.get(f"/jobs/one/ops/{first.json()['op_id']}")
    assert (op["kind"], op["state"], op["author"]) == ("stop", "asked", "web")
    assert op == full.get(f"/ops/{op['op_id']}")
    assert len(full.get("/health")["ops"]) == 1
    without = full.client.post("/api/v1/jobs/one/ops", json=stop)
    assert without.status_code == 422
    assert "idempotency" in without.text.lower()


def test_unknown_fields_and_foreign_kinds_are_refused(full: Site):
    for path, body in (
        ("/jobs/one/ops", {"kind": "stop", "now": True}),
        ("/jobs/one/ops", {"kind": "reap"}),
        ("/jobs/one/ops", {"kind": "set_budget", "limit": "usd", "value": -1}),
        ("/jobs/one/ops", {"kind": "set_budget", "limit": "usd", "value": "NaN"}),
        ("/jobs/one/ops", {"kind": "set_budget", "limit": "hours", "value": 1}),
        ("/ops", {"kind": "start"}),
        ("/ops", []),
        ("/jobs", {"agents": ["oracle"], "unknown": 1}),
        ("/jobs", {"agents": ["oracle"], "sandbox": "host"}),
        ("/trials/one-t1/ops", {"kind": "stop"}),
    ):
        assert full.post(path, body).status_code == 422, (path, body)
    assert full.post("/jobs/nope/ops", {"kind": "stop"}).status_code == 404
    assert full.get("/health")["ops"] == []


def test_a_start_keeps_what_was_asked(full: Site):
    asked = full.post("/jobs", {"sources": ["x"], "agents": ["oracle"], "budget": 2})
    assert asked.status_code == 202
    op = full.get(f"/ops/{asked.json()['op_id']}")
    assert op["kind"] == "start"
    view = full.run(full.store.events, f"op-{op['op_id']}")
    assert view[0].body.kind == "op_asked"
    entry = op["payload"]["entry"]
    assert (entry["sources"], entry["agents"][0]["name"]) == (["x"], "oracle")
    assert StartOp(entry=entry)


@pytest.mark.must("web-34")
def test_cursors_hold_while_rows_arrive(site: Site):
    for number in range(7):
        site.run(told, site.store, f"j{number}")
    seen, after = [], None
    for late in ("a", "b", "c", "d", None):
        page = site.get("/jobs", params={"limit": 2} | ({"after": after} if after else {}))
        seen += [job["name"] for job in page["items"]]
        after = page["next"]
        if late is not None:
            site.run(told, site.store, f"late-{late}")
        if after is None:
            break
    assert seen == [f"j{number}" for number in reversed(range(7))]
    for path, size in (("/trials?limit=4", 55), ("/tasks?limit=2", 5)):
        ids, after = [], None
        while True:
            page = site.get(path, params={"after": after} if after else None)
            ids += [json.dumps(item, sort_keys=True) for item in page["items"]]
            if (after := page["next"]) is None:
                break
        assert len(ids) == len(set(ids)) == size


@pytest.mark.must("web-34")
def test_what_was_read_before_is_not_sent_again(full: Site):
    for path in ("/jobs", "/trials/one-t1", "/usage", "/openapi.json"):
        first = full.client.get(f"/api/v1{path}")
        etag = first.headers["etag"]
        for known in (etag, f'"other", W/{etag}', "*"):
            again = full.client.get(f"/api/v1{path}", headers={"If-None-Match": known})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == etag
        other = full.client.get(f"/api/v1{path}", headers={"If-None-Match": '"x"'})
        assert (other.status_code, other.content) == (200, first.content)
    before = full.client.get("/api/v1/jobs").headers["etag"]
    full.run(told, full.store, "two")
    assert full.client.get("/api/v1/jobs").headers["etag"] != before


def test_pages_are_of_the_same_rows(full: Site):
    page = full.client.get("/jobs")
    assert page.status_code == 200
    assert "67 % · 2 of 3" in page.text
    assert "4 of 5" in page.text
    assert full.client.get("/jobs?text=nothing").text.count("<tr>") == 0
    assert "No job" in full.client.get("/jobs?state=finished").text
    assert "/api/v1/jobs/{job_id}/ops" in full.client.get("/api").text


def test_a_hostile_name_is_text(site: Site):
    job = a_job("<script>alert(1)</script>\u202e", job_id="hostile")
    site.run(site.store.create_job, job, [a_key(job, trial_id="t")])
    text = site.client.get("/jobs").text
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "\u202e" not in text


@pytest.fixture
def files(full: Site) -> Path:
    """The folder of a trial with some files, and things around it that are nobody's business."""
    job = full.settings.jobs_dir / "one"
    row = full.run(full.store.trials, "one-id")[0]

    def moved(connection: object) -> None:
        from sqlalchemy import text

        connection.execute(text("UPDATE jobs SET folder = :f"), {"f": str(job)})  # type: ignore[attr-defined]

    full.run(full.store.write, moved)
    folder: Path = job / row.key.trial_name
    for name, data in {
        "trial.log": b"hello\n",
        "agent/run.txt": b"did it",
        "artifacts/pic.png": b"\x89PNG\r\n\x1a\nrest",
        "artifacts/fake.png": b"<script>alert(1)</script>",
        'artifacts/"\r\nset-cookie: a=b\u202e.txt': b"odd",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    secret = full.settings.jobs_dir.parent / "secret.txt"
    secret.write_text("SECRET")
    (folder / "artifacts/link.txt").symlink_to(secret)
    (folder / "artifacts/up").symlink_to(full.settings.jobs_dir.parent)
    (job / "other.txt").write_text("SECRET")
    return folder


def test_files_are_attachments_by_id(full: Site, files: Path):
    found = {each["name"]: each for each in full.get("/trials/one-t1/files")}
    assert len(found) == 5
    assert {e["name"] for e in full.get("/trials/one-t1/logs")} == {"trial.log", "agent/run.txt"}
    for name, each in found.items():
        answer = full.client.get(f"/api/v1/trials/one-t1/files/{each['file_id']}")
        assert answer.content == (files / name).read_bytes()
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-security-policy"].startswith("sandbox")
        disposition = answer.headers["content-disposition"]
        assert disposition.startswith("attachment; ")
        assert disposition.isascii()
        assert "set-cookie" not in answer.headers
    picture = f"/api/v1/trials/one-t1/files/{found['artifacts/pic.png']['file_id']}?show=picture"
    assert full.client.get(picture).headers["content-type"] == "image/png"
    fake = f"/api/v1/trials/one-t1/files/{found['artifacts/fake.png']['file_id']}?show=picture"
    assert full.client.get(fake).status_code == 404


TRAVERSALS = (
    *("../other.txt", "..%2fother.txt", "%2e%2e/other.txt", "..%5cother.txt", "..%252fother.txt"),
    *(
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "....//other.txt",
        "artifacts/link.txt",
        "artifacts%2flink.txt",
    ),
    *("artifacts/up/secret.txt", "%00", "trial.log%00.png", "..%c0%afother.txt", "trial.log"),
    *("file:///etc/passwd", "~", "%ff", "\u202e", "x" * 3_000),
)


@pytest.mark.must("web-38")
@pytest.mark.parametrize("name", TRAVERSALS)
def test_no_spelling_of_a_path_reaches_a_file(full: Site, files: Path, name: str):
    assert files.is_dir()
    for path in (
        f"/api/v1/trials/one-t1/files/{name}",
        f"/api/v1/trials/{name}/files",
        f"/api/v1/jobs/{name}",
        f"/static/{name}",
        f"/static/../{name}",
    ):
        answer = full.client.get(path)
        assert answer.status_code in (303, 404, 422), (path, answer.status_code)
        assert "SECRET" not in answer.text
        assert "root:" not in answer.text


@pytest.mark.must("web-38")
def test_a_job_that_lies_elsewhere_shows_no_file(full: Site, files: Path):
    def elsewhere(connection: object, folder: str) -> None:
        from sqlalchemy import text

        connection.execute(text("UPDATE jobs SET folder = :f"), {"f": folder})  # type: ignore[attr-defined]

    inside = full.settings.jobs_dir
    (inside / "link").symlink_to(inside.parent)
    for folder in ("/", "/etc", str(inside), str(inside.parent), str(inside / "link"), "relative"):
        full.run(full.store.write, elsewhere, folder)
        answer = full.client.get("/api/v1/trials/one-t1/files")
        assert (answer.status_code, answer.json()["code"]) == (404, "no_folder"), folder


def test_times_are_utc(full: Site):
    at = full.get("/trials/one-t1")["ended_at"]
    assert at.endswith("Z")
    assert at[:10] == f"{now():%Y-%m-%d}"
