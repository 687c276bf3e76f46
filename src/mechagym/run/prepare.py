"""Making a box ready for an agent: folders, the files of a step, health, and the proof of its
network.
"""

from mechagym.errors import LimitRefused, SandboxError
from mechagym.events import Emit
from mechagym.run import boxes
from mechagym.sandbox.base import Box, ExecOptions, NetworkPolicy, SwitchesNetwork
from mechagym.sandbox.health import wait_healthy
from mechagym.sandbox.selftest import prove_network
from mechagym.tasks.model import Step

_FOLDERS = "mkdir -p /logs/agent /logs/artifacts && chmod 0777 /logs/agent /logs/artifacts"
_SETUP_S = 600.0


async def ready_folders(box: Box) -> None:
    """Make the log folders that agents expect, writable for whoever the agent runs as."""
    made = await box.exec(["sh", "-c", _FOLDERS], ExecOptions(user="root", cwd="/", timeout_s=30))
    if not made.ok:
        said = made.stderr.decode("utf-8", "replace").strip()
        raise SandboxError(f"the box's log folders could not be made: {said}")


async def ready_step(box: Box, step: Step) -> None:
    """Put the step's files into the working directory, run its set-up, wait until it is healthy."""
    if step.workdir_files is not None and step.workdir_files.is_dir():
        await box.put(step.workdir_files, box.info.workdir)
    if step.setup_script is not None:
        argv = ["sh", "-c", 'exec bash "$0" || exec sh "$0"', f"{box.info.workdir}/setup.sh"]
        done = await box.exec(argv, ExecOptions(user="root", timeout_s=_SETUP_S))
        if not done.ok:
            tail = (done.stdout + done.stderr).decode("utf-8", "replace")[-2000:]
            raise SandboxError(f"step {step.name}: setup.sh ended with {done.exit_code}\n{tail}")
    if (check := boxes.health(step.healthcheck)) is not None:
        await wait_healthy(box, check)


async def enforce_network(box: Box, policy: NetworkPolicy, now: NetworkPolicy, emit: Emit) -> None:
    """Have the policy in force and proved from inside. Raises LimitRefused where it does not hold.

    `now` is the policy the box has; an open network is not proved, since nothing is promised.
    """
    if policy != now:
        if not isinstance(box, SwitchesNetwork):
            raise LimitRefused(
                f"{box.info.backend}: the network policy cannot change between agent and verifier",
                remedy="use the docker or local sandbox for this task",
            )
        await box.use_network(policy)
    if policy.mode == "public":
        return
    proofs = await prove_network(box, policy)
    for proof in proofs:
        emit(proof)
    broken = [f"{proof.probe}: {proof.detail}" for proof in proofs if not proof.held]
    if broken:
        raise LimitRefused(
            f"network policy {policy.mode} does not hold: {'; '.join(broken)}",
            remedy="what could not be tested needs bash, python3, perl or nc in the image",
        )
