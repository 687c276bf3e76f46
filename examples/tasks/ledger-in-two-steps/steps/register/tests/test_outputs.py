"""The second step: periods, several books, the register, and all that worked before."""

import subprocess
import sys
import tempfile
from pathlib import Path

OLD, NEW = "/app/books/2025.ledger", "/app/books/2026.ledger"
BOOK = """\
2026-03-05 late
  assets:bank 5
  income
2026-03-01 early
  assets 1.25
  assets:bank 2
  assets2
2026-03-05 late too
  assets:bank -5.00
  income
"""


def run(*args, cwd=None):
    return subprocess.run(
        [sys.executable, "-I", "/app/ledger.py", *args],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=cwd,
        check=False,
    )


def lines(*args, cwd=None):
    done = run(*args, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def over_book(command, *args):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "book").write_text(BOOK, encoding="utf-8")
        return lines(command, *args, "book", cwd=folder)


def test_one_book_as_before():
    assert lines("balances", OLD) == [
        "assets:bank 1794.75",
        "assets:cash 94.85",
        "equity -1200.00",
        "expenses:flour 310.40",
        "income:bread -700.00",
        "income:cakes -300.00",
    ]


def test_several_books_are_one():
    assert lines("balances", NEW, OLD)[0] == "assets:bank 2089.50"


def test_a_period_of_balances():
    assert lines("balances", "--from", "2025-12-03", "--to", "2025-12-03", OLD) == [
        "assets:bank -310.40",
        "expenses:flour 310.40",
    ]
    assert lines("balances", "--from", "2027-01-01", OLD, NEW) == []


def test_the_register_is_ordered_by_date():
    assert over_book("register", "assets") == [
        "2026-03-01 assets 1.25 1.25",
        "2026-03-01 assets:bank 2.00 3.25",
        "2026-03-05 assets:bank 5.00 8.25",
        "2026-03-05 assets:bank -5.00 3.25",
    ]


def test_an_account_is_not_a_prefix():
    assert over_book("register", "assets2") == ["2026-03-01 assets2 -3.25 -3.25"]
    assert over_book("register", "asset") == []


def test_the_sum_starts_before_the_period():
    assert over_book("register", "assets:bank", "--from", "2026-03-02", "--to", "2026-03-05") == [
        "2026-03-05 assets:bank 5.00 7.00",
        "2026-03-05 assets:bank -5.00 2.00",
    ]
    assert over_book("register", "assets", "--to", "2026-03-01") == [
        "2026-03-01 assets 1.25 1.25",
        "2026-03-01 assets:bank 2.00 3.25",
    ]


def test_the_given_books():
    assert lines("register", "assets:cash", "--from", "2026-01-01", OLD, NEW) == [
        "2026-01-02 assets:cash 94.85 189.70",
        "2026-01-09 assets:cash 412.30 602.00",
    ]


def test_faults_name_file_and_line():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "good").write_text(BOOK, encoding="utf-8")
        Path(folder, "bad").write_text("\n2026-03-01 x\n a 1\n b 1\n", encoding="utf-8")
        done = run("balances", "good", "bad", cwd=folder)
        assert (done.returncode, done.stdout) == (2, "")
        assert "bad: line 2" in done.stderr
        # A fault counts wherever it stands, also outside of the period.
        done = run("register", "a", "--from", "2026-04-01", "bad", cwd=folder)
        assert (done.returncode, done.stdout) == (2, "")
