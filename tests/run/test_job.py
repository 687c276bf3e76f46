"""Jobs: retries, resumes, locks, secrets, and a thousand trials without a leak."""

import base64
import gc
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import anyio
import psutil
import pytest

from mechagym.agents.scripted import Exec, Hang, Pay, Say, Write
from mechagym.budget import Budget
from mechagym.errors import BoxDied, ConfigError, JobLocked
from mechagym.events import ErrorRaised, EventBody, StopOp, ToolReturned, TryEnded, TryStarted
from mechagym.records import Outcome
from mechagym.run.config import AgentChoice, Pace, Rules
from mechagym.run.stint import told
from mechagym.sandbox.base import Box, BoxSpec, Sandbox
from mechagym.store import Store
from tests.run.gym import Gym, make_task

ROOT = Path(__file__).parent.parent.parent


class Flaky:
    """A sandbox whose first boxes die as soon as they are open."""

    def __init__(self, inner: Sandbox, deaths: int) -> None:
        self._inner, self.deaths = inner, deaths

    def __getattr__(self, name: str):
        return getattr(self._inner, name)

    @asynccontextmanager
    async def open(self, spec: BoxSpec) -> AsyncIterator[Box]:
        async with self._inner.open(spec) as box:
            yield Dying(box, self)


class Dying:
    """A box that dies when its tests should be put in."""

    def __init__(self, box: Box, flaky: Flaky) -> None:
        self._box, self._flaky = box, flaky

    def __getattr__(self, name: str):
        return getattr(self._box, name)

    async def put(self, source, target: str) -> None:
        if target == "/tests" and self._flaky.deaths:
            self._flaky.deaths -= 1
            raise BoxDied("the box died")
        await self._box.put(source, target)


@pytest.mark.must("trials-9")
async def test_infra_faults_are_tried_again_kept_and_paid_for(memory_gym):
    memory_gym.sandbox = Flaky(memory_gym.sandbox, deaths=2)
    memory_gym.script = [
        Pay(input=100, output=10, cost_usd=0.25),
        Exec(command="echo x > done.txt; echo y > /logs/agent/log.txt"),
    ]
    record = await memory_gym.trial(make_task(memory_gym.root / "tasks"), "scripted")
    outcomes = [t.outcome for t in record.tries]
    assert outcomes == [Outcome.INFRA_ERROR, Outcome.INFRA_ERROR, Outcome.PASSED]
    assert record.spend.cost_usd == pytest.approx(0.75)
    assert record.spend.usage.tokens == 330
    folder = memory_gym.root / "jobs" / "job" / record.key.trial_name
    assert sorted(p.name for p in (folder / "tries").iterdir()) == ["001", "002", "003"]
    assert len(list(folder.glob("tries/*/agent/log.txt"))) == 3, "each keeps its own evidence"


async def test_a_fault_that_stays_is_an_infra_error_and_the_next_trial_runs(memory_gym):
    memory_gym.sandbox = Flaky(memory_gym.sandbox, deaths=2)
    memory_gym.pace = Pace(trials=1, retries=1)
    tasks = [make_task(memory_gym.root / "tasks", name) for name in ("a", "b")]
    report = await memory_gym.run(tasks, memory_gym.config("oracle"))
    assert [t.outcome for t in report.trials] == [Outcome.INFRA_ERROR, Outcome.PASSED]
    assert [t.key.task for t in report.unscored] == ["a"]


async def test_a_finished_job_runs_nothing_again(memory_gym):
    task = make_task(memory_gym.root / "tasks")
    await memory_gym.trial(task)
    memory_gym.seen.clear()
    record = await memory_gym.trial(task)
    assert len(record.tries) == 1
    assert not any(body.kind == "try_started" for _, body in memory_gym.seen)


async def test_a_torn_folder_is_written_again(memory_gym):
    task = make_task(memory_gym.root / "tasks")
    record = await memory_gym.trial(task)
    result = memory_gym.root / "jobs" / "job" / record.key.trial_name / "result.json"
    whole = result.read_text()
    result.write_text(whole[: len(whole) // 2])
    await memory_gym.trial(task)
    assert result.read_text() == whole


async def test_a_folder_that_cannot_be_written_ends_no_job(memory_gym):
    root = memory_gym.root / "tasks"
    tasks = [make_task(root, "a"), make_task(root, "b")]
    in_the_way: list[Path] = []

    def block(_: str, body: EventBody) -> None:
        if isinstance(body, TryEnded) and not in_the_way:
            (folder,) = [p for p in (memory_gym.root / "jobs" / "job").iterdir() if p.is_dir()]
            folder.rename(folder.with_name("kept"))
            folder.write_text("a file where a folder should be")
            in_the_way.append(folder)

    memory_gym.pace, memory_gym.watcher = Pace(trials=1), block
    report = await memory_gym.run(tasks, memory_gym.config("oracle"))
    assert [trial.outcome for trial in report.trials] == [Outcome.PASSED, Outcome.PASSED]
    assert any(
        isinstance(b, ErrorRaised) and "resume job" in b.error.message for _, b in memory_gym.seen
    )
    (folder,) = in_the_way
    folder.unlink()
    await memory_gym.run(tasks, memory_gym.config("oracle"))
    assert (folder / "result.json").is_file()


async def test_another_config_is_not_a_resume(memory_gym):
    task = make_task(memory_gym.root / "tasks")
    await memory_gym.trial(task)
    memory_gym.rules = Rules(timeout_multiplier=3)
    with pytest.raises(ConfigError, match="begun with other rules"):
        await memory_gym.trial(task)


async def test_a_changed_task_is_not_a_resume(memory_gym):
    memory_gym.pace = Pace(retries=0)
    memory_gym.budget = Budget(usd=0)
    root = memory_gym.root / "tasks"
    report = await memory_gym.run([make_task(root)], memory_gym.config("oracle"))
    assert (report.state, report.waiting) == ("stopped", 1)
    changed = make_task(root, files={"instruction.md": "Something else.\n"})
    with pytest.raises(ConfigError, match="has changed since this job began"):
        await memory_gym.run([changed], memory_gym.config("oracle"))


async def test_a_stop_op_cancels_in_order_and_a_resume_goes_on(memory_gym):
    memory_gym.script = [Say(text="working"), Hang()]
    task = make_task(memory_gym.root / "tasks")

    async with Store.open(memory_gym.url) as store, anyio.create_task_group() as tasks:

        async def stop() -> None:
            while not any(body.kind == "message_said" for _, body in memory_gym.seen):
                await anyio.sleep(0.01)
            job = await store.find_job("job")
            assert job is not None
            await store.put_op(job.job_id, StopOp())

        tasks.start_soon(stop)
        report = await memory_gym.run([task], memory_gym.config("scripted"))
    assert (report.state, report.waiting) == ("stopped", 1)
    memory_gym.script = [Exec(command="echo x > done.txt")]
    record = await memory_gym.trial(task, "scripted")
    assert [t.outcome for t in record.tries] == [Outcome.CANCELLED, Outcome.PASSED]


@pytest.mark.must("trials-12")
async def test_two_processes_on_one_job(memory_gym):
    task = make_task(memory_gym.root / "tasks")
    code = (
        "import anyio, sys\nfrom pathlib import Path\n"
        "from mechagym.agents.scripted import Hang, Say\n"
        "from mechagym.tasks.folder import load_task\n"
        "from mechagym.testing.memory import MemorySandbox\n"
        "from tests.run.gym import Gym\n"
        "root = Path(sys.argv[1])\n"
        "def say(_, body):\n"
        "    if body.kind == 'agent_started': print('running', flush=True)\n"
        "gym = Gym(root=root, sandbox=MemorySandbox(), script=[Hang()], watcher=say)\n"
        "anyio.run(gym.trial, load_task(root / 'tasks' / 'made'), 'scripted')\n"
    )
    argv = [sys.executable, "-c", code, str(memory_gym.root)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"running\n"
            memory_gym.script = [Hang()]
            with pytest.raises(JobLocked, match=str(other.pid)), anyio.fail_after(30):
                await memory_gym.trial(task, "scripted")
        finally:
            other.kill()
    memory_gym.script = [Exec(command="echo x > done.txt")]
    record = await memory_gym.trial(task, "scripted")
    assert record.outcome is Outcome.PASSED


async def test_money_stops_a_job_between_trials(memory_gym):
    memory_gym.budget = Budget(usd=1.0)
    memory_gym.pace = Pace(trials=1)
    memory_gym.script = [Pay(cost_usd=0.6), Exec(command="echo x > done.txt")]
    tasks = [make_task(memory_gym.root / "tasks", name) for name in "abc"]
    report = await memory_gym.run(tasks, memory_gym.config("scripted"))
    outcomes = [t.outcome for t in report.trials]
    assert outcomes[:2] == [Outcome.PASSED, Outcome.BUDGET_EXHAUSTED]
    assert sum(t.spend.cost_usd for t in report.trials) <= 1.0


async def test_an_unexpected_fault_is_one_trials_alone(memory_gym):

    class Broken(Gym):
        def make_agent(self, choice, task):
            if task.name == "a":
                raise ZeroDivisionError("a bug of ours")
            return super().make_agent(choice, task)

    memory_gym = Broken(root=memory_gym.root, sandbox=memory_gym.sandbox)
    tasks = [make_task(memory_gym.root / "tasks", name) for name in ("a", "b")]
    report = await memory_gym.run(tasks, memory_gym.config("oracle"))
    assert [t.outcome for t in report.trials] == [Outcome.INFRA_ERROR, Outcome.PASSED]
    error = report.trials[0].counted.error
    assert error is not None
    assert error.reason == "unexpected"
    folder = memory_gym.root / "jobs" / "job" / report.trials[0].key.trial_name
    assert "ZeroDivisionError" in (folder / "exception.txt").read_text()


@pytest.mark.must("trials-16")
async def test_a_planted_secret_is_nowhere(memory_gym):
    secret = "s3cr3t-Value/+with=odd&chars"
    memory_gym.host_env = {"PLANTED": secret}
    leak = (
        'echo "key $KEY"; printf %s "$KEY" > /logs/verifier/leak.txt; echo "$KEY" >&2\n'
        f"echo {base64.b64encode(f'id:{secret}'.encode()).decode()} > /logs/verifier/basic.txt\n"
        "echo 1 > /logs/verifier/reward.txt\n"
    )
    toml = 'schema_version = "1.4"\n[verifier.env]\nKEY = "${PLANTED}"\n'
    memory_gym.script = [Say(text=f"I found {secret}"), Exec(command=f"echo '{secret}' > /app/f")]
    task = make_task(memory_gym.root / "tasks", files={"tests/test.sh": leak}, toml=toml)
    record = await memory_gym.trial(task, "scripted")
    assert record.outcome is Outcome.PASSED
    forms = [secret, base64.b64encode(f"id:{secret}".encode()).decode()[4:-4], quote(secret)]
    assert holders_of(memory_gym.root, *forms) == []
    assert not any(form in str(memory_gym.seen) for form in forms), "nor is it shown"
    returned = [e.body for e in await memory_gym.events(record.key.trial_id)]
    assert not any(isinstance(b, ToolReturned) and secret in b.output for b in returned)


def holders_of(root: Path, *forms: str) -> list[Path]:
    """The files below a folder, its task folders aside, in which one of some texts stands."""
    return [
        path
        for path in root.rglob("*")
        if path.is_file()
        and "tasks" not in path.parts
        and any(form.encode() in path.read_bytes() for form in forms)
    ]


@pytest.mark.must("trials-16")
@pytest.mark.parametrize("form", ["plain", "base64", "url"])
async def test_a_secret_cut_in_the_middle_is_nowhere(memory_gym, form):
    """The transcript, an error's tail of it and a long tool output keep head and tail alone."""
    secret = "s3cr3t/Value+with=odd&chars-and-more-of-it"
    said = {
        "plain": secret,
        "base64": base64.b64encode(secret.encode()).decode(),
        "url": quote(secret, safe=""),
    }[form]
    memory_gym.host_env = {"PLANTED": secret}
    memory_gym.pace = Pace(retries=0)
    shown = said * (3_000_000 // len(said))  # so that whatever is cut is cut in it
    toml = 'schema_version = "1.4"\n[verifier.env]\nKEY = "${PLANTED}"\n'
    test = f"cat /app/long.txt; echo '{said[7:]}{said[:-9]}'"
    files = {"tests/test.sh": test, "instruction.md": f"{said}\n"}
    memory_gym.script = [
        Write(path="/app/long.txt", text=shown),
        Exec(command="cat /app/long.txt"),
        Exec(command=f"echo {'x' * 20} /tests '{said}'; cp /app/long.txt /logs/agent/"),
    ]
    task = make_task(memory_gym.root / "tasks", files=files, toml=toml)
    record = await memory_gym.trial(task, "scripted")
    assert record.counted.error is not None
    assert "[redacted:PLANTED]" in record.counted.error.message
    parts = [said[at : at + 14] for at in range(len(said) - 13)]
    assert holders_of(memory_gym.root, *parts) == []


@pytest.mark.must("trials-16")
async def test_what_a_killed_process_left_is_redacted_by_the_next_start(memory_gym):
    memory_gym.secrets, memory_gym.budget = {"KEY": "s3cret-left-behind"}, Budget(usd=0)
    memory_gym.script = [Exec(command="echo x > done.txt")]
    task = make_task(memory_gym.root / "tasks")
    config = memory_gym.config("scripted")
    await memory_gym.run([task], config)
    async with Store.open(memory_gym.url) as store:
        job = await store.find_job("job")
        assert job is not None
        (row,) = await store.trials(job.job_id)
        store.emitter(row.key.trial_id, try_number=1)(TryStarted(number=1, owner_pid=1, label="x"))
    raw = config.folder / row.key.trial_name / "tries" / "001" / "agent" / "log"
    raw.parent.mkdir(parents=True)
    raw.write_text("s3cret-left-behind")
    before_it_starts: list[str] = []
    memory_gym.watcher = lambda _, body: (
        before_it_starts.append(raw.read_text()) if isinstance(body, TryStarted) else None
    )
    await memory_gym.run([task], replace(config, budget=Budget()))
    assert before_it_starts == ["[redacted:KEY]"]


async def test_a_key_is_given_to_an_agent_by_reference(memory_gym):
    secret = "sk-given-by-reference-81"
    memory_gym.host_env = {"AGENT_KEY": secret}
    given: list[str] = []

    class Keyed(Gym):
        def make_agent(self, choice, task):
            given.append(choice.options["key"])
            return super().make_agent(replace(choice, options={}), task)

    gym = Keyed(root=memory_gym.root, sandbox=memory_gym.sandbox, host_env=memory_gym.host_env)
    gym.script, gym.budget = [Say(text=secret), Exec(command="echo x > done.txt")], Budget(usd=0)
    task = make_task(gym.root / "tasks")
    asked = gym.config("scripted")
    config = replace(asked, agents=(AgentChoice(name="scripted", options={"key": "${AGENT_KEY}"}),))
    assert (await gym.run([task], config)).waiting == 1
    report = await gym.run([task], replace(config, budget=Budget()))
    assert [trial.outcome for trial in report.trials] == [Outcome.PASSED]
    assert given == [secret]
    assert holders_of(gym.root, secret) == []
    gym.host_env = {}
    with pytest.raises(ConfigError, match="AGENT_KEY"):
        await gym.run([task], config)


async def test_a_secret_in_the_config_itself_is_refused(memory_gym):
    memory_gym.secrets = {"AGENT_KEY": "sk-written-into-it-81"}
    choice = AgentChoice(name="scripted", options={"key": "sk-written-into-it-81"})
    config = replace(memory_gym.config("scripted"), agents=(choice,))
    with pytest.raises(ConfigError, match=r"AGENT_KEY") as refused:
        await memory_gym.run([make_task(memory_gym.root / "tasks")], config)
    assert "sk-written" not in str(refused.value)
    assert holders_of(memory_gym.root, "sk-written") == []


async def test_a_host_value_that_stands_in_the_config_spoils_no_resume(memory_gym):
    memory_gym.host_env, memory_gym.budget = {"MODE": "scripted"}, Budget(usd=0)
    memory_gym.script = [Exec(command="echo x > done.txt")]
    toml = 'schema_version = "1.4"\n[verifier.env]\nMODE = "${MODE}"\n'
    task = make_task(memory_gym.root / "tasks", toml=toml)
    config = memory_gym.config("scripted")
    assert (await memory_gym.run([task], config)).waiting == 1
    report = await memory_gym.run([task], replace(config, budget=Budget()))
    assert [trial.outcome for trial in report.trials] == [Outcome.PASSED]


@pytest.mark.parametrize("word", ["verify", "message", "started", "passed"])
async def test_a_host_value_that_is_a_word_of_ours_spoils_no_record(memory_gym, word):
    memory_gym.host_env = {"MODE": word}
    memory_gym.script = [Say(text=f"{word}!"), Exec(command="echo x > done.txt")]
    toml = 'schema_version = "1.4"\n[verifier.env]\nMODE = "${MODE}"\n'
    task = make_task(memory_gym.root / "tasks", toml=toml)
    record = await memory_gym.trial(task, "scripted")
    assert record.outcome is Outcome.PASSED, record.counted.error
    assert len(await memory_gym.events(record.key.trial_id)) > 10


@pytest.mark.must("trials-17")
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_thousand_trials_leave_nothing(memory_gym):
    memory_gym.pace = Pace(trials=8)
    memory_gym.script = [Say(text="hello"), Exec(command="echo x > done.txt")]
    task = make_task(memory_gym.root / "tasks")
    await memory_gym.run([task], memory_gym.config("scripted", name="warm"))
    gc.collect()
    process = psutil.Process()
    files, memory_mb = process.num_fds(), process.memory_info().rss / 2**20
    tasks_before = len(anyio.get_running_tasks())
    memory_gym.seen.clear()
    report = await memory_gym.run([task], memory_gym.config("scripted", name="many", repeats=1000))
    assert {t.outcome for t in report.trials} == {Outcome.PASSED}
    assert len(report.trials) == 1000
    gc.collect()
    assert process.num_fds() <= files + 2
    assert process.memory_info().rss / 2**20 - memory_mb < 200
    assert len(anyio.get_running_tasks()) == tasks_before


@pytest.mark.parametrize(("timeout_s", "told_s"), [(None, None), (100.0, 95.0), (1000.0, 985.0)])
def test_agents_are_told_less_than_they_have(timeout_s, told_s):
    assert told(timeout_s) == told_s
