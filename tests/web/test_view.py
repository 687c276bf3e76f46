"""`mechagym view` for real: jobs it starts outlive it, jobs of others are live in it, and nothing
it shows, streams or lets download holds a secret.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import anyio
import psutil
import pytest

from mechagym.events import MessageSaid
from mechagym.store import Store
from tests.run.gym import make_task
from tests.store.makers import a_store_with
from tests.web.parts import View, viewed
from tests.web.test_api import TRAVERSALS

SLOW = "#!/bin/sh\nsleep 20\necho solved > /app/done.txt\n"


def task_in(home: Path, name: str = "made", *, slow: bool = False) -> str:
    files = {"solution/solve.sh": SLOW} if slow else {}
    make_task(home / "here" / "tasks", name, files=files)
    return str(home / "here" / "tasks" / name)


def start(view: View, task: str, **more: Any) -> Any:
    """Start a job from the API and wait until its process has it."""
    entry = {"sources": [task], "agents": ["oracle"], "sandbox": "memory", **more}
    op = view.ended(view.ask("/jobs", entry))
    assert op["state"] == "done", op
    return view.get(f"/jobs/{op['detail'].split()[1].rstrip(',')}")


def finished(view: View, job: str) -> Any:
    """A job, once it has ended."""
    until = time.monotonic() + 60
    while (found := view.get(f"/jobs/{job}"))["state"] in ("pending", "running"):
        assert time.monotonic() < until, found
        time.sleep(0.2)
    return found


@pytest.mark.slow
def test_a_job_started_from_here_is_run_with_what_was_chosen(home: Path):
    with viewed(home) as view:
        job = start(view, task_in(home), repeats=2, budget={"usd": 1.5}, name="chosen")
        ended = finished(view, "chosen")
        assert (ended["ended"], ended["result"]["passed"]) == (2, 2)
        config = ended["config"]
        assert (config["repeats"], config["budget"]["usd"]) == (2, 1.5)
        assert (config["sandbox"], config["agents"][0]["name"]) == ("memory", "oracle")
        assert job["config_digest"] == ended["config_digest"]
        assert view.get("/tasks")["items"][0]["result"]["graded"] == 2
        again = view.ended(view.ask("/jobs", {"sources": [task_in(home)], "agents": ["nope"]}))
        assert again["state"] == "refused"
        assert "nope" in again["detail"]
        time.sleep(2)
        assert psutil.Process(view.process.pid).children() == [], "what ended is reaped"


@pytest.mark.slow
def test_the_form_of_a_task_starts_a_job_as_it_was_chosen(home: Path):
    with viewed(home) as view:
        start(view, task_in(home), name="before")
        finished(view, "before")
        (task,) = view.get("/tasks")["items"]
        host = f"http://127.0.0.1:{view.port}"
        said = {"agent": "nop", "repeats": "2", "sandbox": "memory", "usd": "1.5", "tokens": ""}
        form = Request(f"{host}/tasks/{task['digest']}/run", data=urlencode(said).encode())
        form.add_header("Cookie", f"mechagym_{view.port}={view.token}")
        form.add_header("Origin", host)
        with urlopen(form) as answer:
            where = answer.url
        assert view.ended(int(where.rpartition("/")[2]))["state"] == "done"
        _, page = view.raw("GET", where.removeprefix(host))
        (job_id,) = set(re.findall(r'href="/jobs/(\w+)"', page.decode()))
        ended = finished(view, job_id)
        assert (ended["ended"], ended["result"]["passed"]) == (2, 0)
        config = ended["config"]
        assert (config["sandbox"], config["agents"][0]["name"]) == ("memory", "nop")
        assert (config["budget"]["usd"], config["budget"]["tokens"]) == (1.5, None)
        assert view.get("/tasks")["items"][0]["trials"] == 3, "the same task, by its digest"


@pytest.mark.slow
@pytest.mark.must("web-17")
def test_closing_the_view_ends_no_job(home: Path):
    with viewed(home) as view:
        job = start(view, task_in(home, slow=True), name="longer")
        process = psutil.Process(job["owner"]["pid"])
        assert os.getsid(process.pid) == process.pid, "a session of its own"
        assert "run" in process.cmdline()
        os.killpg(os.getpgid(process.pid), 0)
        assert os.getpgid(process.pid) != os.getpgid(view.process.pid)
    assert view.process.returncode == 0
    assert process.is_running()
    assert process.status() != psutil.STATUS_ZOMBIE
    with viewed(home) as view:
        assert view.get("/jobs/longer")["owner"]["alive"] is True
        op = view.ended(view.ask("/jobs/longer/ops", {"kind": "stop"}))
        assert op["state"] == "done"
        assert finished(view, "longer")["state"] == "stopped"


@pytest.mark.slow
def test_a_stopped_job_is_resumed_its_budget_changed_and_what_makes_no_sense_is_refused(home: Path):
    with viewed(home) as view:
        start(view, task_in(home, slow=True), name="paused")
        view.ended(view.ask("/jobs/paused/ops", {"kind": "stop"}))
        finished(view, "paused")
        stop = view.ended(view.ask("/jobs/paused/ops", {"kind": "stop"}))
        assert (stop["state"], "not running" in stop["detail"]) == ("refused", True)
        retry = view.ended(view.ask("/jobs/paused/ops", {"kind": "retry"}))
        assert (retry["state"], "no such trial" in retry["detail"]) == ("refused", True)
        raised = view.ended(
            view.ask("/jobs/paused/ops", {"kind": "set_budget", "limit": "turns", "value": 7})
        )
        assert raised["state"] == "done"
        resumed = view.ended(view.ask("/jobs/paused/ops", {"kind": "resume"}))
        assert resumed["state"] == "done", resumed
        again = view.ended(view.ask("/jobs/paused/ops", {"kind": "resume"}))
        assert (again["state"], "works on it" in again["detail"]) == ("refused", True)
        view.ended(view.ask("/jobs/paused/ops", {"kind": "stop"}))
        finished(view, "paused")


@pytest.mark.slow
@pytest.mark.must("web-31")
def test_a_saved_setting_survives_and_is_in_the_next_jobs_config(home: Path):
    task = task_in(home)
    with viewed(home) as view:
        save = {"kind": "set_setting", "key": "concurrent", "value": "7"}
        assert view.ended(view.ask("/ops", save))["state"] == "done"
        bad = view.ended(view.ask("/ops", {**save, "value": "many"}))
        assert bad["state"] == "refused"
        unknown = view.ended(view.ask("/ops", {**save, "key": "store"}))
        assert "cannot be saved" in unknown["detail"]
    with viewed(home) as view:
        row = next(each for each in view.get("/settings") if each["key"] == "concurrent")
        assert (row["value"], row["source"], row["hidden"]) == ("7", "saved setting", False)
        job = start(view, task, name="with-saved")
        assert job["config"]["pace"]["trials"] == 7
        finished(view, "with-saved")
    with viewed(home, environ={"MECHAGYM_CONCURRENT": "2"}) as view:
        row = next(each for each in view.get("/settings") if each["key"] == "concurrent")
        assert (row["value"], row["source"], row["hidden"]) == ("2", "environment", True)
        assert row["saved"] == "7"


@pytest.mark.slow
@pytest.mark.must("web-14")
async def test_a_job_of_another_process_is_live_within_a_second(home: Path):
    """From append to stream, over HTTP: the median of many, since the machine is shared."""
    store_url = f"sqlite:///{home}/.local/share/mechagym/mechagym.db"
    lags: list[float] = []

    def follow(view: View) -> None:
        with view.stream("topics=trial:job-t1&after=0") as stream:
            for event in stream.events():
                if event["kind"] == "message_said":
                    lags.append(time.time() - float(event["body"]["text"]))
                if len(lags) == 20:
                    return

    async with Store.open(store_url) as store:  # this process is the other one
        await a_store_with(store)
        with viewed(home, "--no-worker") as view:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.to_thread.run_sync, follow, view)
                emit = store.emitter("job-t1", try_number=1)
                while len(lags) < 20:
                    emit(MessageSaid(text=str(time.time())))
                    await anyio.sleep(0.15)
    assert sorted(lags)[10] <= 1.0


@pytest.mark.slow
async def test_a_stream_goes_on_where_it_was_after_a_restart(home: Path):
    """No event is lost or doubled, by Last-Event-ID and by `after`, also by another server."""
    store_url = f"sqlite:///{home}/.local/share/mechagym/mechagym.db"

    def some(view: View, query: str, most: int, **headers: str) -> tuple[list[int], str]:
        with view.stream(f"topics=job:job-id,trial:job-t1&{query}", **headers) as stream:
            found = []
            for event in stream.events():
                if event["kind"] == "message_said":
                    found.append(event["seq"])
                if len(found) >= most:
                    return found, stream.last_id
            return found, stream.last_id

    async with Store.open(store_url) as store:
        await a_store_with(store)
        emit = store.emitter("job-t1", try_number=1)
        for number in range(1_000):
            emit(MessageSaid(text=str(number)))
        await store.flush()

        def read() -> list[int]:
            with viewed(home, "--no-worker") as view:
                first, at = some(view, "after=0", 200)
            with viewed(home, "--no-worker") as view:
                second, at = some(view, "", 400, **{"Last-Event-ID": at})
                third, _ = some(view, f"after={at}", 400)
            return first + second + third

        assert await anyio.to_thread.run_sync(read) == list(range(1, 1_001))
        for number in range(5_500):
            emit(MessageSaid(text=str(number)))
        await store.flush()

        def far_behind() -> str:
            with viewed(home, "--no-worker") as view, view.stream("topics=jobs&after=1") as stream:
                return next(stream.messages())[0]

        assert await anyio.to_thread.run_sync(far_behind) == "reload"


@pytest.mark.slow
@pytest.mark.must("web-38")
def test_paths_to_the_letter_reach_no_file(home: Path):
    with viewed(home, "--no-worker") as view:
        for name in (*TRAVERSALS, "..", "."):
            sent = name.encode("utf-8").decode("latin-1")
            if not sent.isascii():
                continue
            for base in ("/static/", "/static/../", "/api/v1/trials/x/files/", "/"):
                status, body = view.raw("GET", base + sent)
                assert status in (303, 400, 404, 422), (base + sent, status)
                assert b"root:" not in body


@pytest.mark.slow
@pytest.mark.must("web-32")
def test_no_secret_is_on_any_page_answer_stream_or_download(home: Path):
    """A key is in the job's environment, and an agent says it, prints it and leaves it in files."""
    key = "sk-planted-0123456789abcdefghijklmnop"
    script = home / "here" / "do.yaml"
    script.write_text(
        f"- {{kind: say, text: the key is {key}}}\n"
        f"- {{kind: exec, command: echo {key} > /app/done.txt; echo {key}}}\n"
    )
    toml = 'schema_version = "1.4"\n[environment.env]\nPLANTED_API_KEY = "${PLANTED_API_KEY}"\n'
    make_task(home / "here" / "tasks", "leaky", toml=toml)
    environ = {**os.environ, "PLANTED_API_KEY": key}
    subprocess.run(
        [
            *(sys.executable, "-m", "mechagym", "run", "tasks/leaky", "-a", "scripted", "-q"),
            *("--set", f"agent.script={script}", "--sandbox", "memory", "--name", "leaky"),
        ],
        cwd=home / "here",
        env=environ,
        check=True,
        capture_output=True,
    )
    with viewed(home, "--no-worker", environ={"PLANTED_API_KEY": key}) as view:
        (trial,) = view.get("/trials?job_id=" + view.get("/jobs/leaky")["id"])["items"]
        below = f"/api/v1/trials/{trial['id']}"
        files = [f"{below}/files/{each['file_id']}" for each in view.get(below[7:] + "/files")]
        assert len(files) >= 5
        paths = ["/jobs", "/api", "/api/v1/jobs/leaky", "/api/v1/settings", "/api/v1/health"]
        paths += [below, *(f"{below}/{p}" for p in ("steps", "events", "atif", "files")), *files]
        for path in paths:
            status, body = view.raw("GET", path)
            assert status == 200, path
            assert key.encode() not in body, path
        with view.stream(f"topics=trial:{trial['id']}&after=0") as stream:
            told = [next(stream.messages())[1]]
        assert "message_said" in told[0]
        assert key not in told[0]


@pytest.mark.slow
@pytest.mark.must("web-1")
def test_the_token_is_in_no_log_and_a_second_view_takes_the_next_port(home: Path):
    with viewed(home) as view:
        assert view.raw("GET", f"/?token={view.token}")[0] == 303
        assert view.raw("GET", "/jobs")[0] == 200
        port = str(view.port)
        other = subprocess.run(
            [sys.executable, "-m", "mechagym", "view", "--port", port, "--host", "0.0.0.0"],
            capture_output=True, text=True, check=False, cwd=home / "here",
        )  # fmt: skip
        assert other.returncode == 2
        assert "--allow-remote" in other.stderr
        second = subprocess.Popen(
            [sys.executable, "-m", "mechagym", "view", "--port", port, "--no-worker"],
            stdout=subprocess.PIPE, text=True, cwd=home / "here",
        )  # fmt: skip
        assert second.stdout is not None
        line = second.stdout.readline()
        assert view.port < int(line.split(":")[2].split("/")[0]) < view.port + 20
        second.send_signal(signal.SIGINT)
        assert second.wait(30) == 0
        second.stdout.close()
        token = view.token
    for path in home.rglob("*"):
        if path.is_file():
            assert token.encode() not in path.read_bytes(), path
