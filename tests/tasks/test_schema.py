"""Every field of the format, wherever its table may stand, with its default by schema version."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mechagym.errors import TaskError
from mechagym.tasks import schema
from mechagym.tasks.folder import load_task
from mechagym.tasks.model import Artifact, Task
from tests.tasks.folders import minimal

SCHEMA = json.loads((Path(__file__).parent.parent / "data/task-toml-1.4.schema.json").read_text())
VERSIONS = ("1.0", "1.1", "1.2", "1.3", "1.4")
OLD = ("1.0", "1.1", "1.2")


class Field(NamedTuple):
    """How a field is written, where its value is found, and what it is when absent."""

    toml: str
    attribute: str
    value: Any
    default: Any
    old_default: Any = ...  # before schema 1.3; the same, where not given


NETWORK = {
    "network_mode": Field('"no-network"', "network", "no-network", None),
    "allowed_hosts": Field(
        '["A.org."]\nnetwork_mode = "allowlist"', "allowed_hosts", ("a.org",), None
    ),
}
FIELDS: dict[str, dict[str, Field]] = {
    "AgentConfig": NETWORK
    | {
        "timeout_sec": Field("77", "timeout_s", 77.0, None),
        "user": Field("1000", "user", "1000", None),
    },
    "ArtifactConfig": {
        "source": Field('"/a/b"', "source", "/a/b", "/x"),
        "destination": Field('"c"', "destination", "c", None),
        "exclude": Field('["*.o"]', "exclude", ("*.o",), ()),
        "service": Field('"db"', "service", "db", None),
    },
    "Author": {"name": Field('"A"', "", "A", "x"), "email": Field('"a@b"', "", "x <a@b>", "x")},
    "EnvironmentConfig": {
        "network_mode": Field('"no-network"', "network", "no-network", "public"),
        "allowed_hosts": Field(
            '["*.a.org", "10.0.0.0/8"]\nnetwork_mode = "allowlist"',
            "allowed_hosts",
            ("*.a.org", "10.0.0.0/8"),
            (),
        ),
        "allow_internet": Field("false", "network", "no-network", "public"),
        "build_timeout_sec": Field("5.5", "build_timeout_s", 5.5, 600.0),
        "cpus": Field("2", "cpus", 2.0, None, 1.0),
        "docker_image": Field('"a/b:1"', "docker_image", "a/b:1", None),
        "env": Field('{A = "b"}', "env", {"A": "b"}, {}),
        "gpu_types": Field('["T4"]', "gpu_types", ("T4",), ()),
        "gpus": Field("2", "gpus", 2, 0),
        "healthcheck": Field('{command = "true"}', "healthcheck.command", "true", None),
        "mcp_servers": Field('[{name = "m", url = "u"}]', "mcp_servers.0.name", "m", None),
        "memory_mb": Field("512", "memory_mb", 512, None, 2048),
        "os": Field('"Windows"', "os", "windows", "linux"),
        "skills_dir": Field('"/s"', "skills_dir", "/s", None),
        "storage_mb": Field("99", "storage_mb", 99, None, 10_240),
        "tpu": Field('{type = "v4", topology = "2x4"}', "tpu.topology", "2x4", None),
        "workdir": Field('"/w"', "workdir", "/w", None),
    },
    "HealthcheckConfig": {
        "command": Field('"c"', "command", "c", "x"),
        "interval_sec": Field("1", "interval_s", 1.0, 5.0),
        "retries": Field("9", "retries", 9, 3),
        "start_interval_sec": Field("2", "start_interval_s", 2.0, 5.0),
        "start_period_sec": Field("3", "start_period_s", 3.0, 0.0),
        "timeout_sec": Field("4", "timeout_s", 4.0, 30.0),
    },
    "MCPServerConfig": {
        "name": Field('"n"', "name", "n", "x"),
        "transport": Field('"http"', "transport", "streamable-http", "sse"),
        "url": Field('"v"', "url", "v", "u"),
        "command": Field('"c"', "command", "c", None),
        "args": Field('["-a"]', "args", ("-a",), ()),
        "headers": Field('{H = "v"}', "headers", {"H": "v"}, {}),
    },
    "PackageInfo": {
        "name": Field('"org/n.1"', "full_name", "org/n.1", "o/x"),
        "version": Field('"2"', "version", "2", None),
        "description": Field('"d"', "description", "d", ""),
        "authors": Field('[{name = "A"}]', "authors", ("A",), ()),
        "keywords": Field('["k"]', "keywords", ("k",), ()),
    },
    "SolutionConfig": {"env": Field('{A = "${B}"}', "solution_env", {"A": "${B}"}, {})},
    "StepConfig": {
        "name": Field('"one"', "name", "one", "one"),
        "agent": Field("{timeout_sec = 5}", "agent.timeout_s", 5.0, None),
        "verifier": Field("{timeout_sec = 5}", "verifier.timeout_s", 5.0, 600.0),
        "healthcheck": Field('{command = "h"}', "healthcheck.command", "h", None),
        "artifacts": Field('["/a"]', "artifacts", (Artifact(source="/a"),), ()),
        "min_reward": Field("0.5", "min_reward", {"reward": 0.5}, {}),
    },
    "TpuSpec": {
        "type": Field('"v6e"', "type", "v6e", "x"),
        "topology": Field('"4x4"', "topology", "4x4", "2x2"),
    },
    "VerifierCollectConfig": {
        "command": Field('"c"', "command", "c", "x"),
        "service": Field('"db"', "service", "db", "main"),
        "timeout_sec": Field("7", "timeout_s", 7.0, 60.0),
        "user": Field('"u"', "user", "u", None),
    },
    "VerifierConfig": NETWORK
    | {
        "timeout_sec": Field("8", "timeout_s", 8.0, 600.0),
        "env": Field('{K = "${V:-d}"}', "env", {"K": "${V:-d}"}, {}),
        "user": Field('"v"', "user", "v", None),
        "environment_mode": Field('"separate"', "mode", "separate", "shared"),
        "environment": Field("{cpus = 3}", "environment.cpus", 3.0, None),
        "collect": Field('[{command = "c"}]', "collect.0.command", "c", None),
    },
    "root": {
        "schema_version": Field('"1.3"', "schema_version", "1.3", None),
        "source": Field('"s"', "source", "s", None),
        "multi_step_reward_strategy": Field('"final"', "reward_strategy", "final", "mean"),
        "artifacts": Field('[{source = "/a"}]', "artifacts", (Artifact(source="/a"),), ()),
        "steps": Field("[]", "steps.0.name", "main", "main"),
        "task": Field('{name = "o/n"}', "name", "n", "task"),
        "metadata": Field('{difficulty = "hard"}', "metadata", {"difficulty": "hard"}, {}),
        "agent": Field("{timeout_sec = 3}", "steps.0.agent.timeout_s", 3.0, None),
        "verifier": Field("{timeout_sec = 3}", "steps.0.verifier.timeout_s", 3.0, 600.0),
        "environment": Field('{workdir = "/w"}', "environment.workdir", "/w", None),
        "solution": Field('{env = {A = "b"}}', "solution_env", {"A": "b"}, {}),
    },
}
PARTS: dict[str, type[schema.Part]] = {
    "AgentConfig": schema.AgentPart,
    "ArtifactConfig": schema.ArtifactPart,
    "Author": schema.AuthorPart,
    "EnvironmentConfig": schema.EnvironmentPart,
    "HealthcheckConfig": schema.HealthcheckPart,
    "MCPServerConfig": schema.McpServerPart,
    "PackageInfo": schema.PackagePart,
    "SolutionConfig": schema.SolutionPart,
    "StepConfig": schema.StepPart,
    "TpuSpec": schema.TpuPart,
    "VerifierCollectConfig": schema.CollectPart,
    "VerifierConfig": schema.VerifierPart,
    "root": schema.TaskFile,
}
STEP = '[[steps]]\nname = "one"\n'
# Each place where a table may stand: its header (with what it must have), and its value in a Task.
PLACES: dict[str, list[tuple[str, str]]] = {
    "root": [("", "")],
    "PackageInfo": [('[task]\nname = "o/x"', "")],
    "Author": [('[task]\nname = "o/x"\n[[task.authors]]\nname = "x"', "authors.0")],
    "SolutionConfig": [("[solution]", "")],
    "AgentConfig": [("[agent]", "steps.0.agent"), (f"{STEP}[steps.agent]", "steps.0.agent")],
    "VerifierConfig": [
        ("[verifier]", "steps.0.verifier"),
        (f"{STEP}[steps.verifier]", "steps.0.verifier"),
    ],
    "EnvironmentConfig": [
        ("[environment]", "environment"),
        ("[verifier.environment]", "steps.0.verifier.environment"),
        (f"{STEP}[steps.verifier.environment]", "steps.0.verifier.environment"),
    ],
    "HealthcheckConfig": [
        ('[environment.healthcheck]\ncommand = "x"', "environment.healthcheck"),
        (
            '[verifier.environment.healthcheck]\ncommand = "x"',
            "steps.0.verifier.environment.healthcheck",
        ),
        (f'{STEP}[steps.healthcheck]\ncommand = "x"', "steps.0.healthcheck"),
    ],
    "MCPServerConfig": [
        ('[[environment.mcp_servers]]\nname = "x"\nurl = "u"', "environment.mcp_servers.0")
    ],
    "TpuSpec": [('[environment.tpu]\ntype = "x"\ntopology = "2x2"', "environment.tpu")],
    "VerifierCollectConfig": [
        ('[[verifier.collect]]\ncommand = "x"', "steps.0.verifier.collect.0"),
        (f'{STEP}[[steps.verifier.collect]]\ncommand = "x"', "steps.0.verifier.collect.0"),
    ],
    "ArtifactConfig": [
        ('[[artifacts]]\nsource = "/x"', "artifacts.0"),
        (f'{STEP}[[steps.artifacts]]\nsource = "/x"', "steps.0.artifacts.0"),
    ],
    "StepConfig": [(STEP, "steps.0")],
}
CASES = [
    pytest.param(header, base, name, field, id=f"{base or 'task'}-{shape}.{name}-{index}")
    for shape, places in PLACES.items()
    for index, (header, base) in enumerate(places)
    for name, field in FIELDS[shape].items()
]


def at(value: Any, path: str) -> Any:
    """Follow a dotted path through values, tuples and mappings; None where it ends early."""
    for part in filter(None, path.split(".")):
        if value is None:
            return None
        if isinstance(value, tuple):
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Task]:
    def loaded(text: str) -> Task:
        more = {"steps/one/instruction.md": "x", "tests/test.bat": ""}
        return load_task(minimal(tmp_path / "task", {"task.toml": text, **more}))

    return loaded


@pytest.mark.must("trials-1")
def test_the_tables_name_every_field_of_the_published_schema():
    shapes = {name: shape for name, shape in SCHEMA["$defs"].items() if "properties" in shape}
    shapes["root"] = SCHEMA
    assert set(FIELDS) == set(shapes) == set(PLACES) == set(PARTS)
    for name, shape in shapes.items():
        assert set(FIELDS[name]) == set(shape["properties"]), name
        assert set(shape["properties"]) <= set(PARTS[name].model_fields), name
        required = {k for k, f in PARTS[name].model_fields.items() if f.is_required()}
        assert required == set(shape.get("required", [])), name


@pytest.mark.must("trials-1")
@pytest.mark.parametrize("name", sorted(PARTS))
def test_each_default_is_the_published_one(name: str):
    shape = SCHEMA if name == "root" else SCHEMA["$defs"][name]
    for key, published in shape["properties"].items():
        if "default" in published:
            ours = PARTS[name].model_fields[key].get_default(call_default_factory=True)
            assert ours == published["default"], key


def with_key(header: str, name: str, toml: str) -> str:
    """Set a key of a header's last table, in place of the value that it has there."""
    head, bracket, table = header.rstrip().rpartition("[")
    lines = [line for line in table.split("\n") if not line.startswith(f"{name} =")]
    return "\n".join([f"{head}{bracket}{lines[0]}", *lines[1:], f"{name} = {toml}"])


def found_in(task: Task, base: str, field: Field) -> Any:
    return at(task, ".".join(filter(None, (base, field.attribute))))


@pytest.mark.must("trials-1")
@pytest.mark.parametrize(("header", "base", "name", "field"), CASES)
def test_each_field_is_read(load, header: str, base: str, name: str, field: Field):
    for version in VERSIONS if name != "schema_version" else ():
        task = load(f'schema_version = "{version}"\n{with_key(header, name, field.toml)}\n')
        assert found_in(task, base, field) == field.value
        assert task.unknown_keys == ()


@pytest.mark.must("trials-1")
@pytest.mark.parametrize(("header", "base", "name", "field"), CASES)
def test_each_absent_field_has_its_default(load, header: str, base: str, name: str, field: Field):
    for version in VERSIONS if name != "schema_version" else ():
        old = version in OLD and field.old_default is not ...
        task = load(f'schema_version = "{version}"\n{header}\n')
        assert found_in(task, base, field) == (field.old_default if old else field.default)


@pytest.mark.must("trials-1")
def test_the_version_itself(load):
    assert [load(f'schema_version = "{v}"').schema_version for v in VERSIONS] == [*VERSIONS]
    assert load("").schema_version == SCHEMA["properties"]["schema_version"]["default"]


@pytest.mark.must("trials-1")
@pytest.mark.parametrize("key", ["version", "schema_version"])
def test_the_old_key_of_the_version_counts(load, key: str):
    task = load(f'{key} = "1.0"')
    assert (task.schema_version, task.environment.cpus) == ("1.0", 1.0)
    assert (task.environment.memory_mb, task.environment.storage_mb) == (2048, 10_240)


@pytest.mark.must("trials-1")
@pytest.mark.parametrize(
    ("written", "mb"),
    [("2G", 2048), ("512M", 512), ("1.5g", 1536), ("4096K", 4), ("1T", 1 << 20), ("2 GiB", 2048)],
)
def test_old_sizes(load, written: str, mb: int):
    environment = load(f'[environment]\nmemory = "{written}"\nstorage = "{written}"').environment
    assert (environment.memory_mb, environment.storage_mb) == (mb, mb)


@pytest.mark.must("trials-1")
@pytest.mark.parametrize(
    ("lines", "network"),
    [
        ("", "public"),
        ("allow_internet = true", "public"),
        ("allow_internet = false", "no-network"),
        ('allow_internet = false\nnetwork_mode = "public"', "public"),
        ('network_mode = "allowlist"\nallowed_hosts = ["a.org"]', "allowlist"),
    ],
)
def test_old_and_new_network(load, lines: str, network: str):
    assert load(f"[environment]\n{lines}").environment.network == network


@pytest.mark.must("trials-1")
@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[environment]\n\ncpus = -1", 3, "environment.cpus: must be greater than 0, not -1"),
        ('[environment]\nnetwork_mode = "off"', 2, "'public', 'no-network' or 'allowlist'"),
        ('[environment]\nmemory = "lots"', 2, 'must be a size such as "2G"'),
        ("[environment]\nmemory = 4", 2, 'must be a size such as "2G"'),
        ('[environment]\nmemory = "1G"\nmemory_mb = 5', 1, "say different things"),
        ('[environment]\nallowed_hosts = ["a.org"]', 1, 'needs network_mode = "allowlist"'),
        (
            '[environment]\nnetwork_mode = "allowlist"\nallowed_hosts = ["http://a.org/x"]',
            3,
            "must be a host name, *.suffix, an address or a CIDR range",
        ),
        ("[agent]\ntimeout_sec = true", 2, "must be a number"),
        ("[agent]\ntimeout_sec = nan", 2, "agent.timeout_sec"),
        ('[agent]\ntimeout_sec = "soon"', 2, "must be a valid number"),
        ('x = 1\n[[steps]]\nname = "a"\n[[steps]]\nname = "../b"', 5, "plain folder name"),
        ('[[steps]]\nname = "a"\n[[steps]]\nname = "A"', 1, "two steps named"),
        ('version = "new"', 1, 'such as "1.4"'),
        ('artifacts = ["../../etc"]', 1, 'without ".."'),
        ('[[artifacts]]\nsource = "a"\ndestination = "/etc"', 3, "relative"),
        ('[task]\nname = "a/b/c"', 2, "org/name"),
        ("[task]\nversion = '1'", 1, "task.name is missing"),
        ('[environment.env]\nA = """\n[x]\n"""\nB = 5', 5, "environment.env.B"),
        ("[verifier]\nenvironment_mode = 'shared'\n[verifier.environment]", 1, "separate"),
        ("[[environment.mcp_servers]]\nname = 'm'", 1, 'needs a "url"'),
        ('[agent]\nuser = ""', 2, "agent.user must not be empty"),
        ("environment = 5", 1, "environment"),
        ("a = ", 1, "not valid TOML"),
        ("a = 1\nb = 2\na = 3\n", 3, "Cannot overwrite"),
    ],
)
def test_a_fault_names_file_and_line_and_what_is_allowed(
    load, tmp_path: Path, text: str, line: int, says: str
):
    with pytest.raises(TaskError) as caught:
        load(text)
    message = caught.value.message
    assert message.startswith(f"{tmp_path}/task/task.toml:{line}: ")
    assert says in message


def test_unknown_keys_are_kept_and_listed(load):
    task = load(
        "shiny = 1\n[environment]\nmemroy_mb = 5\n[environment.new_thing]\nx = 1\n"
        '[verifier]\n[[verifier.collect]]\ncommand = "c"\nwhen = 1\n[metadata]\nfree = 1\n'
        '[[steps]]\nname = "one"\nodd = 1\n'
    )
    assert task.unknown_keys == (
        "environment.memroy_mb",
        "environment.new_thing",
        "shiny",
        "steps[0].odd",
        "verifier.collect[0].when",
    )


def test_what_a_step_does_not_say_the_task_says_for_it(load):
    task = load(
        '[agent]\ntimeout_sec = 9\nuser = "agent"\nnetwork_mode = "no-network"\n'
        '[verifier]\ntimeout_sec = 33\nuser = "root"\n[verifier.env]\nA = "1"\nB = "1"\n'
        '[[verifier.collect]]\ncommand = "first"\n[verifier.environment]\ncpus = 2\n'
        '[[steps]]\nname = "one"\n[steps.agent]\nuser = "two"\n'
        '[steps.verifier.env]\nB = "2"\n[[steps.verifier.collect]]\ncommand = "then"\n'
    )
    step = task.steps[0]
    assert (step.agent.timeout_s, step.agent.user, step.agent.network) == (9, "two", "no-network")
    assert (step.verifier.timeout_s, step.verifier.user) == (33, "root")
    assert step.verifier.env == {"A": "1", "B": "2"}
    assert [c.command for c in step.verifier.collect] == ["first", "then"]
    assert step.verifier.mode == "separate"
    assert step.verifier.environment
    assert step.verifier.environment.cpus == 2


def test_metadata_is_plain_json(load):
    text = "[metadata]\nday = 2024-02-29\nat = 07:30:00\nnever = nan\ndeep = {a = [1, {b = inf}]}"
    assert load(text).metadata == {
        "day": "2024-02-29",
        "at": "07:30:00",
        "never": "nan",
        "deep": {"a": [1, {"b": "inf"}]},
    }
