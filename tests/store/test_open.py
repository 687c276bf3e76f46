"""Opening: migrations, and each way in which a store can refuse, said so that one can act."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from sqlalchemy import create_engine, text

from mechagym.errors import StoreError
from mechagym.events import MessageSaid
from mechagym.store import Store
from tests.store.makers import a_job, a_store_with


async def refusal(url: str) -> StoreError:
    with pytest.raises(StoreError) as failure:
        async with Store.open(url):
            pass
    assert failure.value.remedy
    return failure.value


async def test_the_migrations_make_the_tables_that_code_sees(url: str):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from mechagym.store.tables import metadata

    def differences(connection):
        return compare_metadata(MigrationContext.configure(connection), metadata)

    async with Store.open(url) as store:
        assert await store._database.read(differences) == []


def test_the_newest_revision_is_the_one_that_code_names():
    from alembic.script import ScriptDirectory

    import mechagym.store
    from mechagym.store.tables import REVISION

    folder = Path(mechagym.store.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_heads() == [REVISION]


def fill(ballast: Path) -> None:
    """Write until the disk is full."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


async def test_opening_again_changes_nothing(url: str):
    for _ in range(2):
        async with Store.open(url) as store:
            if not await store.jobs():
                await a_store_with(store)
    async with Store.open(url) as store:
        assert [job.name for job in await store.jobs()] == ["job"]


async def test_two_that_open_a_fresh_store_at_once_both_succeed(url: str):
    code = "import anyio,sys\nfrom mechagym.store import Store\nasync def main():\n"
    code += "    async with Store.open(sys.argv[1]) as s: await s.jobs()\nanyio.run(main)"
    both = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]


async def test_a_bare_path_and_missing_folders_will_do(tmp_path: Path):
    async with Store.open(str(tmp_path / "a" / "b" / "m.db")) as store:
        assert await store.jobs() == []
    assert (tmp_path / "a" / "b" / "m.db").is_file()


def made_by(url: str, revision: str) -> None:
    """A store as an older version of this program would have made it, with a job in it."""
    from alembic import command
    from alembic.config import Config

    import mechagym.store

    engine = create_engine(url)
    if engine.url.get_backend_name() == "sqlite":
        Path(str(engine.url.database)).parent.mkdir(parents=True)
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        folder = Path(mechagym.store.__file__).parent / "migrations"
        config.set_main_option("script_location", str(folder))
        command.upgrade(config, revision)
        connection.execute(
            text(
                "INSERT INTO jobs (id, name, config, config_digest, folder, created_at, state,"
                " trials) VALUES ('job-id', 'job', '{}', 'c', '/j', '2026-01-01', 'finished', 0)"
            )
        )
    engine.dispose()


@pytest.mark.parametrize("revision", ["0001", "0002"])
async def test_an_older_schema_is_upgraded_and_its_rows_are_kept(url: str, revision: str):
    from sqlalchemy import inspect

    await anyio.to_thread.run_sync(made_by, url, revision)
    async with Store.open(url) as store:
        tables = await store._database.read(lambda c: inspect(c).get_table_names())
        assert "images" not in tables
        assert [job.name for job in await store.jobs()] == ["job"]


async def test_a_newer_schema_is_refused(url: str):

    async with Store.open(url) as store:
        newer = text("UPDATE alembic_version SET version_num = '9999'")
        await store._database.write(lambda c: c.execute(newer))
    error = await refusal(url)
    assert (error.reason, "9999" in error.message) == ("newer_schema", True)
    assert "upgrade" in (error.remedy or "")


async def test_what_is_no_database_is_refused_and_left_alone(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("dear diary, " * 100)
    error = await refusal(str(path))
    assert (error.reason, str(path) in error.message) == ("not_a_database", True)
    assert path.read_text() == "dear diary, " * 100


async def test_a_folder_is_no_store(tmp_path: Path):
    assert (await refusal(str(tmp_path))).reason == "unreadable"


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    error = await refusal(str(tmp_path / "file" / "m.db"))
    assert "file" in error.message


async def test_a_damaged_database_is_said_to_be(tmp_path: Path):
    path = tmp_path / "m.db"
    async with Store.open(str(path)) as store:
        await store.create_job(a_job(config="x" * 100_000), [])
    data = bytearray(path.read_bytes())
    data[4096:40960] = os.urandom(40960 - 4096)
    path.write_bytes(data)

    async def use() -> None:
        async with Store.open(str(path)) as store:
            await store.create_job(a_job("other"), [])
            await store.jobs()

    with pytest.raises(StoreError) as failure:
        await use()
    assert failure.value.reason in {"damaged", "not_a_database"}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("::://", "bad_url"),
        ("sqlite://", "bad_url"),
        ("nosuchdb://host/x", "driver_missing"),
        ("postgresql+nosuchdriver://host/x", "driver_missing"),
    ],
)
async def test_urls_that_lead_nowhere(url: str, reason: str):
    assert (await refusal(url)).reason == reason


@pytest.mark.live
async def test_an_unreachable_server_is_named_without_its_password(tmp_path: Path):
    pytest.importorskip("psycopg", reason="install it with: pip install 'mechagym[postgres]'")
    error = await refusal(f"postgresql+psycopg://me:pa55word@/x?host={tmp_path}")
    assert error.reason == "unreachable"
    assert "pa55word" not in str(error)
    assert str(tmp_path) in error.message


@pytest.mark.live
async def test_no_rights(tmp_path: Path):
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may read everything; install it with: apt-get install util-linux")
    async with Store.open(str(tmp_path / "m.db")):
        pass
    with sqlite3.connect(tmp_path / "m.db") as raw:
        raw.execute("PRAGMA journal_mode = DELETE")
    raw.close()
    (tmp_path / "m.db").chmod(0o444)
    folder = tmp_path
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    folder.chmod(0o555)
    code = (
        "import anyio,sys\nfrom mechagym.store import Store\n"
        "from mechagym.errors import StoreError\nasync def main():\n"
        "    try:\n        async with Store.open(sys.argv[1]) as s: await s.reconcile()\n"
        "    except StoreError as e: print(e.reason)\nanyio.run(main)"
    )
    import mechagym

    source = Path(mechagym.__file__).parent.parent
    drop = ["setpriv", "--reuid=65534", "--clear-groups"] if os.getuid() == 0 else []
    done = subprocess.run(
        [*drop, sys.executable, "-c", code, str(tmp_path / "m.db")],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PYTHONPATH": str(source)},
    )
    folder.chmod(0o755)
    if "Permission denied" in done.stderr or "No module" in done.stderr:
        pytest.skip("an ordinary user cannot run this Python")
    assert done.stdout.strip() == "unreadable", done.stderr


@pytest.mark.live
async def test_a_full_disk_is_said_and_nothing_is_lost_once_there_is_room(tmp_path: Path):
    if os.getuid() != 0:
        pytest.skip("needs to mount a small tmpfs: run as root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)], check=True)
    try:
        ballast = disk / "ballast"
        async with Store.open(str(disk / "m.db")) as store:
            emit = store.emitter("s")
            emit(MessageSaid(text="before"))
            await store.flush()
            fill(ballast)
            for number in range(20):
                emit(MessageSaid(text=f"{number} " * 8_000))
            with pytest.raises(StoreError) as failure:
                await store.flush()
            assert failure.value.reason == "disk_full"
            assert str(disk) in failure.value.message
            ballast.unlink()
            with anyio.fail_after(10):
                await store.flush()
            assert [event.seq for event in await store.events("s")] == list(range(1, 22))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
