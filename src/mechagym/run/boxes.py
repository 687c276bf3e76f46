"""From a task to the spec of its box: which image, which limits, which network, for agent and
verifier.
"""

from pathlib import Path

from mechagym.errors import TaskRefused
from mechagym.run.config import Rules
from mechagym.sandbox.base import (
    BoxSpec,
    BuildImage,
    Healthcheck,
    HostRoot,
    Image,
    Labels,
    Limits,
    NetworkPolicy,
    RegistryImage,
)
from mechagym.tasks import model as tasks
from mechagym.tasks.model import Environment, Step, Task


def agent_box(task: Task, rules: Rules, labels: Labels) -> BoxSpec:
    """The box that the agent works in. Raises TaskRefused where the task names no image at all."""
    return _spec(task, task.environment, image_of(task, rules), labels)


def verifier_box(task: Task, step: Step, rules: Rules, labels: Labels) -> BoxSpec:
    """A second box: from the verifier's own image where it has one, else from the task's."""
    environment = step.verifier.environment or task.environment
    image = image_of(task, rules)
    if (dockerfile := _own_dockerfile(task, step)) is not None:
        image = _built(dockerfile, f"{task.digest}-{step.name}-tests", environment, rules)
    elif _own_image(step) and rules.base == "image":
        image = RegistryImage(reference=environment.docker_image or "")
    return _spec(task, environment, image, labels)


def tests_in_image(task: Task, step: Step) -> bool:
    """Whether the verifier's own image brings `/tests` with it."""
    return _own_dockerfile(task, step) is not None


def _own_dockerfile(task: Task, step: Step) -> Path | None:
    if step.verifier.mode == "shared" or _own_image(step):
        return None
    return step.verifier_dockerfile or task.verifier_dockerfile


def _own_image(step: Step) -> bool:
    environment = step.verifier.environment
    return step.verifier.mode == "separate" and bool(environment and environment.docker_image)


def image_of(task: Task, rules: Rules) -> Image:
    """The task format's rule: `docker_image`, else the Dockerfile, else a refusal."""
    environment = task.environment
    dockerfile = task.dockerfile
    if (
        environment.docker_image
        and not (rules.force_build and dockerfile)
        and rules.base == "image"
    ):
        return RegistryImage(reference=environment.docker_image)
    if dockerfile is not None:
        return _built(dockerfile, task.environment_digest or task.digest, environment, rules)
    if rules.base == "host":
        return HostRoot()
    raise TaskRefused(
        f"{task.task_id}: neither a docker_image nor an environment/Dockerfile",
        remedy="add one of them, or run it on this host's own root with --base host",
        reason="no_image",
    )


def agent_network(task: Task, step: Step) -> NetworkPolicy:
    """The policy while the agent works: the step's own, else the environment's."""
    return _network(task.environment, step.agent.network, step.agent.allowed_hosts)


def verifier_network(task: Task, step: Step) -> NetworkPolicy:
    """The policy while the tests run: the verifier's own, else the environment's."""
    environment = step.verifier.environment or task.environment
    return _network(environment, step.verifier.network, step.verifier.allowed_hosts)


def stays_offline(task: Task) -> bool:
    """Whether no phase of the task has an open network."""
    phases = (agent_network, verifier_network)
    return all(of(task, step).mode != "public" for step in task.steps for of in phases)


def _network(
    environment: Environment, mode: str | None, hosts: tuple[str, ...] | None
) -> NetworkPolicy:
    own = mode or environment.network
    allowed = (hosts if hosts is not None else environment.allowed_hosts) or ()
    match own:
        case "public" | "no-network":
            return NetworkPolicy(mode=own)
        case "allowlist":
            return NetworkPolicy(mode=own, allowed_hosts=allowed)
        case _:
            raise TaskRefused(f"unknown network mode {own!r}", reason="network_mode")


def _built(dockerfile: Path, digest: str, environment: Environment, rules: Rules) -> Image:
    shape = HostRoot if rules.base == "host" else BuildImage
    return shape(
        context=dockerfile.parent,
        digest=digest,
        dockerfile=dockerfile.name,
        timeout_s=environment.build_timeout_s,
    )


def _spec(task: Task, environment: Environment, image: Image, labels: Labels) -> BoxSpec:
    return BoxSpec(
        image=image,
        workdir=environment.workdir,
        env=dict(environment.env),
        limits=Limits(
            cpus=environment.cpus,
            memory_mb=environment.memory_mb,
            storage_mb=environment.storage_mb,
            gpus=environment.gpus,
        ),
        network=_network(environment, None, None),
        healthcheck=health(environment.healthcheck),
        labels=labels,
        compose=task.compose_file,
        os=environment.os,
    )


def health(check: tasks.Healthcheck | None) -> Healthcheck | None:
    """A task's health check, the environment's or a step's, as a box is asked for it."""
    if check is None:
        return None
    return Healthcheck(
        command=check.command,
        interval_s=check.interval_s,
        timeout_s=check.timeout_s,
        start_period_s=check.start_period_s,
        start_interval_s=check.start_interval_s,
        retries=check.retries,
    )
