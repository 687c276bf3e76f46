"""Only the one file came along; it must do what the package did where it was made."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

SHIPPED = Path("/app/dist/report.pyz")
ORDERS = "order,amount,currency\nA-1,100,CHF\nA-2,0.005,EUR\nA-2000,12345.678,JPY\n"
NOBODY = 65534


@contextmanager
def elsewhere():
    """A folder of another user that holds the file, and a working folder with orders."""
    with tempfile.TemporaryDirectory() as folder:
        place, work = Path(folder) / "bin", Path(folder) / "work"
        place.mkdir()
        work.mkdir()
        shutil.copyfile(SHIPPED, place / "report.pyz")
        (work / "o.csv").write_text(ORDERS, encoding="utf-8")
        for path in (Path(folder), place, work):
            path.chmod(0o555 if path != work else 0o755)
        try:
            yield place / "report.pyz", work
        finally:
            for path in (Path(folder), place):
                path.chmod(0o755)


def run(*args):
    """Run the file as nobody (where we may), without any path but the standard library's."""
    with elsewhere() as (program, work):
        return subprocess.run(
            [sys.executable, "-I", "-B", str(program), *args],
            cwd=work,
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            **({"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}),
        )


def setup():
    """Where the package was made is not there: nothing may be read from it."""
    shutil.rmtree("/app/src", ignore_errors=True)


setup()


def test_it_is_one_zip_application():
    assert SHIPPED.is_file()
    assert not SHIPPED.is_symlink()
    with zipfile.ZipFile(SHIPPED) as archive:
        assert archive.testzip() is None
        assert "__main__.py" in archive.namelist()


def test_orders_in_euro():
    done = run("o.csv", "EUR")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "order      EUR\nA-1     105.59\nA-2       0.01\nA-2000   76.56\n"


def test_orders_in_yen():
    done = run("o.csv", "JPY")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "order        JPY\nA-1     17025.66\nA-2         0.81\nA-2000  12345.68\n"


def test_exit_codes():
    assert run().returncode == 64
    assert run("o.csv").returncode == 64
    missing = run("missing.csv", "EUR")
    assert (missing.returncode, missing.stdout) == (66, "")
    unknown = run("o.csv", "XAU")
    assert (unknown.returncode, unknown.stdout) == (3, "")
    assert "XAU" in unknown.stderr
