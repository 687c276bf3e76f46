"""The program merges the example and another set of lists by the rules."""

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

KEYS = ("sku", "name", "price_cents", "quantity", "updated")


def merge(source):
    """Run the program on a folder; its stock as tuples in the order of KEYS, and its conflicts."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "new" / "out"
        done = subprocess.run(
            [sys.executable, "-I", "/app/merge.py", str(source), str(target)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-800:]
        stock = json.loads((target / "stock.json").read_text(encoding="utf-8"))
        with (target / "conflicts.csv").open(encoding="utf-8", newline="") as file:
            conflicts = [tuple(row) for row in csv.reader(file)]
    assert all(set(row) == set(KEYS) for row in stock), "an object has other keys"
    return [tuple(row[key] for key in KEYS) for row in stock], conflicts


HEADER = ("sku", "cheapest_cents", "dearest_cents")


def test_the_example():
    stock, conflicts = merge("/app/data")
    assert stock == [
        ("AB100", "Wrench 10 mm", 475, 24, "2026-02-03T18:45:00Z"),
        ("AB200", "Säge", 1990, 4, "2026-02-01T08:00:00Z"),
        ("EF400", "Tape", 250, 40, "2026-01-20T00:00:00Z"),
        ("GH500", "Nails & screws", 700, 100, "2026-01-01T00:00:00Z"),
    ]
    assert conflicts == [HEADER, ("AB100", "450", "475")]


def test_other_lists():
    stock, _ = merge("/tests/data")
    assert stock == [
        ("M1", "Maß", 330, 5, "2026-03-04T09:00:00Z"),
        ("QQ1", "Würfel, neu", 1150, 7, "2026-03-02T10:00:00Z"),
        ("T5", "Café table", 10000, 2, "2026-03-01T00:00:00Z"),
        ("U2", "Cup", 829, 5, "2026-03-04T09:00:01Z"),
        ("ZZ9", "目", 5, 1001, "2026-01-01T00:00:00Z"),
    ]


def test_conflicts_of_other_lists():
    _, conflicts = merge("/tests/data")
    assert conflicts == [HEADER, ("K7", "99999", "100999"), ("M1", "330", "331")]
