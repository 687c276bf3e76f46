"""The parts of the local backend that only decide: bundle, Dockerfile, users, groups, layers, way
of names.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.errors import ImageError, SandboxError, SandboxUnusable
from mechagym.sandbox.base import MIB, Limits, NetworkPolicy
from mechagym.sandbox.local import bundle, cgroups, dockerfile, keeping, network, runtime, users
from mechagym.sandbox.local.unpacking import Place, place_of

PASSWD = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001:Ann:/home/ann:/bin/sh\nbad line\nx:y:z\n"
GROUP = "root:x:0:\nann:x:1001:\nwheel:x:27:ann,root\nvideo:x:44:ann\n"


def config(**about: object) -> dict[str, Any]:
    about = {"hostname": "h", "argv": ("sh",), **about}
    made: dict[str, Any] = json.loads(bundle.config(bundle.Bundle(**about)))  # type: ignore[arg-type]
    return made


def test_a_bundle_keeps_the_box_in():
    made = config(env={"A": "1"}, binds=(bundle.Bind(source="/x", target="/y"),))
    process, linux = made["process"], made["linux"]
    assert process["noNewPrivileges"] is True
    assert len(process["capabilities"]["bounding"]) == 14
    assert "CAP_SYS_ADMIN" not in process["capabilities"]["bounding"]
    assert process["env"] == [f"PATH={bundle.PATH}", "HOME=/root", "A=1"]
    assert {n["type"] for n in linux["namespaces"]} == {
        "pid", "network", "ipc", "uts", "mount", "cgroup",
    }  # fmt: skip
    assert all("path" not in n for n in linux["namespaces"])
    assert {"/proc/kcore", "/proc/keys"} <= set(linux["maskedPaths"])
    assert {"/proc/sys", "/proc/sysrq-trigger"} <= set(linux["readonlyPaths"])
    by_target = {mount["destination"]: mount for mount in made["mounts"]}
    assert "ro" in by_target["/sys"]["options"]
    assert {"ro", "nosuid", "nodev"} <= set(by_target["/y"]["options"])


def test_only_root_holds_capabilities():
    user = bundle.User(uid=1000, gid=1000, groups=(27,), home="/home/ann")
    process = bundle.process(("id",), user, {}, cwd="/w")
    held = process["capabilities"]
    assert held["effective"] == held["permitted"] == held["inheritable"] == held["ambient"] == []
    assert process["user"]["additionalGids"] == [27]
    assert "HOME=/home/ann" in process["env"]


def test_dangerous_system_calls_are_not_on_the_list():
    profile = bundle.seccomp("x86_64")
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {
        name
        for rule in profile["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule
        for name in rule["names"]
    }
    for name in [
        "mount",
        "umount2",
        "unshare",
        "setns",
        "pivot_root",
        "bpf",
        "keyctl",
        "add_key",
        "init_module",
        "kexec_load",
        "reboot",
        "swapon",
        "open_by_handle_at",
        "userfaultfd",
        "perf_event_open",
        "io_uring_setup",
        "clone",
        "socket",
        "clone3",
    ]:
        assert name not in allowed, name
    assert {"openat", "execve", "chown", "futex", "ptrace", "rseq", "statx"} <= allowed
    clone = next(rule for rule in profile["syscalls"] if rule["names"] == ["clone"])
    assert clone["args"][0]["op"] == "SCMP_CMP_MASKED_EQ"


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("./etc/passwd", Place("/etc/passwd", "entry")),
        ("./", Place("/", "entry")),
        ("/abs", Place("/abs", "entry")),
        ("../../out", Place("/out", "entry")),
        ("a/.wh.b", Place("/a/b", "whiteout")),
        (".wh.b", Place("/b", "whiteout")),
        ("a/.wh..wh..opq", Place("/a", "opaque")),
        ("a/.wh", Place("/a/.wh", "entry")),
    ],
)
def test_names_of_a_layer(name, place):
    assert place_of(name) == place


@given(st.text(st.sampled_from("./awh\\"), max_size=30))
def test_no_name_of_a_layer_leads_out(name):
    path = place_of(name).path
    assert path.startswith("/")
    assert ".." not in path.split("/")


@pytest.mark.parametrize(
    ("wanted", "uid", "gid", "groups"),
    [
        ("ann", 1000, 1001, (27, 44)),
        ("1000", 1000, 1001, (27, 44)),
        ("ann:wheel", 1000, 27, ()),
        ("ann:7", 1000, 7, ()),
        ("4321", 4321, 0, ()),
        ("0:0", 0, 0, ()),
    ],
)
def test_users_are_those_of_the_box(wanted, uid, gid, groups):
    found = users.resolve(wanted, PASSWD, GROUP)
    assert (found.uid, found.gid, found.groups) == (uid, gid, groups)


@pytest.mark.parametrize("wanted", ["nemo", "ann:nobody", "70000"])
def test_users_that_are_not_there(wanted):
    with pytest.raises(SandboxError):
        users.resolve(wanted, PASSWD, GROUP)


def test_a_dockerfile_is_read_as_docker_reads_it():
    recipe = dockerfile.parse(
        "# syntax=docker/dockerfile:1\nARG V=3\nFROM python:${V} AS x\n"
        'ENV A b c\nENV B=1 C="two words"\nRUN a && \\\n  # in between\n\n  b\n'
        'RUN ["x", "y z"]\nCOPY --chown=1:2 ["a b", "c"]\nLABEL a=b\n'
    )
    assert recipe.base == "python:3"
    assert [(line.name, line.words) for line in recipe.lines] == [
        ("ENV", ("A", "b", "c")),
        ("ENV", ("B=1", "C=two words")),
        ("RUN", ("/bin/sh", "-c", "a &&    b")),
        ("RUN", ("x", "y z")),
        ("COPY", ("a b", "c")),
    ]
    assert recipe.lines[-1].flags == {"chown": "1:2"}
    assert dockerfile.pairs(recipe.lines[0].words) == {"A": "b c"}
    assert dockerfile.pairs(recipe.lines[1].words) == {"B": "1", "C": "two words"}


@pytest.mark.parametrize("text", ["", "RUN true\n", "FROM a\nFROM b\n", "FROM a\nCOPY 'open\n"])
def test_what_is_no_dockerfile_for_us(text):
    with pytest.raises(ImageError):
        dockerfile.parse(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("$A/x", "1/x"),
        ("${A}b", "1b"),
        ("${NO:-d}", "d"),
        ("${A:-d}", "1"),
        ("${A:+y}${NO:+y}", "y"),
        (r"\$A", "$A"),
        ("$NO", ""),
    ],
)
def test_variables(text, wanted):
    assert dockerfile.expand(text, {"A": "1"}) == wanted


def test_limits_in_both_versions_of_control_groups():
    limits = Limits(memory_mb=64, cpus=1.5, pids=10)
    one = {name: value for _, name, value in cgroups.settings(limits, unified=False)}
    two = {name: value for _, name, value in cgroups.settings(limits, unified=True)}
    assert one["memory.limit_in_bytes"] == two["memory.max"] == str(64 * MIB)
    assert one["memory.memsw.limit_in_bytes"] == str(64 * MIB)
    assert two["memory.swap.max"] == "0"
    assert (one["cpu.cfs_quota_us"], one["cpu.cfs_period_us"]) == ("150000", "100000")
    assert two["cpu.max"] == "150000 100000"
    assert one["pids.max"] == two["pids.max"] == "10"


def test_groups_are_made_where_a_limit_needs_one_and_to_stand_still():
    where = {name: Path(name) for name in cgroups.WANTED}
    assert set(cgroups.needed(Limits(), where)) == {"pids", "freezer"}
    assert set(cgroups.needed(Limits(memory_mb=64), where)) == {"pids", "freezer", "memory"}
    assert set(cgroups.needed(Limits(cpus=1, memory_mb=64), where)) == set(where)


HYBRID = """
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
""".strip()


def test_control_groups_are_found_by_controller():
    found = cgroups._mounts(HYBRID)
    assert found["memory"] == Path("/sys/fs/cgroup/memory")
    assert found["cpu"] == Path("/sys/fs/cgroup/cpu,cpuacct")
    assert found[""] == Path("/sys/fs/cgroup/unified")
    own = cgroups._own("9:cpu,cpuacct:/a/b\n4:memory:/c\n0::/d\n")
    assert own == {"cpu": "/a/b", "cpuacct": "/a/b", "memory": "/c", "": "/d"}


def test_subordinate_ids(tmp_path):
    import os
    import pwd

    me = pwd.getpwuid(os.getuid()).pw_name
    table = tmp_path / "subuid"
    table.write_text(f"other:1:65536\n{me}:5:10\n{me}:200000:65536\n")
    assert keeping.subordinate(table) == 200_000
    table.write_text("other:1:65536\nbroken\n")
    with pytest.raises(SandboxUnusable) as caught:
        keeping.subordinate(table)
    assert caught.value.reason == "no_subordinate_ids"
    assert "usermod --add-subuids" in (caught.value.remedy or "")


def test_the_init_has_to_be_static(tmp_path):
    assert not runtime._is_static(tmp_path / "absent")
    (tmp_path / "text").write_text("#!/bin/sh\n")
    assert not runtime._is_static(tmp_path / "text")
    shell = runtime.find("sh")
    assert shell is not None
    assert not runtime._is_static(Path(shell))


@pytest.mark.must("sandbox-2")
async def test_what_is_missing_has_a_reason_and_a_remedy(tmp_path):
    from mechagym.sandbox.local import LocalSandbox

    probe = await LocalSandbox(cache=tmp_path, runtime="no-such-runtime").probe()
    assert not probe.usable
    assert "no-such-runtime is not installed" in (probe.reason or "")
    assert probe.remedy == "apt-get install runc"


def test_a_box_without_a_way_out_asks_nobody_for_names():
    assert network.resolver(NetworkPolicy(mode="no-network")) == ""
    assert network.resolver(NetworkPolicy(mode="public")).startswith("nameserver ")


def test_a_delegated_group_is_left_before_it_hands_controllers_down(tmp_path):
    (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n")
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu memory\n")
    group = cgroups.delegated(tmp_path)
    assert group == tmp_path
    assert (tmp_path / cgroups.OURS / "cgroup.procs").read_text() == "0"
    assert cgroups.delegated(tmp_path / cgroups.OURS) == tmp_path
    found = cgroups.unified(group)
    assert found == dict.fromkeys(("memory", "cpu", "freezer"), tmp_path / "mechagym")
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +cpu"


def test_a_group_with_others_in_it_is_left_as_it_is(tmp_path):
    (tmp_path / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")
    assert cgroups.delegated(tmp_path) == tmp_path
    assert not (tmp_path / cgroups.OURS).exists()
