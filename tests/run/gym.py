"""A small gym for tests: task folders made on the spot, and whole jobs run on a given sandbox."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mechagym.agents.base import Agent
from mechagym.agents.nop import NopAgent
from mechagym.agents.oracle import OracleAgent
from mechagym.agents.scripted import Action, ScriptedAgent
from mechagym.budget import Budget
from mechagym.events import Event, EventBody
from mechagym.records import TrialRecord
from mechagym.run.config import AgentChoice, JobConfig, Pace, Rules, Sources
from mechagym.run.job import JobReport
from mechagym.run.kit import Watch
from mechagym.run.launch import Parts, run_job
from mechagym.run.take import stored_config
from mechagym.sandbox.base import Sandbox
from mechagym.store import Store
from mechagym.tasks.folder import load_task
from mechagym.tasks.model import Task
from mechagym.verify.task_tests import TaskTests
from mechagym.wiring import wrapper

TEST_SH = """#!/bin/sh
if [ -f /app/done.txt ]; then echo 1 > /logs/verifier/reward.txt
else echo 0 > /logs/verifier/reward.txt; fi
"""
SOLVE_SH = "#!/bin/sh\necho solved > /app/done.txt\n"
DOCKERFILE = "FROM debian:bookworm-slim\nWORKDIR /app\n"


def make_task(
    root: Path,
    name: str = "made",
    *,
    files: Mapping[str, str] | None = None,
    toml: str | None = None,
) -> Task:
    """A task whose tests look for /app/done.txt; `files` (path → text) are added or replaced."""
    folder = root / name
    texts = {
        "task.toml": toml or 'schema_version = "1.4"\n',
        "instruction.md": "Make /app/done.txt.\n",
        "environment/Dockerfile": DOCKERFILE,
        "tests/test.sh": TEST_SH,
        "solution/solve.sh": SOLVE_SH,
        **(files or {}),
    }
    for path, text in texts.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return load_task(folder)


@dataclass(slots=True, kw_only=True)
class Gym:
    """What jobs are run with. `seen` fills with (subject, event body) as they happen."""

    root: Path
    sandbox: Sandbox
    secrets: Mapping[str, str] = field(default_factory=dict)
    host_env: Mapping[str, str] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    pace: Pace = field(default_factory=Pace)
    budget: Budget = field(default_factory=Budget)
    script: Sequence[Action] = ()
    seen: list[tuple[str, EventBody]] = field(default_factory=list)
    watcher: Watch | None = None
    protocol: str | None = None

    @property
    def url(self) -> str:
        """The store of this gym."""
        return f"sqlite:///{self.root / 'store.db'}"

    def make_agent(self, choice: AgentChoice, task: Task) -> Agent:
        """The three agents that need no model."""
        if choice.name == "scripted":
            return ScriptedAgent(task=task, options=choice.options, script=self.script)
        made: dict[str, type[OracleAgent | NopAgent]] = {"oracle": OracleAgent, "nop": NopAgent}
        return made[choice.name](task=task, options=choice.options)

    def watch(self, subject: str, body: EventBody) -> None:
        """Note an event, and tell the test's own watcher."""
        self.seen.append((subject, body))
        if self.watcher is not None:
            self.watcher(subject, body)

    def config(self, agent: str, *, name: str = "job", repeats: int = 1) -> JobConfig:
        """A job of one agent."""
        return JobConfig(
            name=name,
            sources=Sources(sources=("made",)),
            agents=(AgentChoice(name=agent),),
            out_dir=self.root / "jobs",
            repeats=repeats,
            rules=self.rules,
            pace=self.pace,
            budget=self.budget,
            protocol=self.protocol,
        )

    async def run(self, tasks: Sequence[Task], config: JobConfig) -> JobReport:
        """Begin the job, or go on with it where it is known."""
        async with Store.open(self.url) as store:
            row = await store.find_job(config.name)
        asked = stored_config(row, config) if row else config
        return await run_job(asked, tasks, self.parts(), resuming=row is not None)

    def parts(self) -> Parts:
        """What every job of this gym is run with."""
        return Parts(
            store_url=self.url,
            sandbox=self.sandbox,
            verifier=TaskTests(),
            make_agent=self.make_agent,
            version_of=lambda _: "1",
            secrets=self.secrets,
            host_env=self.host_env,
            watch=self.watch,
            make_wrapper=wrapper(self.protocol),
        )

    async def trial(self, task: Task, agent: str = "oracle", *, name: str = "job") -> TrialRecord:
        """Run one trial and return its record."""
        report = await self.run([task], self.config(agent, name=name))
        assert len(report.trials) == 1, report
        return report.trials[0]

    async def events(self, subject: str) -> list[Event]:
        """All stored events of a trial or job."""
        async with Store.open(self.url) as store:
            return await store.events(subject, limit=100_000)
