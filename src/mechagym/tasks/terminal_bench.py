"""Terminal-Bench 1 tasks (`task.yaml`, `run-tests.sh`, `solution.sh`, `docker-compose.yaml`).

One is rewritten as a Harbor folder: the tests' exit code becomes the reward (for `swebench`, whose
script ends well in any case, the word that it prints), the compose service `client` becomes `main`
(and no compose file where there is nothing else), and the build context loses what the agent must
not see.
"""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from mechagym.errors import TaskError
from mechagym.records import Json
from mechagym.tasks.cache import cache_folder, made_once
from mechagym.tasks.compose import Machine, read_machine
from mechagym.tasks.digest import task_digest
from mechagym.tasks.faults import fault_text
from mechagym.tasks.schema import Part, Seconds
from mechagym.tasks.sections import plain
from mechagym.tasks.texts import read_text, read_yaml
from mechagym.tasks.write import toml_text, write_text

_COPY = re.compile(r"^\s*(?:COPY|ADD)\s+(.+)$", re.MULTILINE | re.IGNORECASE)
FORM = "2"  # counts up when a conversion changes, so that no old one is used
NEVER_IN_IMAGE = (
    "task.yaml",
    "run-tests.sh",
    "solution.sh",
    "solution.yaml",
    "docker-compose.yaml",
    "tests",
    ".git",
)
PLAIN_PYTEST = "pytest $TEST_DIR/test_outputs.py -rA\n"  # what the form means without a script
TEST_SH = """\
#!/bin/bash
# The exit code of run-tests.sh is the reward.
export TEST_DIR=/tests
bash /tests/run-tests.sh
code=$?
mkdir -p /logs/verifier
if [ "$code" -eq 0 ]; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
exit "$code"
"""
SWEBENCH_SH = """\
#!/bin/bash
# run-tests.sh ends with 0 in any case: what it prints below its last headline is the reward.
export TEST_DIR=/tests
mkdir -p /logs/verifier
bash /tests/run-tests.sh > /logs/verifier/run-tests.txt
cat /logs/verifier/run-tests.txt
said= reading=
while IFS= read -r line; do
    case $line in
        *"SWEBench results starts here"*) said= reading=1 ;;
        *"SWEBench results ends here"*) reading= ;;
        *) [ -z "$reading" ] || said+="$line" ;;
    esac
done < /logs/verifier/run-tests.txt
if [ "$said" = PASSED ]; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
"""
JUDGES = {"swebench": SWEBENCH_SH}
"""The entry point by the task's `parser_name`, where the exit code would not tell."""


class TaskYaml(Part):
    """`task.yaml`; what is not named here is metadata."""

    instruction: str | None = None
    descriptions: tuple[Mapping[str, str], ...] = ()
    max_agent_timeout_sec: Seconds = 360.0
    max_test_timeout_sec: Seconds = 60.0
    parser_name: str = "pytest"


class Command(Part):
    """One entry of a `solution.yaml`."""

    command: str


def converted(folder: Path, cache: Path | None) -> Path:
    """Return the task as a Harbor folder of the same name in the cache. Raises TaskError."""
    home = cache_folder(cache) / "terminal-bench-1" / f"{FORM}-{task_digest(folder)[:24]}"
    return made_once(home / folder.name, lambda target: convert(folder, target))


def convert(folder: Path, target: Path) -> None:
    """Write the task in `folder` into the empty `target`, as Harbor's form. Raises TaskError."""
    task = _read_task(folder)
    machine = read_machine(folder)
    write_text(target / "instruction.md", _instruction(folder / "task.yaml", task))
    write_text(target / "task.toml", toml_text(_task_toml(task, machine)))
    _copy_tests(folder, target, JUDGES.get(task.parser_name, TEST_SH))
    _copy_solution(folder, target)
    _copy_environment(folder, target, machine)


def _read_task(folder: Path) -> TaskYaml:
    path = folder / "task.yaml"
    try:
        return TaskYaml.model_validate(read_yaml(path))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        line = _yaml_line(path, str(fault["loc"][0])) if fault["loc"] else 1
        raise TaskError(f"{path}:{line}: {fault_text(fault)}", reason="task_invalid") from None


def _yaml_line(path: Path, key: str) -> int:
    found = re.search(rf"^{re.escape(key)}[ \t]*:", text := read_text(path), re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else 1


def _instruction(path: Path, task: TaskYaml) -> str:
    said = [task.instruction] if task.instruction is not None else []
    said += [d["description"] for d in task.descriptions if "description" in d]
    if not said:
        raise TaskError(f"{path}:1: instruction is missing", reason="task_invalid")
    return said[0] if said[0].endswith("\n") else f"{said[0]}\n"


def _task_toml(task: TaskYaml, machine: Machine) -> dict[str, Json]:
    return {
        "schema_version": "1.4",
        "metadata": {
            "parser_name": task.parser_name,
            **{str(k): plain(v) for k, v in (task.model_extra or {}).items()},
        },
        "agent": {"timeout_sec": task.max_agent_timeout_sec},
        "verifier": {"timeout_sec": task.max_test_timeout_sec},
        "environment": {
            "docker_image": machine.image,
            "workdir": machine.workdir,
            "cpus": machine.cpus,
            "memory_mb": machine.memory_mb,
            "env": {"TEST_DIR": "/tests", **machine.env},
        },
    }


def _copy_tests(folder: Path, target: Path, judge: str) -> None:
    script = folder / "run-tests.sh"
    text = read_text(script) if script.exists() else PLAIN_PYTEST
    if (folder / "tests" / "test.sh").exists():
        raise TaskError(f"{folder / 'tests' / 'test.sh'}: this name is taken by the entry point")
    if (folder / "tests").is_dir():
        shutil.copytree(folder / "tests", target / "tests", symlinks=True)
    (target / "tests").mkdir(exist_ok=True)
    write_text(target / "tests" / "run-tests.sh", text, executable=True)
    write_text(target / "tests" / "test.sh", judge, executable=True)


def _copy_solution(folder: Path, target: Path) -> None:
    script, listed = folder / "solution.sh", folder / "solution.yaml"
    if script.is_file():
        write_text(target / "solution" / "solve.sh", read_text(script), executable=True)
    elif listed.is_file():
        try:
            commands = [Command.model_validate(entry) for entry in read_yaml(listed) or ()]
        except (ValidationError, TypeError):
            raise TaskError(f"{listed}:1: must be a list of entries with a `command`") from None
        text = "\n".join(["#!/bin/bash", *(entry.command for entry in commands), ""])
        write_text(target / "solution" / "solve.sh", text, executable=True)


def _copy_environment(folder: Path, target: Path, machine: Machine) -> None:
    environment = target / "environment"
    for context in dict.fromkeys((machine.context, *machine.other_contexts)):
        inside = environment if context == machine.context else environment / context
        if (folder / context).is_dir():
            _copy_context(folder, context, inside, machine)
    dockerfile = environment / machine.dockerfile
    if machine.dockerfile != "Dockerfile" and dockerfile.is_file():
        shutil.copyfile(dockerfile, environment / "Dockerfile")
    copied = [(name, place) for name, place in machine.copied if (environment / name).exists()]
    if copied:
        with (environment / "Dockerfile").open("a", encoding="utf-8") as file:
            file.write("\n# what was mounted here\n")
            file.writelines(f"COPY {json.dumps(both)}\n" for both in copied)
    if machine.compose is not None:
        text = yaml.safe_dump(machine.compose, sort_keys=False, allow_unicode=True)
        write_text(environment / "docker-compose.yaml", text)


def _copy_context(folder: Path, context: str, target: Path, machine: Machine) -> None:
    source = folder / context
    wanted = _named_in(source / machine.dockerfile)
    hidden = [name for name in NEVER_IN_IMAGE if name not in wanted]

    def left_out(directory: str, _names: list[str]) -> list[str]:
        return hidden if Path(directory).resolve() == folder.resolve() else []

    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=left_out)


def _named_in(dockerfile: Path) -> frozenset[str]:
    """Return what a Dockerfile copies by name: it must stay, or the image could not be built."""
    if not dockerfile.is_file():
        return frozenset()
    copied = _COPY.findall(read_text(dockerfile))
    words = (word.removeprefix("./") for line in copied for word in line.split()[:-1])
    return frozenset(word.partition("/")[0] for word in words)
