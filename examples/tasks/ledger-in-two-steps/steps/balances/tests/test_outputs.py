"""The first step: balances of one file, exact, and faults with their line."""

import subprocess
import sys
import tempfile
from pathlib import Path


def run(*args, cwd=None):
    return subprocess.run(
        [sys.executable, "-I", "/app/ledger.py", *args],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=cwd,
        check=False,
    )


def balances(text):
    """The lines that `balances` prints for a book."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a book.ledger"
        path.write_text(text, encoding="utf-8")
        done = run("balances", str(path))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def refused(text, line):
    """Whether a book is refused, naming the line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "b"
        path.write_text(text, encoding="utf-8")
        done = run("balances", str(path))
    assert (done.returncode, done.stdout) == (2, ""), (done.returncode, done.stdout)
    assert f"line {line}" in done.stderr.replace(f"line {line}0", ""), done.stderr


def test_the_given_book():
    done = run("balances", "/app/books/2025.ledger")
    assert done.stdout.splitlines() == [
        "assets:bank 1794.75",
        "assets:cash 94.85",
        "equity -1200.00",
        "expenses:flour 310.40",
        "income:bread -700.00",
        "income:cakes -300.00",
    ]


def test_sums_are_exact():
    many = "".join(f"2026-01-01 n{i}\n\ta 0.1\n\tb -0.10\n" for i in range(3000))
    assert balances(many) == ["a 300.00", "b -300.00"]
    huge = "2026-01-01 x\n a 90071992547409931234.01\n b\n"
    assert balances(huge) == ["a 90071992547409931234.01", "b -90071992547409931234.01"]


def test_forms_of_lines():
    book = "; c\n2026-02-28 no blank line between  \n  z  -3.5\n; inside\n\ty:ü\n2026-02-28\n  z 7\n  y:ü -7.0\n"
    assert balances(book) == ["y:ü -3.50", "z 3.50"]


def test_zero_is_plain_and_listed():
    assert balances("2026-01-01 a\n x 1\n y -1\n\n2026-01-02 b\n x -1\n y\n") == [
        "x 0.00",
        "y 0.00",
    ]
    assert balances("2026-01-01 a\n x -0.00\n y\n") == ["x 0.00", "y 0.00"]


def test_an_empty_book():
    assert balances("") == []
    assert balances("; nothing yet\n\n") == []


def test_faults_name_their_line():
    good = "2026-01-01 fine\n a 1\n b\n\n"
    refused(good + "2026-01-02 sum\n a 1\n b -1.01\n", 5)
    refused(good + "2026-01-02 two\n a\n b\n", 5)
    refused(good + "2026-02-29 date\n a 1\n b\n", 5)
    refused(good + " a 1\n", 5)
    refused(good + "2026-01-02 empty\n\n" + good, 5)
    refused(good + "2026-01-02 empty at the end\n", 5)
    refused(good + "2026-01-02 amount\n a 1,50\n b\n", 5)
    refused(good + "2026-01-02 amount\n a 1.505\n b\n", 5)
