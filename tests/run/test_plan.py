"""The matrix of a job, its box specs, and the values it takes from the host."""

from dataclasses import replace
from pathlib import Path

import pytest

from mechagym.errors import ConfigError, TaskRefused
from mechagym.run import boxes
from mechagym.run.config import AgentChoice, JobConfig, Rules, Sources
from mechagym.run.hostenv import asked_for, named_secrets, resolve
from mechagym.run.plan import plan_trials, rejoin
from mechagym.sandbox.base import BuildImage, HostRoot, Labels, NetworkPolicy, RegistryImage
from mechagym.tasks.model import AgentSection, Environment, Step, Task, VerifierSection

HERE = Path("/tasks")


def task(name: str = "a.1", **fields) -> Task:
    step = fields.pop("step", {})
    return Task(
        name=name,
        folder=HERE / name,
        digest=f"digest-{name}",
        schema_version="1.4",
        steps=(
            Step(
                name="main",
                instruction="do {it} `now` $(x)",
                tests_dir=HERE / name / "tests",
                solution_dir=HERE / name / "solution",
                **step,
            ),
        ),
        **fields,
    )


def config(**fields) -> JobConfig:
    defaults = {
        "name": "job",
        "sources": Sources(sources=("x",)),
        "agents": (AgentChoice(name="oracle"), AgentChoice(name="nop", options={"a": "1"})),
        "out_dir": Path("/out"),
        "repeats": 2,
    }
    return JobConfig(**{**defaults, **fields})


def version_of(_: AgentChoice) -> str:
    return "0.1"


def test_the_matrix_is_whole_and_even():
    plans = plan_trials(config(), "j", [task("b"), task("a")], version_of)
    cells = [(p.key.repeat, p.key.task, p.key.agent) for p in plans]
    assert len(set(cells)) == len(cells) == 2 * 2 * 2
    assert [c[0] for c in cells] == [1] * 4 + [2] * 4
    assert {c[2] for c in cells} == {"oracle@0.1", "nop@0.1[a=1]"}
    assert len({p.key.trial_name for p in plans}) == len(plans)


def test_a_trial_name_is_cut_and_unique():
    long = task("x" * 80)
    plan, *_ = plan_trials(config(), "j", [long], version_of)
    assert plan.key.trial_name.startswith("x" * 32 + "__")
    assert len(plan.key.trial_name) == 32 + 2 + 7


def test_rejoin_gives_the_same_plans():
    tasks = [task("a"), task("b")]
    plans = plan_trials(config(), "j", tasks, version_of)
    assert rejoin([p.key for p in plans], config(), tasks, version_of) == plans


@pytest.mark.parametrize(
    ("tasks", "says"),
    [([], "is gone"), ([replace(task("a"), digest="other")], "has changed")],
)
def test_rejoin_refuses_another_task(tasks, says):
    plans = plan_trials(config(), "j", [task("a")], version_of)
    with pytest.raises(ConfigError, match=says):
        rejoin([p.key for p in plans], config(), tasks, version_of)


def test_rejoin_refuses_another_agent_version():
    plans = plan_trials(config(), "j", [task("a")], version_of)
    with pytest.raises(ConfigError, match="not installed any more"):
        rejoin([p.key for p in plans], config(), [task("a")], lambda _: "0.2")


def test_the_digest_is_of_what_can_change_a_result():
    assert config(name="other", out_dir=Path("/else")).digest == config().digest
    assert config(repeats=3).digest != config().digest
    assert config(rules=Rules(timeout_multiplier=2.0)).digest != config().digest
    assert config(agents=(AgentChoice(name="oracle"),)).digest != config().digest


@pytest.mark.parametrize("name", ["", "../x", "a b", ".hidden", "x" * 81])
def test_bad_job_names_are_refused(name):
    with pytest.raises(ConfigError, match="job name"):
        config(name=name)


def test_image_choice():
    both = task(
        environment=Environment(docker_image="x:1"),
        dockerfile=HERE / "environment" / "Dockerfile",
        environment_digest="e",
    )
    built = BuildImage(context=HERE / "environment", digest="e")
    assert boxes.image_of(both, Rules()) == RegistryImage(reference="x:1")
    assert boxes.image_of(both, Rules(force_build=True)) == built
    assert isinstance(boxes.image_of(both, Rules(base="host")), HostRoot)
    only_image = replace(both, dockerfile=None)
    assert isinstance(boxes.image_of(only_image, Rules(force_build=True)), RegistryImage)
    with pytest.raises(TaskRefused, match="neither a docker_image nor"):
        boxes.image_of(task(), Rules())


def test_networks_by_phase():
    one = task(
        environment=Environment(network="allowlist", allowed_hosts=("a.example",)),
        step={
            "agent": AgentSection(network="no-network"),
            "verifier": VerifierSection(allowed_hosts=("b.example",)),
        },
    )
    step = one.steps[0]
    assert boxes.agent_network(one, step) == NetworkPolicy(mode="no-network")
    assert boxes.verifier_network(one, step) == NetworkPolicy(
        mode="allowlist", allowed_hosts=("b.example",)
    )


def test_limits_reach_the_box():
    spec = boxes.agent_box(
        task(environment=Environment(docker_image="x", cpus=2, memory_mb=64, storage_mb=9)),
        Rules(),
        Labels(job_id="j"),
    )
    assert (spec.limits.cpus, spec.limits.memory_mb, spec.limits.storage_mb) == (2, 64, 9)
    assert spec.labels.job_id == "j"


def test_host_values_are_filled_in_and_known_as_secrets():
    raw = {"A": "x${KEY}y", "B": "${MODEL:-small}", "C": "$HOME {plain}"}
    host = {"KEY": "s3cret"}
    assert resolve(raw, host, whose="v") == {"A": "xs3crety", "B": "small", "C": "$HOME {plain}"}
    one = task(step={"verifier": VerifierSection(env=raw)})
    assert asked_for(config(), [one], host) == {"KEY": "s3cret"}
    raw = {"A": "${HOME}", "B": "${DEBUG}", "C": "${KEY}"}
    one = task(solution_env=raw)
    others = {"HOME": "/home/ada", "DEBUG": "1", "TOP": "s3cret-too"}
    assert asked_for(config(), [one], {**others, **host}) == {"KEY": "s3cret"}
    keyed = config(agents=(AgentChoice(name="oracle", options={"key": "${TOP}"}),))
    assert asked_for(keyed, [], {**others, **host}) == {"TOP": "s3cret-too"}


def test_secrets_are_known_by_their_names():
    secret = {
        "ANTHROPIC_API_KEY": "sk-ant-81",
        "GITHUB_TOKEN": "ghp-81-81",
        "DB_PASSWORD": "hunter2hunter2",
        "Corp_ApiKey": "key-81-81",
    }
    plain = {
        "KEYBOARD": "de_CH-latin1",
        "TOKENS_LEFT": "1000000",
        "SHORT_KEY": "de",
        "PATH": "/bin",
    }
    assert named_secrets({**secret, **plain}) == secret


def test_a_missing_host_value_refuses_with_the_command():
    with pytest.raises(TaskRefused, match=r"needs KEY(.|\n)*export KEY="):
        resolve({"A": "${KEY}"}, {}, whose="the verifier")
