"""Boxes on the host's own root: what is shown of the host, what is not, and Dockerfiles replayed on
it.
"""

import os
import shutil
import socket
from pathlib import Path

import pytest

from mechagym.errors import ImageError
from mechagym.sandbox.base import BoxSpec, HostRoot
from mechagym.sandbox.local import skeleton
from tests.sandbox.local_parts import NOTHING, host_spec, text

pytestmark = pytest.mark.live
SENSITIVE = [
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/ssh",
    "/etc/ssl/private",
    "/etc/sudoers",
    "/etc/pip.conf",
    "/etc/npmrc",
    "/etc/gitconfig",
    "/etc/wgetrc",
    "/etc/docker",
    "/etc/containerd",
    "/etc/machine-id",
    "/etc/cron.d",
    "/etc/apt/auth.conf",
    "/etc/apt/auth.conf.d",
    "/etc/environment",
    "/etc/subuid",
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/root/.ssh",
    "/root/.netrc",
    "/root/.aws",
    "/root/.config",
    "/var/lib/docker",
    "/var/log/dpkg.log",
    "/boot/vmlinuz",
    "/.dockerenv",
]


@pytest.mark.must("sandbox-7")
async def test_the_host_is_invisible_but_for_what_is_listed(sandbox, tmp_path, monkeypatch):
    monkeypatch.setenv("MECHAGYM_TEST_SECRET", "in the environment")
    planted = [Path("/var/tmp") / f"mechagym-secret-{os.getpid()}", tmp_path / "secret"]
    home = Path.home() / f".mechagym-secret-{os.getpid()}"
    server = socket.socket(socket.AF_UNIX)
    abstract = socket.socket(socket.AF_UNIX)
    for path in (*planted, home):
        path.write_text("planted-secret")
    try:
        server.bind(str(planted[0]) + ".sock")
        server.listen()
        abstract.bind(f"\0mechagym-test-{os.getpid()}")
        abstract.listen()
        async with sandbox.open(host_spec()) as other, sandbox.open(host_spec()) as box:
            await other.put(b"planted-secret", "/tmp/other")
            assert box.info.fidelity == "approximate"
            for path in (*SENSITIVE, *map(str, planted), str(home), f"{planted[0]}.sock"):
                assert not (await box.exec(["test", "-e", path])).ok, path
            assert await text(box, "ls -A /home /root /mnt /media /srv /opt /tmp /var/tmp") == (
                "/home:\n\n/media:\n\n/mnt:\n\n/opt:\n\n/root:\n\n/srv:\n\n/tmp:\n\n/var/tmp:\n"
            )
            assert set((await text(box, "ls -A /")).split()) <= {
                *(name.split("/")[0] for name in skeleton.FOLDERS),
                *(path.lstrip("/") for path in skeleton.SHOWN),
                "etc",
            }
            assert "MECHAGYM_TEST_SECRET" not in await text(box, "env; cat /proc/[0-9]*/environ")
            assert await text(box, "grep -c mechagym-test /proc/net/unix || true") == "0\n"
            assert await text(box, "ls -d /proc/[0-9]* | wc -l") < "9"
            everywhere = (
                "grep -rIl planted-secret /etc /home /root /tmp /var /run /opt /srv || true"
            )
            assert await text(box, everywhere) == ""
    finally:
        server.close()
        abstract.close()
        for path in (*planted, home, Path(f"{planted[0]}.sock")):
            path.unlink(missing_ok=True)


async def test_the_hosts_programs_run_and_its_files_stay_as_they_are(sandbox):
    mark = Path("/usr/bin/mechagym-test-written")
    async with sandbox.open(host_spec()) as box:
        await text(
            box,
            "ls / >/dev/null && grep -q root /etc/passwd && touch /usr/bin/mechagym-test-written",
        )
        await text(
            box, "useradd -m agent && su agent -c 'echo mine >~/f' && stat -c %U /home/agent/f"
        )
        await text(box, "rm -r /usr/share/doc; ! test -e /usr/share/doc; rm /usr/bin/env")
        assert await text(box, "id -u agent") == "1000\n"
    assert not mark.exists()
    assert shutil.which("env")


async def test_passwords_in_lists_of_etc_are_left_out(tmp_path):
    plain, secret = tmp_path / "plain.list", tmp_path / "secret.list"
    plain.write_text("deb http://mirror/debian stable main # mail me@example.org\n")
    secret.write_text("deb http://mirror/debian a b\ndeb https://me:pass@mirror/debian a b\n")
    for path in (plain, secret):
        path.chmod(0o644)
        skeleton._copy(path, tmp_path / f"copy-{path.name}")
    assert (tmp_path / "copy-plain.list").exists()
    assert not (tmp_path / "copy-secret.list").exists()


async def test_a_dockerfile_is_replayed_on_the_host(sandbox, tmp_path):
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "src" / "deep" / "f").write_text("deep")
    (tmp_path / "tool.sh").write_text("#!/bin/sh\necho tool $1\n")
    (tmp_path / "tool.sh").chmod(0o755)
    lines = (
        "# a comment\nFROM python:3.13-slim AS whatever\nENV A=1 \\\n    B='x y'\nWORKDIR /app\n"
        "COPY src /app/src\nCOPY --chown=nobody tool.sh /usr/local/bin/\n"
        'RUN tool.sh $A >said && ["" = ""]; true\nRUN ["sh", "-c", "echo list >>said"]\n'
        'EXPOSE 80\nUSER nobody\nCMD ["python3"]\n'
    )
    (tmp_path / "Dockerfile").write_text(lines)
    said: list[str] = []
    image = HostRoot(context=tmp_path, digest="sha256:1")
    digest = await sandbox.prepare(image, said.append)
    assert await sandbox.prepare(image, print) == digest
    assert sum("WORKDIR" in line for line in said) == 1
    async with sandbox.open(BoxSpec(image=image, network=NOTHING)) as box:
        assert await text(box, "pwd; cat said src/deep/f; echo $B; id -un; tool.sh x") == (
            "/app\ntool 1\nlist\ndeepx y\nnobody\ntool x\n"
        )
        assert "was not used" in box.info.notes[0]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("VOLUME /data", "VOLUME"),
        ("HEALTHCHECK CMD true", "HEALTHCHECK"),
        ("ONBUILD RUN true", "ONBUILD"),
        ("SHELL ['bash']", "SHELL"),
        ("FROM again", "a second FROM"),
        ("RUN --mount=type=cache,target=/x true", "RUN --mount"),
        ("COPY --from=other /a /b", "COPY --from"),
        ("RUN <<EOF", "heredoc"),
    ],
)
async def test_what_cannot_be_replayed_is_refused_by_name(sandbox, tmp_path, line, what):
    (tmp_path / "Dockerfile").write_text(f"FROM x\nRUN true\n{line}\n")
    with pytest.raises(ImageError, match="Dockerfile:3") as caught:
        await sandbox.prepare(HostRoot(context=tmp_path, digest=line), print)
    assert what in caught.value.message
