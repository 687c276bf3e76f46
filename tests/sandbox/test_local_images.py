"""Root file systems: from an engine's export, from an OCI layout, built by replay; equal to the
image.
"""

import hashlib
import io
import json
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mechagym.errors import ImageError, NoSpace
from mechagym.sandbox.base import BoxSpec, BuildImage, HostRoot, RegistryImage
from mechagym.sandbox.local import LocalSandbox
from tests.sandbox.local_parts import NOTHING, engine_image, text

pytestmark = pytest.mark.live
LISTING = (
    "find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run \\) -prune -o"
    " ! -path /etc/hosts ! -path /etc/hostname ! -path /etc/resolv.conf"
    " ! -path /.dockerenv ! -path /etc/mtab"
    " -printf '%p %y %m %U:%G %n %l %T@\\n' | sort"
)


def spec(reference: str, **changes: object) -> BoxSpec:
    image = RegistryImage(reference=reference)
    return BoxSpec(image=image, network=NOTHING, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def odd_image() -> Iterator[str]:
    """An image with all that is easily lost: owners, modes, links, capabilities, whiteouts."""
    base, name = engine_image(), "mechagym-test-odd:1"
    lines = (
        f"FROM {base}",
        (
            "RUN mkdir /odd && cd /odd && echo a >a && ln a b && ln -s /etc/passwd link"
            " && mkfifo pipe"
            " && mkdir deep gone && touch gone/x deep/x && chmod 4755 a && chown 1234:4321 b"
            " && touch 'sp ace' && chmod 1777 deep && rm -rf /usr/share/doc"
        ),
        "RUN rm -r /odd/gone && mkdir /odd/gone && touch /odd/gone/y && rm '/odd/sp ace'",
        "ENV ODD='a b' PATH=/odd:/usr/sbin:/usr/bin:/sbin:/bin",
        "WORKDIR /odd",
        "USER nobody",
    )
    done = subprocess.run(
        ["docker", "build", "-q", "-t", name, "-"],
        input="\n".join(lines).encode(),
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    yield name
    subprocess.run(["docker", "rmi", "-f", name], capture_output=True, check=False)


@pytest.mark.must("sandbox-14")
async def test_an_exported_image_and_a_layout_equal_the_image(sandbox, odd_image, tmp_path):
    argv = ["docker", "run", "--rm", "--network=none", "-u0", odd_image, "sh", "-c", LISTING]
    wanted = subprocess.run(argv, capture_output=True, check=True, text=True).stdout.splitlines()
    layout = tmp_path / "layout"
    copy = ["skopeo", "copy", "-q", f"docker-daemon:{odd_image}", f"oci:{layout}:it"]
    subprocess.run(copy, check=True, capture_output=True)
    for reference in (odd_image, f"oci:{layout}", f"oci:{layout}:it"):
        async with sandbox.open(spec(reference, user="root")) as box:
            found = (await text(box, LISTING)).splitlines()
            assert sorted(_alike(found) ^ _alike(wanted))[:20] == [], reference
            assert await text(box, "pwd; echo $ODD; echo $PATH") == (
                "/odd\na b\n/odd:/usr/sbin:/usr/bin:/sbin:/bin\n"
            )
        async with sandbox.open(spec(reference)) as box:
            assert await text(box, "id -un") == "nobody\n"
            assert box.info.fidelity == "exact"


def _alike(lines: list[str]) -> set[str]:
    """Without times and link counts of folders: they are the file system's."""
    kept = set()
    for line in lines:
        fields = line.rsplit(" ", 6)
        if fields[1] == "d":
            fields[4] = fields[6] = ""
        else:
            fields[6] = fields[6].partition(".")[0]
        kept.add(" ".join(fields))
    return kept


Entry = tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]


def layout_of(folder: Path, *layers: Sequence[Entry]) -> str:
    """An OCI layout made by hand."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def keep(data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data), "mediaType": "x"}

    tars = []
    for entries in layers:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for entry in entries:
                info, data = entry if isinstance(entry, tuple) else (entry, b"")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        tars.append(keep(buffer.getvalue()))
    about = {"config": {}, "rootfs": {"diff_ids": [tar["digest"] for tar in tars]}}
    manifest = {"config": keep(json.dumps(about).encode()), "layers": tars}
    (folder / "index.json").write_text(
        json.dumps({"manifests": [keep(json.dumps(manifest).encode())]})
    )
    return f"oci:{folder}"


def entry(name: str, kind: bytes = tarfile.REGTYPE, **about: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, 0o644, 1_000_000_000
    for key, value in about.items():
        setattr(info, key, value)
    return info


async def test_xattrs_whiteouts_and_hostile_names_of_a_layer(sandbox, tmp_path, cache):
    capability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    first: list[Entry] = [
        entry("opt", tarfile.DIRTYPE, mode=0o755),
        entry("opt/old", tarfile.DIRTYPE, mode=0o755),
        entry("opt/old/x"),
        entry("opt/hidden"),
        (
            entry(
                "opt/ping",
                mode=0o755,
                pax_headers={
                    "SCHILY.xattr.security.capability": capability,
                    "SCHILY.xattr.user.note": "kept",
                    "SCHILY.xattr.trusted.evil": "not kept",
                },
            ),
            b"data",
        ),
        entry("tmp", tarfile.DIRTYPE, mode=0o777),
        entry("dev/sda", tarfile.BLKTYPE, devmajor=8),
        (entry("../../../../escaped"), b"in the root"),
        entry("up", tarfile.SYMTYPE, linkname="../../../../../../tmp"),
        (entry("up/through"), b"in the root's tmp"),
    ]
    second = [entry("opt/old/.wh..wh..opq"), entry("opt/old/y"), entry("opt/.wh.hidden")]
    reference = layout_of(tmp_path / "odd", first, second)
    assert (await sandbox.prepare(RegistryImage(reference=reference), print)).startswith("sha256:")
    layers = [path / "0" for path in (cache / "layers").iterdir() if (path / "0/opt/old").is_dir()]
    below = next(path for path in layers if (path / "opt/ping").exists())
    above = next(path for path in layers if not (path / "opt/ping").exists())
    assert os.getxattr(below / "opt/ping", "user.note") == b"kept"
    assert "trusted.evil" not in os.listxattr(below / "opt/ping")
    assert "security.capability" in os.listxattr(below / "opt/ping")
    assert (below / "escaped").read_text() == "in the root"
    assert (below / "tmp/through").is_file()
    assert not (below / "dev/sda").exists()
    assert os.getxattr(above / "opt/old", "user.overlay.opaque") == b"y"
    hidden = (above / "opt/hidden").lstat()
    assert stat.S_ISCHR(hidden.st_mode)
    assert hidden.st_rdev == 0
    assert not (tmp_path / "escaped").exists()


async def test_a_damaged_layout_says_so_and_leaves_nothing(sandbox, tmp_path, cache):
    reference = layout_of(tmp_path / "good", [(entry("file"), b"data" * 9000)])
    blobs = sorted((tmp_path / "good/blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)
    data = bytearray(blobs[-1].read_bytes())
    data[600] ^= 1
    blobs[-1].write_bytes(data)
    with pytest.raises(ImageError, match="damaged"):
        await sandbox.prepare(RegistryImage(reference=reference), print)
    blobs[-1].unlink()
    with pytest.raises(ImageError, match="missing"):
        await sandbox.prepare(RegistryImage(reference=reference), print)
    with pytest.raises(ImageError, match="not an OCI image layout"):
        await sandbox.prepare(RegistryImage(reference=f"oci:{tmp_path}"), print)
    huge = layout_of(tmp_path / "huge", [entry("file", uid=70_000)])
    with pytest.raises(ImageError, match="owner 70000"):
        await sandbox.prepare(RegistryImage(reference=huge), print)
    assert not list((cache / "layers").glob("new-*"))


async def test_an_image_nobody_has_is_an_image_error(sandbox):
    with pytest.raises(ImageError):
        await sandbox.prepare(RegistryImage(reference="localhost:1/no/such:thing"), print)


@pytest.mark.must("sandbox-13")
async def test_a_build_runs_once_per_digest_and_fails_with_its_last_lines(sandbox, cache, tmp_path):
    import anyio

    context = tmp_path / "context"
    context.mkdir()
    (context / "keep.txt").write_text("kept")
    (context / "skip.txt").write_text("skipped")
    (context / ".dockerignore").write_text("skip.txt\n")
    lines = (
        f"FROM {engine_image()}\nARG WHO=you\nENV NAME=me GREET=hi-$WHO\n"
        "WORKDIR /app\nCOPY . /app\n"
        "RUN echo $GREET >greet && echo building && date +%N >stamp && useradd -m bob\nUSER bob\n"
    )
    (context / "Dockerfile").write_text(lines)
    image = BuildImage(context=context, digest="sha256:one")
    others = [LocalSandbox(cache=cache) for _ in range(2)]
    said: list[str] = []
    async with anyio.create_task_group() as tasks:
        for one in (sandbox, *others):
            tasks.start_soon(one.prepare, image, said.append)
    for one in others:
        await one.aclose()
    assert said.count("building") == 1
    async with sandbox.open(BoxSpec(image=image, network=NOTHING)) as box:
        assert (
            await text(box, "cat greet; ls; id -un")
            == "hi-you\nDockerfile\ngreet\nkeep.txt\nstamp\nbob\n"
        )
        assert box.info.fidelity == "exact"
    (context / "Dockerfile").write_text(lines + "USER root\nRUN seq 100 && exit 7\n")
    with pytest.raises(ImageError, match="exit code 7") as caught:
        await sandbox.prepare(BuildImage(context=context, digest="sha256:two"), print)
    assert "\n100" in caught.value.message
    assert "\n50\n" not in caught.value.message


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")
async def test_a_full_disk_is_named(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(disk)], check=True)
    try:
        small = LocalSandbox(cache=disk / "cache")
        with pytest.raises(NoSpace, match=r"no space left in .*disk/cache"):
            await small.prepare(RegistryImage(reference=engine_image()), print)
        async with small.open(BoxSpec(image=HostRoot(), network=NOTHING)) as box:
            with pytest.raises(NoSpace, match="disk/cache"):
                await box.put(b"x" * 60_000_000, "/big")
            await text(box, "rm -f /big; echo on")
        await small.aclose()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
