"""What comes out of a box is hostile: nothing lands outside, the rest goes on, too much ends it."""

import io
import os
import resource
import stat
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mechagym.errors import NoSpace, SandboxError, TransferRefused
from mechagym.sandbox.base import TransferCaps, TransferReport
from mechagym.sandbox.transfer import pack, threaded, unpack

Fill = Callable[[tarfile.TarFile], None]


def entry(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def archive(*entries: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], form: int = 2) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for item in entries:
            info, data = item if isinstance(item, tuple) else (item, b"")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def file(name: str, data: bytes = b"data", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, **fields), data


@pytest.fixture
def jail(tmp_path: Path) -> Path:
    """A target with something beside it that must stay as it is."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("untouched")
    (tmp_path / "jail").mkdir()
    return tmp_path / "jail" / "target"


def outside(jail: Path) -> list[str]:
    top = jail.parent.parent
    return sorted(
        f"{p.relative_to(top)} {p.lstat().st_mode:o} {p.read_bytes() if p.is_file() else None!r}"
        for p in top.rglob("*")
        if jail not in (p, *p.parents)
    )


def nothing_leads_out(target: Path) -> None:
    for path in target.rglob("*"):
        if path.is_symlink():
            there = Path(os.path.realpath(path))
            assert target.resolve() in (there, *there.parents), f"{path} leads to {there}"
        assert stat.S_ISREG(path.lstat().st_mode) or path.is_symlink() or path.is_dir()
        if not path.is_symlink():
            assert not path.stat().st_mode & 0o7000


HOSTILE: dict[str, tuple[bytes, str]] = {
    "absolute name": (archive(file("/outside/new")), "absolute"),
    "dot dot": (archive(file("../outside/new")), ".."),
    "dot dot in the middle": (archive(file("a/../../outside/new")), ".."),
    "absolute link": (archive(entry("l", tarfile.SYMTYPE, linkname="/etc/passwd")), "absolute"),
    "link out": (archive(entry("l", tarfile.SYMTYPE, linkname="../../outside")), "out of"),
    "link out from a folder": (
        archive(entry("a/l", tarfile.SYMTYPE, linkname="../../outside")),
        "out of",
    ),
    "link out by a link": (
        archive(
            entry("a/b/up", tarfile.SYMTYPE, linkname="../.."),
            entry("a/b/out", tarfile.SYMTYPE, linkname="up/../outside"),
        ),
        "roundabout",
    ),
    "file through a link": (
        archive(entry("l", tarfile.SYMTYPE, linkname="."), file("l/x")),
        "link or a file",
    ),
    "link to a folder, then the folder": (
        archive(entry("l", tarfile.SYMTYPE, linkname="d"), entry("l", tarfile.DIRTYPE)),
        "link or a file",
    ),
    "hard link out": (
        archive(entry("h", tarfile.LNKTYPE, linkname="../outside/secret")),
        "..",
    ),
    "absolute hard link": (archive(entry("h", tarfile.LNKTYPE, linkname="/etc/passwd")), "abs"),
    "hard link to a link": (
        archive(
            entry("a/b/l", tarfile.SYMTYPE, linkname="../.."),
            entry("h", tarfile.LNKTYPE, linkname="a/b/l"),
        ),
        "no regular file",
    ),
    "hard link to nothing": (archive(entry("h", tarfile.LNKTYPE, linkname="gone")), "not there"),
    "hard link to a folder": (
        archive(entry("d", tarfile.DIRTYPE), entry("h", tarfile.LNKTYPE, linkname="d")),
        "no regular file",
    ),
    "device": (archive(entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3)), "device"),
    "block device": (archive(entry("sda", tarfile.BLKTYPE, devmajor=8, devminor=0)), "device"),
    "fifo": (archive(entry("pipe", tarfile.FIFOTYPE)), "fifo"),
    "unknown kind": (archive(entry("odd", b"Z")), "unknown"),
    "setuid": (archive(file("su", mode=0o6755)), "set-id"),
    "case": (archive(file("README"), file("readme")), "case"),
    "case of a folder": (archive(file("Dir/a"), file("dir/b")), "case"),
    "accents": (archive(file("caf\u00e9"), file("cafe\u0301")), "accents"),
    "twice": (archive(file("x", b"first"), file("x", b"second")), "twice"),
    "file, then below it": (archive(file("x"), file("x/y")), "link or a file"),
    "folder, then a file": (archive(entry("x", tarfile.DIRTYPE), file("x")), "twice"),
    "too deep": (archive(file("d/" * 200 + "x")), "deep"),
    "long name": (archive(file("n" * 300), form=tarfile.GNU_FORMAT), "long"),
    "escape codes": (archive(file("/\x1b[31mred\n")), "\\x1b[31mred\\n"),
    "no UTF-8": (archive(file("/\udcff")), "\\udcff"),
    "the target itself as a link": (
        archive(entry(".", tarfile.SYMTYPE, linkname="outside")),
        "out of",
    ),
    "pax sparse": (
        archive(
            file("s", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.realsize": "9" * 18}),
            form=tarfile.PAX_FORMAT,
        ),
        "sparse",
    ),
}


@pytest.mark.must("sandbox-10")
@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_entry_is_left_out_and_the_rest_is_kept(name: str, jail: Path):
    data, finding = HOSTILE[name]
    good = archive(file("good/file", b"fine"))
    before = outside(jail)
    report = await unpack([data.rstrip(b"\0") + _pad(data) + good], jail)
    assert any(finding in line for line in report.refused), report.refused
    assert all(line.isprintable() for line in report.refused)
    assert (jail / "good/file").read_bytes() == b"fine"
    assert outside(jail) == before
    nothing_leads_out(jail)
    subprocess.run(["rm", "-r", jail], check=True, stdin=subprocess.DEVNULL)


def _pad(data: bytes) -> bytes:
    return b"\0" * (-len(data.rstrip(b"\0")) % 512)


async def test_the_first_of_two_is_kept(jail: Path):
    await unpack([HOSTILE["twice"][0]], jail)
    assert (jail / "x").read_bytes() == b"first"


async def test_a_link_that_stood_in_the_target_is_replaced_not_followed(jail: Path):
    jail.mkdir()
    (jail / "x").symlink_to(jail.parent.parent / "outside" / "secret")
    (jail / "d").symlink_to(jail.parent.parent / "outside")
    before = outside(jail)
    report = await unpack([archive(file("x", b"new"), file("d/planted"))], jail)
    assert (jail / "x").read_bytes() == b"new"
    assert not (jail / "x").is_symlink()
    assert len(report.refused) == 1
    assert outside(jail) == before


async def test_a_target_that_is_a_link_is_not_followed(jail: Path):
    jail.symlink_to(jail.parent.parent / "outside")
    before = outside(jail)
    report = await unpack([archive(file("planted"))], jail)
    assert report.files == 0
    assert outside(jail) == before


def headers(count: int) -> Iterator[bytes]:
    for i in range(count):
        yield entry(f"f{i}").tobuf()


def endless(size: int) -> Iterator[bytes]:
    yield entry("huge", size=size).tobuf(tarfile.GNU_FORMAT)
    while True:
        yield bytes(1024 * 1024)


SMALL = TransferCaps(max_files=1000, max_bytes=10 * 1024 * 1024)
CAPPED: dict[str, Iterable[bytes]] = {
    "a million files": headers(1_000_000),
    "a million refused files": (
        entry(f"/f{i}").tobuf(tarfile.GNU_FORMAT) for i in range(1_000_000)
    ),
    "100 GB": endless(100 * 1024**3),
    "an exabyte": endless(2**60),
    "100 GB refused": (e.replace(b"huge", b"/uge") for e in endless(100 * 1024**3)),
    "a flood after the end": (bytes(1024 * 1024) for _ in range(100)),
    "a flood of global headers": (entry("g", tarfile.XGLTYPE).tobuf() for _ in range(1_000_000)),
}


@pytest.mark.must("sandbox-10")
@pytest.mark.parametrize("name", CAPPED)
async def test_too_much_ends_the_transfer_and_what_came_is_usable(name: str, jail: Path):
    good = archive(file("good", b"fine"))[:1024]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TransferRefused) as caught:
        await unpack(_chain([good], CAPPED[name]), jail, SMALL)
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert grown_kb < 30_000
    assert caught.value.blame == "agent"
    assert (jail / "good").read_bytes() == b"fine"
    assert sum(p.stat().st_size for p in jail.rglob("*")) <= SMALL.max_bytes
    assert sum(1 for _ in jail.rglob("*")) <= SMALL.max_files


def _chain(*parts: Iterable[bytes]) -> Iterator[bytes]:
    for part in parts:
        yield from part


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 512,
        b"no tar",
        entry("x", tarfile.XHDTYPE, size=2**40).tobuf(tarfile.GNU_FORMAT),
        entry("x", tarfile.GNUTYPE_LONGNAME, size=2**33).tobuf(tarfile.GNU_FORMAT),
        entry("x", tarfile.XHDTYPE, size=4).tobuf() + b"junk".ljust(512, b"\0"),
        entry("x", size=4).tobuf() + b"cu",
        archive(file("x"))[:1024],
        b"",
    ],
)
async def test_what_is_no_whole_archive_is_an_error(data: bytes, jail: Path):
    with pytest.raises(SandboxError):
        await unpack([data], jail)


async def test_findings_are_capped(jail: Path):
    report = await unpack([archive(*(file(f"/f{i}") for i in range(500)))], jail)
    assert len(report.refused) == 101
    assert report.refused[-1] == "and 400 more"


async def test_a_cancel_leaves_no_half_file(jail: Path):
    import anyio

    async def slow() -> AsyncIterator[bytes]:
        yield entry("half", size=3 * 1024 * 1024).tobuf() + bytes(2 * 1024 * 1024)
        await anyio.sleep_forever()

    with anyio.move_on_after(0.2):
        await unpack(slow(), jail)
    assert not (jail / "half").exists()


async def test_a_full_disk_is_typed_and_names_the_folder(tmp_path: Path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", small], check=True)
    try:
        with pytest.raises(NoSpace, match="small"):
            await unpack(pack(bytes(3 * 1024 * 1024), "x"), small / "x", root="x")
        assert not (small / "x").exists()
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub" / "empty").mkdir(parents=True)
    (root / "sub" / "run.sh").write_text("#!/bin/sh\n")
    (root / "sub" / "run.sh").chmod(0o751)
    (root / "sub" / "link").symlink_to("run.sh")
    (root / "hard").hardlink_to(root / "sub" / "run.sh")
    (root / "big").write_bytes(os.urandom(3_000_000))
    (root / ("long" * 50)).write_text("long name")
    (root / "ünïcödé \n name").write_text("odd name")
    os.utime(root / "sub" / "run.sh", (1_600_000_000, 1_600_000_000))
    return root


def listing(root: Path) -> list[tuple[str, int, bytes]]:
    return [
        (
            str(p.relative_to(root)),
            p.lstat().st_mode,
            str(p.readlink()).encode()
            if p.is_symlink()
            else p.read_bytes()
            if p.is_file()
            else b"",
        )
        for p in sorted(root.rglob("*"))
    ]


@pytest.mark.parametrize("root", ["app", "a/b/c", "", "."])
async def test_a_tree_survives_the_round_trip(tree: Path, tmp_path: Path, root: str):
    report = await unpack(threaded(pack(tree, root or ".")), tmp_path / "out", root=root)
    assert report.refused == ()
    assert listing(tmp_path / "out") == listing(tree)
    assert (tmp_path / "out/hard").samefile(tmp_path / "out/sub/run.sh")
    assert (tmp_path / "out/hard").stat().st_mtime == 1_600_000_000


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "oldgnu"])
async def test_what_tar_itself_writes_is_read(tree: Path, tmp_path: Path, form: str):
    if form == "ustar":
        (tree / ("long" * 50)).unlink()
    done = subprocess.run(
        ["tar", f"--format={form}", "-C", tree, "-cf", "-", "."], capture_output=True, check=True
    )
    chunks = (done.stdout[i : i + 1000] for i in range(0, len(done.stdout), 1000))
    assert (await unpack(chunks, tmp_path / "out")).refused == ()
    assert listing(tmp_path / "out") == listing(tree)


def test_what_we_pack_is_read_by_tar(tree: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    data = b"".join(pack(tree, "x"))
    subprocess.run(["tar", "-C", tmp_path / "out", "-xpf", "-"], input=data, check=True)
    assert listing(tmp_path / "out/x") == listing(tree)
    assert data == b"".join(pack(tree, "x"))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert {m.uid for m in tar} == {0}


async def test_one_file_and_bytes(tmp_path: Path):
    (tmp_path / "in").write_bytes(b"text")
    await unpack(pack(tmp_path / "in", "name"), tmp_path / "a/b/out", root="name")
    assert (tmp_path / "a/b/out").read_bytes() == b"text"
    report = await unpack(pack(b"\0bytes", "x", mode=0o600), tmp_path / "out", root="/x")
    assert (tmp_path / "out").read_bytes() == b"\0bytes"
    assert report == TransferReport(files=1, size_bytes=6)


def test_what_cannot_be_packed_is_named(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SandboxError, match="pipe"):
        list(pack(tmp_path, "x"))
    with pytest.raises(SandboxError, match="absent"):
        list(pack(tmp_path / "absent", "x"))


async def test_a_big_file_passes_in_constant_memory(tmp_path: Path):
    size = 300 * 1024 * 1024
    with (tmp_path / "big").open("wb") as big:
        big.truncate(size)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await unpack(threaded(pack(tmp_path / "big", "big")), tmp_path / "out", root="big")
    assert (tmp_path / "out").stat().st_size == size
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 30_000


NAMES = st.sampled_from(
    ["a", "b", "A", "..", ".", "", "l", "\u00e9", "\udcff", "x\0y", "d", "\x1b[0m", "n" * 260]
)
PATHS = st.lists(NAMES, min_size=1, max_size=5).map("/".join)
KINDS = st.sampled_from([b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"S", b"x", b"L", b"Z"])
ENTRIES = st.builds(
    lambda name, kind, link, mode, size: (
        entry(name, kind, linkname=link, mode=mode, size=size).tobuf(
            tarfile.GNU_FORMAT, "utf-8", "surrogateescape"
        )
        + bytes(size + -size % 512)
    ),
    PATHS,
    KINDS,
    st.one_of(PATHS, PATHS.map(lambda p: "/" + p), PATHS.map(lambda p: "../" + p)),
    st.integers(0, 0o7777),
    st.integers(0, 600),
)


@pytest.mark.must("sandbox-10")
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(ENTRIES, max_size=12), st.binary(max_size=40), st.integers(0, 5000))
async def test_no_generated_archive_gets_out(tmp_path_factory, entries, noise, flip):
    top = tmp_path_factory.mktemp("top")
    (top / "outside").mkdir()
    (top / "outside" / "secret").write_text("untouched")
    (top / "jail").mkdir()
    jail = top / "jail" / "target"
    before = outside(jail)
    data = bytearray(b"".join(entries) + bytes(1024))
    data[flip : flip + len(noise)] = noise if flip % 3 == 0 else data[flip : flip + len(noise)]
    with suppress(SandboxError):
        await unpack([bytes(data)], jail)
    assert outside(jail) == before
    if jail.exists():
        nothing_leads_out(jail)
