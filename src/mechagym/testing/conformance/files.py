"""Checks of transfer: what is put arrives whole, and what is got cannot hurt the host."""

import os
from pathlib import Path

from mechagym.errors import TransferRefused
from mechagym.sandbox.base import TransferCaps
from mechagym.testing.conformance.subject import Collection, Subject, same, that

FILES = Collection(section=6)
check = FILES.check


def make_tree(root: Path) -> Path:
    """A folder with all that a folder can hold."""
    (root / "sub" / "empty").mkdir(parents=True)
    (root / "run.sh").write_text("#!/bin/sh\necho ran\n", encoding="utf-8")
    (root / "run.sh").chmod(0o755)
    (root / "private").write_text("p", encoding="utf-8")
    (root / "private").chmod(0o600)
    (root / "sub" / "link").symlink_to("../run.sh")
    (root / "sub" / "broken").symlink_to("nowhere")
    (root / "hard").hardlink_to(root / "private")
    (root / "big").write_bytes(os.urandom(3_000_000))
    (root / ".hidden").write_text("h", encoding="utf-8")
    (root / "\u00fcn\u00efc\u00f6d\u00e9 \U0001f41f $x 'q'").write_text("u", encoding="utf-8")
    (root / ("long" * 40)).write_text("l", encoding="utf-8")
    return root


def listing(root: Path) -> list[tuple[str, int, bytes]]:
    """Names, kinds and modes, contents."""
    return sorted(
        (
            str(path.relative_to(root)),
            path.lstat().st_mode,
            str(path.readlink()).encode()
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else b"",
        )
        for path in root.rglob("*")
    )


@check(ways=("lane",))
async def bytes_arrive_as_a_file_and_parents_are_made(subject: Subject) -> None:
    data = bytes(range(256)) * 100
    await subject.box.put(data, "/new/deep/folder/file")
    same((await subject.run(["cat", "/new/deep/folder/file"])).stdout, data)
    await subject.box.put(b"", "/new/empty")
    same((await subject.sh("[ -f /new/empty ] && wc -c </new/empty")).text.strip(), "0")


@check(ways=("lane",))
async def a_tree_comes_back_as_it_went(subject: Subject) -> None:
    tree = make_tree(subject.folder / "tree")
    await subject.box.put(tree, "/tmp/tree")
    report = await subject.box.get("/tmp/tree", subject.folder / "back")
    same(report.refused, ())
    same(listing(subject.folder / "back"), listing(tree))


@check()
async def modes_and_links_are_kept_inside(subject: Subject) -> None:
    await subject.box.put(make_tree(subject.folder / "tree"), "/tmp/tree")
    same((await subject.run(["/tmp/tree/run.sh"])).stdout, b"ran\n")
    same((await subject.run(["/tmp/tree/sub/link"])).stdout, b"ran\n")
    same((await subject.run(["stat", "-c", "%a", "/tmp/tree/private"])).text.strip(), "600")
    same((await subject.run(["readlink", "/tmp/tree/sub/broken"])).text.strip(), "nowhere")
    same((await subject.sh("ls -A /tmp/tree/sub/empty | wc -l")).text.strip(), "0")


@check(ways=("lane",))
async def one_file_is_put_and_got_as_a_file(subject: Subject) -> None:
    (subject.folder / "in").write_text("text", encoding="utf-8")
    (subject.folder / "in").chmod(0o750)
    await subject.box.put(subject.folder / "in", "/tmp/one/out")
    await subject.box.get("/tmp/one/out", subject.folder / "a" / "out")
    same((subject.folder / "a" / "out").read_text(encoding="utf-8"), "text")
    same((subject.folder / "a" / "out").stat().st_mode & 0o777, 0o750)


@check(ways=("lane",))
async def what_stands_there_is_overwritten(subject: Subject) -> None:
    await subject.box.put(b"a longer text", "/tmp/over")
    await subject.box.put(b"short", "/tmp/over")
    same((await subject.run(["cat", "/tmp/over"])).stdout, b"short")


@check(ways=("lane",))
async def a_folder_is_laid_over_another(subject: Subject) -> None:
    for name, text in (("one", "1"), ("two", "2")):
        folder = subject.folder / name
        folder.mkdir()
        (folder / "both").write_text(text, encoding="utf-8")
        (folder / name).write_text(text, encoding="utf-8")
        await subject.box.put(folder, "/tmp/laid")
    same((await subject.sh("cd /tmp/laid; cat both one two")).stdout, b"212")


@check(ways=("lane",))
async def a_link_at_the_target_is_replaced_not_followed(subject: Subject) -> None:
    await subject.sh("mkdir -p /tmp/l; echo kept >/tmp/l/victim; ln -s victim /tmp/l/link")
    await subject.box.put(b"new", "/tmp/l/link")
    same((await subject.sh("cat /tmp/l/victim /tmp/l/link")).stdout, b"kept\nnew")


@check(ways=("lane",))
async def what_root_puts_in_belongs_to_root(subject: Subject) -> None:
    await subject.box.put(b"x", "/tmp/owned")
    same((await subject.sh("[ -O /tmp/owned ] || ls -ln /tmp/owned; id -u")).text.strip(), "0")


@check(ways=("lane",))
async def what_is_not_there_is_file_not_found(subject: Subject) -> None:
    try:
        await subject.box.get("/no/such/file", subject.folder / "x")
    except FileNotFoundError:
        return
    raise AssertionError("get of a missing file raised nothing")


@check(ways=("lane",))
async def links_out_of_the_folder_are_left_out_and_named(subject: Subject) -> None:
    await subject.sh(
        "mkdir -p /tmp/h/sub; cd /tmp/h; ln -s /etc/passwd abs; ln -s ../../../etc up; "
        "ln -s sub in; echo fine >sub/file"
    )
    report = await subject.box.get("/tmp/h", subject.folder / "h")
    same((subject.folder / "h/sub/file").read_text(encoding="utf-8"), "fine\n")
    that((subject.folder / "h/in").is_symlink())
    that(not os.path.lexists(subject.folder / "h/abs"))
    that(not os.path.lexists(subject.folder / "h/up"))
    same(len(report.refused), 2)


@check("devices", ways=("lane",))
async def special_files_and_set_id_bits_do_not_come_out(subject: Subject) -> None:
    await subject.sh(
        "mkdir -p /tmp/s; cd /tmp/s; mkfifo pipe; cp /bin/true su; chmod 6755 su; echo fine >file"
    )
    report = await subject.box.get("/tmp/s", subject.folder / "s")
    that(not (subject.folder / "s/pipe").exists(), report)
    same((subject.folder / "s/su").stat().st_mode & 0o7000, 0)
    same((subject.folder / "s/file").read_text(encoding="utf-8"), "fine\n")


@check(ways=("lane",))
async def a_source_that_is_a_link_is_not_followed(subject: Subject) -> None:
    await subject.sh("ln -s /etc /tmp/linked")
    await subject.box.get("/tmp/linked", subject.folder / "linked")
    that(not (subject.folder / "linked").exists(), list(subject.folder.iterdir()))


@check(ways=("lane",))
async def too_many_files_are_refused(subject: Subject) -> None:
    await subject.sh("mkdir -p /tmp/many; cd /tmp/many; for i in $(seq 60); do echo >f$i; done")
    try:
        await subject.box.get("/tmp/many", subject.folder / "many", TransferCaps(max_files=50))
    except TransferRefused:
        that(sum(1 for _ in (subject.folder / "many").rglob("*")) <= 50)
        return
    raise AssertionError("61 entries passed a cap of 50")


@check(ways=("lane",))
async def too_many_bytes_are_refused(subject: Subject) -> None:
    await subject.sh("mkdir -p /tmp/fat; head -c 5000000 /dev/zero >/tmp/fat/file")
    try:
        await subject.box.get("/tmp/fat", subject.folder / "fat", TransferCaps(max_bytes=1_000_000))
    except TransferRefused:
        return
    raise AssertionError("5 MB passed a cap of 1 MB")


@check(ways=("lane",))
async def many_small_files_pass(subject: Subject) -> None:
    tree = subject.folder / "small"
    tree.mkdir()
    for number in range(500):
        (tree / f"f{number}").write_text(str(number), encoding="utf-8")
    await subject.box.put(tree, "/tmp/small")
    same((await subject.sh("ls /tmp/small | wc -l")).text.strip(), "500")
    same((await subject.box.get("/tmp/small", subject.folder / "out")).files, 500)
