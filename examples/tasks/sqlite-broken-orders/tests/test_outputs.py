"""The one file, copied elsewhere, is the shop's whole and sound database."""

import shutil
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path

STATUS = ("new", "paid", "sent", "returned")
OBJECTS = {
    ("table", "customers"): ("id", "name", "city"),
    ("table", "orders"): ("id", "customer_id", "status", "cents"),
    ("index", "orders_by_customer"): ("customer_id",),
    ("index", "orders_by_status"): ("status", "cents"),
}


@contextmanager
def shop():
    """A copy of the one file, opened."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.db"
        shutil.copyfile("/app/orders.db", copy)
        with closing(sqlite3.connect(copy)) as db:
            yield db


def expected_orders():
    """What was committed, by the rule by which the shop's orders were made."""
    for number in range(1, 1701):
        status = "sent" if 100 <= number <= 110 else STATUS[number * 13 % 4]
        if number != 666:
            yield (number, number * 7 % 120 + 1, status, number * 7919 % 100_000)


def test_it_opens_and_is_sound():
    with shop() as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


def test_tables_and_indexes_are_as_they_were():
    with shop() as db:
        names = db.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
        assert set(names.fetchall()) == set(OBJECTS)
        for (kind, name), columns in OBJECTS.items():
            info = "table_info" if kind == "table" else "index_info"
            rows = db.execute(f"SELECT name FROM pragma_{info}(?)", (name,)).fetchall()
            assert tuple(row[0] for row in rows) == columns, name


def test_every_committed_order_is_there():
    with shop() as db:
        rows = db.execute("SELECT * FROM orders NOT INDEXED ORDER BY id").fetchall()
    assert rows == list(expected_orders())


def test_customers_are_untouched():
    with shop() as db:
        rows = db.execute("SELECT id, name FROM customers ORDER BY id").fetchall()
    assert rows == [(i, f"Customer {i}") for i in range(1, 121)]


def test_indexes_give_the_same_answers():
    expected = list(expected_orders())
    with shop() as db:
        for status in STATUS:
            query = "SELECT id FROM orders INDEXED BY orders_by_status WHERE status = ? ORDER BY id"
            found = [row[0] for row in db.execute(query, (status,))]
            assert found == [row[0] for row in expected if row[2] == status], status
        query = "SELECT count(*) FROM orders INDEXED BY orders_by_customer WHERE customer_id = 8"
        assert db.execute(query).fetchone()[0] == sum(row[1] == 8 for row in expected)
