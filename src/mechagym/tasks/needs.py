"""What a task asks of a host beyond an ordinary Linux box: the facts a refusal is made of."""

from mechagym.tasks.model import Environment, Task


def needs(task: Task) -> tuple[str, ...]:
    """List the needs as stable words, such as `gpus:2`, `os:windows`, `network:allowlist`."""
    found: list[str] = []
    for machine in (task.environment, *(s.verifier.environment for s in task.steps)):
        if machine is not None:
            found += _machine_needs(machine)
    if task.compose_file is not None:
        found.append("compose")
    for step in task.steps:
        modes = (step.agent.network, step.verifier.network)
        found += [f"network:{mode}" for mode in modes if mode not in (None, "public")]
        if step.verifier.mode == "separate":
            found.append("second box")
    return tuple(dict.fromkeys(found))


def _machine_needs(machine: Environment) -> list[str]:
    return [
        word
        for word, needed in (
            (f"gpus:{machine.gpus}", machine.gpus > 0),
            ("tpu", machine.tpu is not None),
            (f"os:{machine.os}", machine.os != "linux"),
            (f"network:{machine.network}", machine.network != "public"),
        )
        if needed
    ]
